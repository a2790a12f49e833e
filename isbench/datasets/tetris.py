"""TETRIS (Moskalenko et al., AAAI 2024): large photographs, masks that number objects by colour.

Images and masks are read at most 2048 pixels long, as its benchmark plays them. Checked against the
reader of emb-ai/rclicks@32a9d6e, since the files were not at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.datasets.faults import check_faults
from isbench.datasets.image_io import check_size, decode_image, read_bytes, read_colours
from isbench.datasets.pairs import match_by_order, match_by_stem
from isbench.errors import IsbenchError
from isbench.types import Dataset, Image, Mask, Sample

LONGEST = 2048  # longer side of an image, in pixels [RClicks]

_Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class Tetris:
    """Loads objects by key; see `Dataset.load`."""

    root: Path
    files: Mapping[str, tuple[str, str]]  # key -> image file, mask file

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        image_file, mask_file = self.files[key]
        decoded = _decode(read_bytes(self.root / image_file))
        if isinstance(decoded, str):
            raise IsbenchError(f"image {self.root / image_file} {decoded}")
        whole, image = decoded
        numbers = _read_numbers(self.root / mask_file)
        check_size(self.root / mask_file, numbers, whole)
        truth = _select(numbers, int(key.rpartition("#")[2]), (image.shape[0], image.shape[1]))
        return Sample(key, image, truth, np.zeros_like(truth))


def read(name: str, root: Path) -> Dataset:
    """Return the objects of all images; keys are "<image>#<number>".

    The number of an object is 65536 B + 256 G + R of its colour; black is the background. All masks
    are decoded to list them. Raises DatasetFaults for an image without a mask, a mask without an
    image, and a mask that cannot be read.
    """
    images, masks = match_by_stem(root, "images", "image"), match_by_stem(root, "masks", "mask")
    faults = [*images.faults, *masks.faults]
    for stem in sorted(images.files.keys() ^ masks.files.keys()):
        present, other = (images, "mask") if stem in images.files else (masks, "image")
        faults.append(f"{root / present.files[stem]} has no {other}; add it, or remove the file")
    found: dict[str, tuple[str, str]] = {}
    for stem in images.files.keys() & masks.files.keys():
        pair = images.files[stem], masks.files[stem]
        try:
            numbers = _list_numbers(_read_numbers(root / pair[1]))
        except IsbenchError as error:
            faults.append(str(error))
            continue
        found |= {f"{stem}#{number}": pair for number in numbers}
    files = match_by_order(found)
    used = {file: root / file for pair in files.values() for file in pair}
    notes = (*images.notes, *masks.notes)
    dataset = Dataset(name, tuple(files), Tetris(root, files), used, notes=notes)
    return check_faults(dataset, f"data set {name}", faults)


def _read_numbers(path: Path) -> _Numbers:
    """Return the (H, W) numbers of the objects, 0 for none."""
    blue, green, red = np.moveaxis(read_colours(path).astype(np.int32), 2, 0)
    numbers: _Numbers = blue * 65536 + green * 256 + red
    return numbers


def _list_numbers(numbers: _Numbers) -> list[int]:
    flat = numbers.ravel()
    starts = flat[np.flatnonzero(np.diff(flat, prepend=-1))]  # of runs: sorting those is faster
    return [int(number) for number in np.unique(starts) if number]


@lru_cache(maxsize=2)
def _decode(data: bytes) -> tuple[Image, Image] | str:
    """Return an image and the one at most `LONGEST` long, or what is wrong with the file.

    They are cached, so that the objects of an image get the same array.
    """
    image = decode_image(data)
    if isinstance(image, str):
        return image
    rows, cols = _limit_size(image.shape[0], image.shape[1])
    smaller = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    smaller.flags.writeable = False
    return image, smaller


def _limit_size(rows: int, cols: int) -> tuple[int, int]:
    """Return the size of an image of this size, rounded like RClicks does."""
    if rows > cols:
        limited = min(rows, LONGEST)
        return limited, int(cols / rows * limited + 0.5)
    limited = min(cols, LONGEST)
    return int(rows / cols * limited + 0.5), limited


def _select(numbers: _Numbers, number: int, size: tuple[int, int]) -> Mask:
    """Return the (H, W) mask of one object; where two meet after resizing, the higher number wins.

    Each object is resized with linear interpolation and has the pixels that it covers to one half.
    """
    truth: Mask = np.zeros(size, dtype=bool)
    for other in _list_numbers(numbers):
        if other >= number:
            level = (numbers == other).astype(np.uint8)
            covered = cv2.resize(level, size[::-1], interpolation=cv2.INTER_LINEAR) > 0
            truth = covered if other == number else truth & ~covered
    return truth
