"""SBD (Hariharan et al. 2011): all instances of `inst/*.mat`, unfiltered, as for evaluation."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from isbench.datasets.image_io import check_size, read_bytes, read_image
from isbench.datasets.lists import check_there, instances, read_list
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
        image = read_image(self.root / "img" / f"{stem}.jpg")
        path = self.root / "inst" / f"{stem}.mat"
        labels = _read_segmentation(path)
        check_size(path, labels, image)
        truth = labels == instance
        return Sample(key, image, truth, np.zeros_like(truth))


def read(name: str, root: Path, split: str) -> Dataset:
    """Return the instances of the images listed in `<split>.txt`.

    All instances are kept; the filter on the share of its box that a mask covers is for training.
    """
    stems = read_list(root / f"{split}.txt")
    check_there(root / f"{split}.txt", (root / "img" / f"{stem}.jpg" for stem in stems))
    places = instances(stems, lambda stem: _read_segmentation(root / "inst" / f"{stem}.mat"))
    files = [f"{split}.txt", *(f"img/{stem}.jpg" for stem in stems)]
    files += [f"inst/{stem}.mat" for stem in stems]
    used = {file: root / file for file in files}
    return Dataset(name, tuple(places), Sbd(root, places), used)


def _read_segmentation(path: Path) -> NDArray[np.uint8]:
    """Return the (H, W) instance numbers of a .mat file, 0 for none."""
    try:
        return _decode(read_bytes(path))
    except IsbenchError:
        raise
    except Exception as error:  # scipy raises many types for a damaged file
        raise IsbenchError(
            f"{path} is not an SBD instance file (GTinst.Segmentation): {error}; replace it"
        ) from error


@lru_cache(maxsize=2)
def _decode(data: bytes) -> NDArray[np.uint8]:
    file: Any = io.BytesIO(data)
    stored = np.asarray(loadmat(file)["GTinst"]["Segmentation"][0, 0], dtype=np.uint8)
    if stored.ndim != 2:
        raise ValueError(f"{stored.ndim} dimensions")
    stored.flags.writeable = False
    return stored
