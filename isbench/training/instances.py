"""COCO's instances, and LVIS's on the same images, as training data.

LVIS identifies images by URL and repeats many of COCO's objects: an object that nearly equals one
of an earlier file is skipped. Crowd regions are not scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from isbench.datasets.coco import find_name_fault, find_size_fault
from isbench.datasets.image_io import ImageSize, read_image
from isbench.datasets.outlines import Outline, decode_outline
from isbench.errors import IsbenchError
from isbench.files.json_text import parse_json
from isbench.files.limits import read_regular
from isbench.training.corpus import Corpus, Entry, PackedMask, Picture, pack_mask
from isbench.training.leakage import check_pictures
from isbench.types import Mask

_SAME = 0.8  # IoU from which two objects count as the same
_FOLDERS = ("", "train2017")  # where an image may be


class Annotation(NamedTuple):
    """An annotated object: its outline, the file it comes from, and whether it is a crowd."""

    outline: Outline
    file: int  # 0 for the first annotation file
    crowd: bool


def read(images: Path, annotations: Sequence[Path]) -> Corpus:
    """Return the images that any of the files annotates, each with all its objects.

    Missing images are skipped and counted in the notes. Raises IsbenchError for a file that is not
    in COCO's or LVIS's format, for evaluation images, and if no image is found at all.
    """
    by_image: dict[str, list[Annotation]] = {}
    for number, path in enumerate(annotations):
        for one in _read_annotations(path, number):
            by_image.setdefault(one.outline.file, []).append(one)
    candidates = {name: _find_image(images, name) for name in sorted(by_image)}
    paths = {name: path for name, path in candidates.items() if path is not None}
    if not paths:
        raise IsbenchError(
            f"none of the images listed in {annotations[0]} is in {images}; pass the folder with "
            "the images"
        )
    entries = tuple(
        Entry(
            str(PurePosixPath(name).with_suffix("")),
            "coco",
            sum(not one.crowd for one in by_image[name]),
            _ImageLoader(path, tuple(by_image[name])),
        )
        for name, path in paths.items()
        if not all(one.crowd for one in by_image[name])
    )
    missing = len(by_image) - len(paths)
    notes = (f"{missing} images are not in {images}",) if missing else ()
    name = "+".join(path.stem for path in annotations)
    return Corpus(f"coco:{name}", entries, "annotations CC BY 4.0, images of Flickr", notes)


@dataclass(frozen=True)
class _ImageLoader:
    """Loads an image and its objects; crowds are ignored regions."""

    path: Path
    annotations: tuple[Annotation, ...]

    def __call__(self) -> Picture:
        image = read_image(self.path)
        ignore = np.zeros(image.shape[:2], dtype=bool)
        objects: list[tuple[PackedMask, int]] = []
        for one in self.annotations:
            mask = self._mask(one, ImageSize(image.shape[0], image.shape[1]))
            if one.crowd:
                ignore |= mask
            elif mask.any() and not _is_duplicate(mask, one.file, objects):
                objects.append((pack_mask(mask), one.file))
        if not objects:
            raise IsbenchError(f"image {self.path} has no object to train on")
        packed = tuple(one for one, _ in objects)
        return Picture(image, packed, pack_mask(ignore) if ignore.any() else None)

    def _mask(self, one: Annotation, size: ImageSize) -> Mask:
        fault = find_size_fault(one.outline, size)
        if fault:
            raise IsbenchError(f"{self.path}: {fault}; correct the annotations")
        try:
            return decode_outline(one.outline)
        except ValueError as error:
            raise IsbenchError(f"image {self.path} has an invalid outline: {error}") from error


def _is_duplicate(mask: Mask, file: int, objects: Sequence[tuple[PackedMask, int]]) -> bool:
    """Return whether an earlier file has the same object."""
    area = int(np.count_nonzero(mask))
    for other, origin in objects:
        similar_size = min(area, other.area) >= _SAME * max(area, other.area)
        if origin < file and similar_size:
            intersection = int(np.count_nonzero(mask & other.mask))
            if intersection >= _SAME * (area + other.area - intersection):
                return True
    return False


def _read_annotations(path: Path, number: int) -> list[Annotation]:
    try:
        stored = parse_json(read_regular(path))
        images = {one["id"]: one for one in stored["images"]}
        found = [
            Annotation(_outline(images[one["image_id"]], one), number, bool(one.get("iscrowd", 0)))
            for one in stored["annotations"]
            if one["image_id"] in images and one["segmentation"]
        ]
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise IsbenchError(f"{path} is not in COCO's or LVIS's format ({reason})") from error
    check_pictures(str(path), (str(one.get("coco_url", "")) for one in images.values()))
    if not found:
        raise IsbenchError(f"{path} has no annotation of an image that it lists")
    return found


def _outline(image: dict[str, Any], annotation: dict[str, Any]) -> Outline:
    name = str(image.get("file_name") or PurePosixPath(image["coco_url"]).name)
    fault = find_name_fault(name)
    if fault:
        raise ValueError(f"an image {fault}")
    return Outline(name, int(image["height"]), int(image["width"]), annotation["segmentation"])


def _find_image(images: Path, name: str) -> Path | None:
    paths = (images / folder / name for folder in _FOLDERS)
    return next((path for path in paths if path.is_file()), None)
