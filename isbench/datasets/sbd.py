"""SBD (Hariharan et al. 2011): all instances of `inst/*.mat`, unfiltered, as for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isbench.datasets.faults import check_faults
from isbench.datasets.image_io import check_size, read_bytes, read_image
from isbench.datasets.lists import VOID, find_file, find_missing, list_instances, read_list
from isbench.datasets.mat_file import read_field
from isbench.errors import IsbenchError
from isbench.types import Dataset, Sample


@dataclass(frozen=True)
class Sbd:
    """Loads objects by key; see `Dataset.load`."""

    root: Path
    places: Mapping[str, tuple[str, int]]  # key -> image's stem, instance

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        stem, instance = self.places[key]
        image = read_image(_locate_image(self.root, stem))
        path = _locate_mat(self.root, stem)
        labels = _read_segmentation(path)
        check_size(path, labels, image)
        truth = labels == instance
        return Sample(key, image, truth, np.zeros_like(truth))


def read(name: str, root: Path, split: str) -> Dataset:
    """Return the instances of the images listed in `<split>.txt`.

    All instances are kept; the filter on the share of its box that a mask covers is for training.
    Raises DatasetFaults for images that are missing and for instance files that cannot be read.
    """
    listed = root / f"{split}.txt"
    stems = read_list(listed)
    faults = find_missing(listed, (_locate_image(root, stem) for stem in stems))
    places = list_instances(stems, lambda stem: _read_segmentation(_locate_mat(root, stem)), faults)
    used = {f"{split}.txt": listed}
    used |= {f"img/{stem}.jpg": _locate_image(root, stem) for stem in stems}
    used |= {f"inst/{stem}.mat": _locate_mat(root, stem) for stem in stems}
    dataset = Dataset(name, tuple(places), Sbd(root, places), used)
    return check_faults(dataset, f"data set {name}", faults)


def _locate_image(root: Path, stem: str) -> Path:
    return find_file(root / "img", f"{stem}.jpg")


def _locate_mat(root: Path, stem: str) -> Path:
    return find_file(root / "inst", f"{stem}.mat")


def _read_segmentation(path: Path) -> NDArray[np.uint8]:
    """Return the (H, W) instance numbers of a .mat file, 0 for none."""
    try:
        return _decode(read_bytes(path))
    except ValueError as error:
        raise IsbenchError(
            f"{path} is not an SBD instance file (GTinst.Segmentation): {error}; replace it"
        ) from error


@lru_cache(maxsize=2)
def _decode(data: bytes) -> NDArray[np.uint8]:
    stored = read_field(data, "GTinst", "Segmentation")
    if stored.ndim != 2:
        raise ValueError(f"it has {stored.ndim} dimensions")
    wrong = ~((stored >= 0) & (stored < VOID))  # nan too
    if stored.dtype.kind == "f":
        wrong |= stored != np.floor(stored)
    if wrong.any():
        raise ValueError(f"it has the number {stored[wrong][0]}; wanted whole numbers, 0 to 254")
    numbers = np.ascontiguousarray(stored, dtype=np.uint8)
    numbers.flags.writeable = False
    return numbers
