"""COCO's instances, and LVIS's on the same images, as training data.

LVIS identifies images by URL and repeats many of COCO's objects: an object that nearly equals one
of an earlier file is skipped. Crowd regions are not scored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from isbench.datasets.coco import (
    ANNOTATION_FIELDS,
    find_field_fault,
    find_name_fault,
    find_size_fault,
    load_annotations,
    name_images,
)
from isbench.datasets.faults import list_faults
from isbench.datasets.image_io import ImageSize, read_image
from isbench.datasets.lists import compose
from isbench.datasets.outlines import Outline, decode_outline
from isbench.errors import IsbenchError
from isbench.training.corpus import Corpus, Entry, PackedMask, Picture, pack_mask
from isbench.training.leakage import check_pictures
from isbench.types import Mask

_DUPLICATE_IOU = 0.8  # IoU from which two objects count as the same
_FOLDERS = ("", "train2017")  # where an image may be
# LVIS has no file names, but the URLs of COCO's images
_IMAGE_FIELDS: Mapping[str, tuple[type, int]] = {
    "id": (int, 0),
    "height": (int, 1),
    "width": (int, 1),
}


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
    skipped: Counter[str] = Counter()
    for number, path in enumerate(annotations):
        for one in _read_annotations(path, number, skipped):
            by_image.setdefault(one.outline.file, []).append(one)
    candidates = {name: _find_image(images, name) for name in sorted(by_image)}
    paths = {name: path for name, path in candidates.items() if path is not None}
    if not paths:
        raise IsbenchError(
            f"none of the images listed in {annotations[0]} is in {images}; pass the folder with "
            "the images"
        )
    short = name_images(by_image)
    entries = tuple(
        Entry(
            short[name],
            "coco",
            sum(not one.crowd for one in by_image[name]),
            _ImageLoader(path, tuple(by_image[name])),
        )
        for name, path in paths.items()
        if not all(one.crowd for one in by_image[name])
    )
    missing = len(by_image) - len(paths)
    notes = [f"{missing} images are not in {images}"] if missing else []
    notes += [f"{what} left out: {count}" for what, count in sorted(skipped.items())]
    name = "+".join(path.stem for path in annotations)
    return Corpus(f"coco:{name}", entries, "annotations CC BY 4.0, images of Flickr", tuple(notes))


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
            mask = self._draw_mask(one, ImageSize(image.shape[0], image.shape[1]))
            if one.crowd:
                ignore |= mask
            elif mask.any() and not _is_duplicate(mask, one.file, objects):
                objects.append((pack_mask(mask), one.file))
        if not objects:
            raise IsbenchError(f"image {self.path} has no object to train on")
        packed = tuple(one for one, _ in objects)
        return Picture(image, packed, pack_mask(ignore) if ignore.any() else None)

    def _draw_mask(self, one: Annotation, size: ImageSize) -> Mask:
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
        similar_size = min(area, other.area) >= _DUPLICATE_IOU * max(area, other.area)
        if origin < file and similar_size:
            intersection = int(np.count_nonzero(mask & other.mask))
            if intersection >= _DUPLICATE_IOU * (area + other.area - intersection):
                return True
    return False


def _read_annotations(path: Path, number: int, skipped: Counter[str]) -> list[Annotation]:
    """Return the annotations of a file; those without an outline or a listed image are counted."""
    content = load_annotations(path)
    faults: list[str] = []
    images = _read_images(content["images"], faults)
    found: list[Annotation] = []
    seen: set[int] = set()
    for place, entry in enumerate(content["annotations"]):
        fault = find_field_fault(entry, ANNOTATION_FIELDS)
        if fault is None and entry["id"] in seen:
            fault = f"has the id {entry['id']} of another annotation"
        if fault:
            faults.append(f"annotations[{place}] {fault}")
            continue
        seen.add(entry["id"])
        if entry["image_id"] not in images:
            skipped["annotations of unlisted images"] += 1
        elif not entry.get("segmentation"):
            skipped["annotations without a segmentation"] += 1
        else:
            outline = Outline(*images[entry["image_id"]], entry["segmentation"])
            found.append(Annotation(outline, number, bool(entry.get("iscrowd", 0))))
    if faults:
        raise list_faults(str(path), faults, "correct the annotations")
    check_pictures(str(path), (str(one.get("coco_url", "")) for one in content["images"]))
    if not found:
        raise IsbenchError(f"{path} has no annotation of an image that it lists")
    return found


def _read_images(entries: Sequence[Any], faults: list[str]) -> dict[int, tuple[str, int, int]]:
    """Return the file name, height and width of the listed images by id; faults are appended."""
    images: dict[int, tuple[str, int, int]] = {}
    ids: dict[str, int] = {}
    for place, entry in enumerate(entries):
        fault = find_field_fault(entry, _IMAGE_FIELDS)
        name = "" if fault else str(entry.get("file_name") or _find_name(entry))
        fault = fault or find_name_fault(name)
        if fault is None and (entry["id"] in images or compose(name) in ids):
            fault = f"has the id {entry['id']} or the file name {name} of another image"
        if fault:
            faults.append(f"images[{place}] {fault}")
        else:
            images[entry["id"]] = name, entry["height"], entry["width"]
            ids[compose(name)] = entry["id"]
    return images


def _find_name(image: Mapping[str, Any]) -> str:
    """Return the file name of an image of LVIS, which is the end of its URL, or ""."""
    return PurePosixPath(str(image.get("coco_url", ""))).name


def _find_image(images: Path, name: str) -> Path | None:
    paths = (images / folder / name for folder in _FOLDERS)
    return next((path for path in paths if path.is_file()), None)
