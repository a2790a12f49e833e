"""COCO's instances, and LVIS's on the same images, as training data.

LVIS names its images by address and draws many objects that COCO has: one that nearly equals an
object of an earlier file is left out. Crowd regions are not scored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from isbench.datasets.coco import Outline, decode_outline
from isbench.datasets.image_io import check_size, read_image
from isbench.errors import IsbenchError
from isbench.training.corpus import Corpus, Entry, Packed, Picture, pack_mask
from isbench.training.leakage import check_pictures
from isbench.types import Mask

_SAME = 0.8  # IoU from which two objects are one
_FOLDERS = ("", "train2017")  # where an image may lie


class Drawn(NamedTuple):
    """An annotation: where an object is, in which file it is, and whether it is a crowd."""

    outline: Outline
    file: int  # 0 for the first annotation file
    crowd: bool


def read(images: Path, annotations: Sequence[Path]) -> Corpus:
    """Return the images of all files, each with the objects of all of them.

    Images that are not there are left out and counted in the notes. Raises IsbenchError for a file
    that is not in COCO's or LVIS's format, for images that are for evaluation, and where no image
    is there at all.
    """
    drawn: dict[str, list[Drawn]] = {}
    for number, path in enumerate(annotations):
        for one in _annotations(path, number):
            drawn.setdefault(one.outline.file, []).append(one)
    places = {name: _place(images, name) for name in sorted(drawn)}
    found = {name: place for name, place in places.items() if place is not None}
    if not found:
        raise IsbenchError(
            f"no image that {annotations[0]} names is in {images}; name the folder that has them"
        )
    entries = tuple(
        Entry(
            str(PurePosixPath(name).with_suffix("")),
            "coco",
            sum(not one.crowd for one in drawn[name]),
            _Loading(path, tuple(drawn[name])),
        )
        for name, path in found.items()
        if not all(one.crowd for one in drawn[name])
    )
    missing = len(drawn) - len(found)
    notes = (f"{missing} images are not in {images}",) if missing else ()
    name = "+".join(path.stem for path in annotations)
    return Corpus(f"coco:{name}", entries, "annotations CC BY 4.0, images of Flickr", notes)


@dataclass(frozen=True)
class _Loading:
    """Loads the picture of an image and its annotations."""

    path: Path
    drawn: tuple[Drawn, ...]

    def __call__(self) -> Picture:
        image = read_image(self.path)
        ignore = np.zeros(image.shape[:2], dtype=bool)
        objects: list[tuple[Packed, int]] = []
        for one in self.drawn:
            mask = self._mask(one)
            check_size(f"of {self.path.name}", mask, image)
            if one.crowd:
                ignore |= mask
            elif mask.any() and not _known(mask, one.file, objects):
                objects.append((pack_mask(mask), one.file))
        if not objects:
            raise IsbenchError(f"image {self.path} has no object to train on")
        shown = tuple(one for one, _ in objects)
        return Picture(image, shown, pack_mask(ignore) if ignore.any() else None)

    def _mask(self, one: Drawn) -> Mask:
        try:
            return decode_outline(one.outline)
        except Exception as error:  # pycocotools raises many kinds for a broken outline
            raise IsbenchError(f"image {self.path} has a broken outline: {error}") from error


def _known(mask: Mask, file: int, objects: Sequence[tuple[Packed, int]]) -> bool:
    """Whether an object of an earlier file is the same one."""
    area = int(np.count_nonzero(mask))
    for other, origin in objects:
        near = min(area, other.area) >= _SAME * max(area, other.area)
        if origin < file and near:
            both = int(np.count_nonzero(mask & other.mask))
            if both >= _SAME * (area + other.area - both):
                return True
    return False


def _annotations(path: Path, number: int) -> list[Drawn]:
    try:
        stored = json.loads(path.read_bytes())
        images = {one["id"]: one for one in stored["images"]}
        drawn = [
            Drawn(_outline(images[one["image_id"]], one), number, bool(one.get("iscrowd", 0)))
            for one in stored["annotations"]
            if one["image_id"] in images and one["segmentation"]
        ]
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        kind = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise IsbenchError(f"{path} is not in COCO's or LVIS's format ({kind})") from error
    check_pictures(str(path), (str(one.get("coco_url", "")) for one in images.values()))
    if not drawn:
        raise IsbenchError(f"{path} has no annotation of an image that it lists")
    return drawn


def _outline(image: dict[str, Any], annotation: dict[str, Any]) -> Outline:
    name = image.get("file_name") or PurePosixPath(image["coco_url"]).name
    return Outline(str(name), int(image["height"]), int(image["width"]), annotation["segmentation"])


def _place(images: Path, name: str) -> Path | None:
    places = (images / folder / name for folder in _FOLDERS)
    return next((place for place in places if place.is_file()), None)
