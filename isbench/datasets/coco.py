"""Any annotation file in COCO's instance format beside its folder of images."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO

from isbench.datasets.pictures import check_size, read_image
from isbench.errors import IsbenchError
from isbench.types import Dataset, Sample


@dataclass(frozen=True)
class Coco:
    """Loads objects by key; see `Dataset.load`."""

    images: Path
    annotations: Path
    outlines: Mapping[str, tuple[str, int, int, Any]]  # key -> file, height, width, segmentation

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        file, height, width, segmentation = self.outlines[key]
        image = read_image(self.images / file)
        try:
            truth = rle.decode(_run_lengths(segmentation, height, width)).astype(bool)
        except Exception as error:  # pycocotools raises many kinds for a broken outline
            raise IsbenchError(
                f"object {key} of {self.annotations} has a broken segmentation: {error}"
            ) from error
        check_size(self.annotations, truth, image)
        return Sample(key, image, truth, np.zeros_like(truth))


def read(name: str, images: Path, annotations: Path) -> Dataset:
    """Return the objects of an annotation file; keys are "<image's stem>#<annotation id>".

    Crowd regions are no single object: they are left out and counted in the notes. Raises
    IsbenchError for a file that is not in COCO's format or an image that is not there.
    """
    index = _index(annotations)
    outlines, crowd = {}, 0
    for image in sorted(index.imgs.values(), key=lambda image: str(image["file_name"])):
        for annotation in sorted(index.imgToAnns[image["id"]], key=lambda one: int(one["id"])):
            if annotation.get("iscrowd", 0):
                crowd += 1
                continue
            key = f"{Path(image['file_name']).stem}#{annotation['id']}"
            size = int(image["height"]), int(image["width"])
            outlines[key] = (str(image["file_name"]), *size, annotation["segmentation"])
    used = sorted({file for file, *_ in outlines.values()})
    for file in used:
        if not (images / file).is_file():
            raise IsbenchError(
                f"image {images / file} that {annotations} names is not there; add it, "
                "or name the folder that has it"
            )
    notes = (f"{crowd} crowd regions left out",) if crowd else ()
    files = {f"images/{file}": images / file for file in used} | {"annotations": annotations}
    return Dataset(name, tuple(outlines), Coco(images, annotations, outlines), files, notes=notes)


def _index(annotations: Path) -> COCO:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress by print
            index = COCO(str(annotations))
        if not {"images", "annotations"} <= index.dataset.keys():
            raise KeyError("images, annotations")
    except OSError as error:
        raise IsbenchError(f"cannot read {annotations}: {error.strerror or error}") from error
    except Exception as error:
        raise IsbenchError(
            f"{annotations} is not in COCO's instance format ({type(error).__name__}: {error})"
        ) from error
    return index


def _run_lengths(segmentation: Any, height: int, width: int) -> Any:
    """Return polygons, or run lengths of either kind, as one compressed run-length mask."""
    if isinstance(segmentation, list):
        return rle.merge(rle.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return rle.frPyObjects(segmentation, height, width)
    return segmentation
