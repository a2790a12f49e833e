"""Masks after a chosen click as COCO results, and the objects as the annotations they belong to.

Not here: how masks are found (`isbench.reporting.recorded_masks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from isbench.metrics import find_image
from isbench.reporting.recorded_masks import RecordedMasks
from isbench.storage.masks import encode_rle
from isbench.types import Dataset, Mask, Sample

_CATEGORY = {"id": 1, "name": "object"}
_SCORE = 1.0  # an answer to clicks has no confidence


class CocoFiles(NamedTuple):
    """The contents of two JSON files, whose image ids agree."""

    results: list[dict[str, Any]]  # as COCO.loadRes reads them
    annotations: dict[str, Any]  # as COCO reads them
    inexact: int  # objects of which a mask has not the recorded overlap
    largest_change: float  # of the IoU after the click, between the masks and the record


def make_coco_files(dataset: Dataset, games: Iterable[RecordedMasks], click: int) -> CocoFiles:
    """Return the masks after click `click` of each game, or after its last click if that is sooner.

    Pixels that are not scored belong to no mask, so that COCO's IoU is the recorded one. Images and
    objects are numbered from 1 in the order of the data set; `key` names the object in both files.
    """
    numbers = {key: number for number, key in enumerate(dataset.keys, start=1)}
    names = dict.fromkeys(map(find_image, dataset.keys))
    image_ids = {name: number for number, name in enumerate(names, start=1)}
    results, objects, images, inexact, changes = [], [], {}, 0, [0.0]
    for sample, game, masks, exact in games:
        name, at = find_image(game.key), min(click, len(masks))
        rows, cols = sample.truth.shape
        images[name] = {"id": image_ids[name], "file_name": name, "height": rows, "width": cols}
        ids = {"image_id": image_ids[name], "category_id": _CATEGORY["id"], "key": game.key}
        mask = encode_rle(masks[at - 1] & ~sample.ignore)
        results.append({**ids, "segmentation": mask, "score": _SCORE, "clicks": at})
        truth = {"segmentation": encode_rle(sample.truth), **_measure(sample.truth)}
        objects.append({"id": numbers[game.key], **ids, **truth, "iscrowd": 0})
        inexact += not exact
        changes.append(abs(_compute_iou(masks[at - 1], sample) - _divide(*game.overlap[at - 1])))
    annotations = {
        "images": [*images.values()], "annotations": objects, "categories": [_CATEGORY],
    }  # fmt: skip
    return CocoFiles(results, annotations, inexact, max(changes))


def _compute_iou(mask: Mask, sample: Sample) -> float:
    scored = ~sample.ignore
    intersection = np.count_nonzero(mask & sample.truth & scored)
    return _divide(int(intersection), int(np.count_nonzero((mask | sample.truth) & scored)))


def _divide(intersection: int, union: int) -> float:
    """Return the IoU, 0 for an empty union."""
    return intersection / union if union else 0.0


def _measure(mask: Mask) -> dict[str, Any]:
    """Return the area of a mask, and its box as x, y, width and height; zeros if it is empty."""
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return {"area": 0, "bbox": [0, 0, 0, 0]}
    top, left = int(rows[0]), int(cols[0])
    box = [left, top, int(cols[-1]) - left + 1, int(rows[-1]) - top + 1]
    return {"area": int(mask.sum()), "bbox": box}
