"""Data sets of an image and a mask folder with equal stems: GrabCut, Berkeley, DAVIS, COCO_MVal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isbench.datasets.image_io import SUFFIXES, check_size, read_colours, read_image
from isbench.errors import IsbenchError
from isbench.types import Dataset, Mask, Sample

# the colours of a mask file, (H, W, 3) -> the object and the ignored pixels, both (H, W)
Reading: TypeAlias = Callable[[NDArray[np.uint8]], tuple[Mask, Mask]]
_Natural: TypeAlias = tuple[tuple[int, int, str], ...]  # sorts 2 before 10


@dataclass(frozen=True)
class Layout:
    """The folders and file names of a data set of pairs, and how its masks are read."""

    images: str  # folder of the images
    masks: str  # folder of the masks
    reading: Reading
    stem: str = r"(?P<image>.+)"  # pattern of a stem: group `image` and optionally `object`
    wanted: str = "IMAGE"  # the pattern in words, for the error message


@dataclass(frozen=True)
class Pairs:
    """Loads objects by key; see `Dataset.load`."""

    root: Path
    files: Mapping[str, tuple[str, str]]  # key -> image file, mask file
    reading: Reading

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        image_file, mask_file = self.files[key]
        image, colours = read_image(self.root / image_file), read_colours(self.root / mask_file)
        check_size(self.root / mask_file, colours, image)
        truth, ignore = self.reading(colours)
        return Sample(key, image, truth, ignore)


def split_trimap(colours: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Read a mask: 128 is not scored, anything brighter is the object [GrabCut, Berkeley]."""
    level = colours[:, :, 0]  # the original evaluators read only the first channel
    return level > 128, level == 128


def threshold_mask(colours: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Read a mask: anything that is not black is the object [DAVIS, COCO_MVal]."""
    truth: Mask = np.asarray(colours.any(axis=2))
    return truth, np.zeros_like(truth)


def read(
    name: str, root: Path, layout: Layout, keep: Callable[[str], bool] = lambda _: True
) -> Dataset:
    """Return the data set in `root` with the objects whose names pass `keep`.

    Raises IsbenchError for a stem that does not follow the layout, an image without a mask or a
    mask without an image.
    """
    images = match_by_stem(root, layout.images, "image")
    masks = match_by_stem(root, layout.masks, "mask")
    for stem in images.keys() ^ masks.keys():
        present, missing = (images, "mask") if stem in images else (masks, "image")
        folder = layout.masks if stem in images else layout.images
        raise IsbenchError(
            f"{root / present[stem]} has no {missing}: wanted {root / folder / stem} with an image "
            f"suffix; add the {missing}, or remove the file"
        )
    files = {}
    for stem in sorted(images):
        match = re.fullmatch(layout.stem, stem)
        if match is None:
            raise IsbenchError(
                f"{root / images[stem]} is not named {layout.wanted}; rename it, or remove it"
            )
        object_name = match.groupdict().get("object") or "1"
        if keep(object_name):
            files[f"{match['image']}#{object_name}"] = images[stem], masks[stem]
    files = match_by_order(files)
    used = {file: root / file for pair in files.values() for file in pair}
    return Dataset(name, tuple(files), Pairs(root, files, layout.reading), used)


def match_by_stem(root: Path, folder: str, kind: str) -> dict[str, str]:
    """Return the image files of a folder by stem, as posix paths relative to `root`.

    Raises IsbenchError if there are none, or two with one stem.
    """
    found: dict[str, str] = {}
    for path in sorted(_list_files(root / folder)):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise IsbenchError(
                f"two {kind}s named {path.stem}: {root / found[path.stem]} and {path}; remove one"
            )
        found[path.stem] = path.relative_to(root).as_posix()
    if not found:
        raise IsbenchError(
            f"no {kind}s in {root / folder}; wanted files ending in {', '.join(sorted(SUFFIXES))}"
        )
    return found


def match_by_order(files: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Return the files by key, in image-major order, with image 2 before image 10."""

    def sort_key(key: str) -> tuple[_Natural, _Natural]:
        image, _, object_name = key.rpartition("#")
        return _natural_key(image), _natural_key(object_name)

    return {key: files[key] for key in sorted(files, key=sort_key)}


def _natural_key(text: str) -> _Natural:
    parts = re.findall(r"\d+|\D", text)
    return tuple((1, int(p), p) if p.isdecimal() else (2, 0, p) for p in parts)


def _list_files(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        raise IsbenchError(f"cannot list {folder}: {error.strerror or error}") from error
