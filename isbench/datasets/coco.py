"""Annotation files in COCO's instance format, with their folder of images."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO

from isbench.datasets.image_io import check_size, read_image
from isbench.errors import IsbenchError
from isbench.types import Dataset, Mask, Sample


class Outline(NamedTuple):
    """The segmentation of an object, as stored in the annotation file."""

    file: str
    height: int
    width: int
    segmentation: Any  # polygons, or run lengths, packed or not


@dataclass(frozen=True)
class Coco:
    """Loads objects by key; see `Dataset.load`."""

    images: Path
    annotations: Path
    outlines: Mapping[str, Outline]

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        outline = self.outlines[key]
        image = read_image(self.images / outline.file)
        try:
            truth = decode_outline(outline)
        except Exception as error:  # pycocotools raises many types for a broken segmentation
            raise IsbenchError(
                f"object {key} of {self.annotations} has a broken segmentation: {error}"
            ) from error
        check_size(f"of object {key} in {self.annotations}", truth, image)
        return Sample(key, image, truth, np.zeros_like(truth))


def read(name: str, images: Path, annotations: Path) -> Dataset:
    """Return the objects of an annotation file; keys are "<image without suffix>#<annotation id>".

    Crowd regions, which are not single objects, and annotations of unlisted images are left out
    and counted in the notes. Raises IsbenchError for a file that is not in COCO's format or a
    missing image.
    """
    try:
        outlines, notes = _read_outlines(_load_index(annotations))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _format_error(annotations, error) from error
    used = sorted({file for file, *_ in outlines.values()})
    for file in used:
        if not (images / file).is_file():
            raise IsbenchError(
                f"image {images / file} that {annotations} lists does not exist; add it, or name "
                "the folder that contains it"
            )
    files = {f"images/{file}": images / file for file in used} | {"annotations": annotations}
    return Dataset(name, tuple(outlines), Coco(images, annotations, outlines), files, notes=notes)


def _load_index(annotations: Path) -> COCO:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # COCO prints its progress
            index = COCO(str(annotations))
        if not {"images", "annotations"} <= index.dataset.keys():
            raise KeyError("images, annotations")
    except OSError as error:
        raise IsbenchError(f"cannot read {annotations}: {error.strerror or error}") from error
    except Exception as error:  # COCO raises many types, and AssertionError
        raise _format_error(annotations, error) from error
    return index


def _format_error(annotations: Path, error: Exception) -> IsbenchError:
    fault = f"no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
    return IsbenchError(
        f"{annotations} is not in COCO's instance format ({fault}); pass an instances file"
    )


def _read_outlines(index: COCO) -> tuple[dict[str, Outline], tuple[str, ...]]:
    """Return the objects by key, in image-major order, and notes on what was left out.

    Raises ValueError for a duplicate key or an empty segmentation.
    """
    outlines: dict[str, Outline] = {}
    crowd = 0
    for image in sorted(index.imgs.values(), key=lambda image: str(image["file_name"])):
        for annotation in sorted(index.imgToAnns[image["id"]], key=lambda one: int(one["id"])):
            if annotation.get("iscrowd", 0):
                crowd += 1
                continue
            if not annotation["segmentation"]:
                raise ValueError(f"annotation {annotation['id']} has an empty segmentation")
            file = str(image["file_name"])
            key = f"{PurePosixPath(file).with_suffix('')}#{annotation['id']}"
            if key in outlines:
                raise ValueError(f"two annotations for object {key}")
            size = int(image["height"]), int(image["width"])
            outlines[key] = Outline(file, *size, annotation["segmentation"])
    stray = sum(len(index.imgToAnns[image]) for image in index.imgToAnns.keys() - index.imgs.keys())
    left_out = {"crowd regions": crowd, "annotations of unlisted images": stray}
    return outlines, tuple(f"{count} {what} left out" for what, count in left_out.items() if count)


def decode_outline(outline: Outline) -> Mask:
    """Return the (H, W) bool mask; raises ValueError for run lengths that do not fill it exactly.

    pycocotools is used for polygons only: its decoder of run lengths leaves missing pixels
    uninitialised.
    """
    stored = outline.segmentation
    if isinstance(stored, list):
        stored = rle.merge(rle.frPyObjects(stored, outline.height, outline.width))
    height, width = stored["size"]
    counts = stored["counts"]
    if not isinstance(counts, list):
        counts = _unpack_counts(counts)
    if sum(counts) != height * width:
        raise ValueError(f"it covers {sum(counts)} of {height}x{width} pixels")
    inside = np.arange(len(counts)) % 2 == 1
    mask: Mask = np.repeat(inside, counts).reshape(width, height).T  # column by column
    return np.ascontiguousarray(mask)


def _unpack_counts(packed: str | bytes) -> list[int]:
    """Return COCO's packed run lengths: groups of five bits, differences from the fourth on."""
    text = packed.encode() if isinstance(packed, str) else packed
    counts: list[int] = []
    value = shift = 0
    for byte in text:
        group = byte - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:  # more groups follow
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
