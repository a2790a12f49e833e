"""DAVIS-585 (Chen et al., FocalClick, CVPR 2022): objects and the masks that are to be corrected.

Each sequence is a folder with images FRAME.jpg, objects objectK_FRAME.png and two initial masks of
each: init_sp_objectK_FRAME.png and init_stm_objectK_FRAME.png. Checked against the reader of
alibaba/ClickSEG@ae9b30a, since the files were not at hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isbench.datasets.faults import check_faults
from isbench.datasets.image_io import check_size, read_colours, read_image
from isbench.datasets.pairs import match_by_order
from isbench.errors import IsbenchError
from isbench.types import Dataset, Mask, Sample

_LEVEL = 128  # the object is brighter, in the first channel
_NAME = re.compile(r"object(?P<object>\d+)_(?P<frame>\w+)")


@dataclass(frozen=True)
class Davis585:
    """Loads objects by key; see `Dataset.load`."""

    root: Path
    files: Mapping[str, tuple[str, str]]  # key -> image file, mask file

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        image_file, mask_file = self.files[key]
        image, truth = read_image(self.root / image_file), _read_mask(self.root / mask_file)
        check_size(self.root / mask_file, truth, image)
        return Sample(key, image, truth, np.zeros_like(truth))


@dataclass(frozen=True)
class InitialMasks:
    """Loads the masks that objects start from, by key; see `Dataset.initial`."""

    root: Path
    files: Mapping[str, str]  # key -> mask file

    def __call__(self, key: str) -> Mask:
        """Return the mask of this key."""
        return _read_mask(self.root / self.files[key])


def read(name: str, root: Path, start: str = "") -> Dataset:
    """Return the objects of all sequences; keys are "<sequence>/<frame>#<object>".

    `start` names the masks that games start from: "sp" were perturbed along superpixels, "stm" are
    those of the video model STM; "": games start from no mask.
    Raises DatasetFaults for an object that is not named as in the release, and for one without its
    image or its initial mask.
    """
    faults: list[str] = []
    found: dict[str, tuple[str, str]] = {}
    starts: dict[str, str] = {}
    for folder in _list_sequences(root):
        for path in sorted(folder.glob("*.png")):
            if path.name.startswith("init_"):
                continue
            match = _NAME.fullmatch(path.stem)
            if match is None:
                faults.append(f"{path} is not named objectK_FRAME; rename it, or remove it")
                continue
            image = folder / f"{match['frame']}.jpg"
            initial = folder / f"init_{start}_{path.name}"
            wanted = [image, initial] if start else [image]
            if missing := [one for one in wanted if not one.is_file()]:
                faults.append(f"{path} needs {missing[0]}, which does not exist; add it")
                continue
            key = f"{folder.name}/{match['frame']}#{match['object']}"
            found[key] = image.relative_to(root).as_posix(), path.relative_to(root).as_posix()
            starts[key] = initial.relative_to(root).as_posix()
    files = match_by_order(found)
    names = [file for pair in files.values() for file in pair]
    names += [starts[key] for key in files] if start else []
    used = {file: root / file for file in names}
    masks = InitialMasks(root, starts) if start else None
    dataset = Dataset(name, tuple(files), Davis585(root, files), used, initial=masks)
    return check_faults(dataset, f"data set {name}", faults)


def _list_sequences(root: Path) -> list[Path]:
    """Return the folders of the sequences, sorted; raises IsbenchError if there are none."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise IsbenchError(f"cannot list {root}: {error.strerror or error}") from error
    kept = [path for path in folders if not path.name.startswith(".")]
    if not kept:
        raise IsbenchError(f"no folders in {root}; wanted one of each sequence")
    return kept


def _read_mask(path: Path) -> Mask:
    return np.asarray(read_colours(path)[:, :, 0] > _LEVEL)
