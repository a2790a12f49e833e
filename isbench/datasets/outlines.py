"""Segmentations of COCO's annotation files: checked before any C code gets them, and decoded."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as rle

from isbench.types import Mask

_POINTS = 3  # least points of a polygon that has an area
_LENGTH = 4_000_000  # longest outline in pixels: pycocotools takes 80 bytes for each
_BITS = 60  # of a run length: more than any image has pixels


class Outline(NamedTuple):
    """The segmentation of an object, as stored in the annotation file."""

    file: str
    height: int
    width: int
    segmentation: Any  # polygons, or run lengths, packed or not


def find_outline_fault(outline: Outline) -> str | None:
    """Return what is wrong with an object's segmentation, None if it can be decoded."""
    try:
        _parse(outline)
    except ValueError as error:
        return str(error)
    return None


def count_slivers(outline: Outline) -> int:
    """Return the number of polygons of one or two points, which have no area."""
    stored = outline.segmentation
    return sum(len(one) < 2 * _POINTS for one in stored) if isinstance(stored, list) else 0


def decode_outline(outline: Outline) -> Mask:
    """Return the (H, W) bool mask.

    Raises ValueError for a segmentation that is malformed, or whose run lengths do not fill the
    mask exactly.
    """
    height, width = outline.height, outline.width
    counts = _parse(outline)
    if isinstance(outline.segmentation, list):
        merged = rle.merge(rle.frPyObjects(counts, height, width))
        counts = _unpack_counts(merged["counts"])
    # pycocotools' decoder of run lengths would leave missing pixels uninitialised
    inside = np.arange(len(counts)) % 2 == 1
    mask: Mask = np.repeat(inside, counts).reshape(width, height).T  # column by column
    return np.ascontiguousarray(mask)


def _parse(outline: Outline) -> list[Any]:
    """Return the polygons with an area, or the run lengths; raises ValueError for invalid ones."""
    stored = outline.segmentation
    if isinstance(stored, list):
        return _parse_polygons(outline)
    if not isinstance(stored, dict):
        raise ValueError(f"it is {_name_kind(stored)}; wanted polygons or run lengths")
    if not {"size", "counts"} <= stored.keys():
        raise ValueError("its run lengths lack size or counts")
    size = stored["size"]
    if not isinstance(size, (list, tuple)) or [*map(type, size)] != [int, int]:
        raise ValueError(f"its size is {_shorten(size)}; wanted [height, width]")
    if tuple(size) != (outline.height, outline.width):
        raise ValueError(
            f"its run lengths are {_shorten(size[1])}x{_shorten(size[0])} pixels and its image "
            f"{outline.width}x{outline.height}"
        )
    return _parse_counts(stored["counts"], outline)


def _parse_counts(stored: Any, outline: Outline) -> list[int]:
    """Return run lengths that fill the mask."""
    counts = _unpack_counts(stored) if isinstance(stored, (str, bytes)) else stored
    if not isinstance(counts, list) or not set(map(type, counts)) <= {int}:
        raise ValueError("its run lengths are no list of whole numbers and no text")
    if min(counts, default=0) < 0:
        raise ValueError("it has a negative run length")
    if sum(counts) != outline.height * outline.width:
        raise ValueError(
            f"it covers {_shorten(sum(counts))} of {outline.height}x{outline.width} pixels"
        )
    return counts


def _parse_polygons(outline: Outline) -> list[list[float]]:
    """Return the polygons that have an area."""
    polygons, length = [], 0.0
    for polygon in outline.segmentation:
        _check_polygon(polygon, outline)
        if len(polygon) >= 2 * _POINTS:
            length += _measure(polygon)
            polygons.append(polygon)
    if not polygons:
        raise ValueError("it has no polygon of at least three points")
    if length > _LENGTH:
        raise ValueError(f"its outline is {length:.0f} pixels long; wanted at most {_LENGTH}")
    return polygons


def _measure(polygon: list[float]) -> float:
    """Return the length of an outline, of which each side counts its longer extent."""
    columns, rows = polygon[::2], polygon[1::2]  # lists: most polygons are too short for arrays
    left, above = columns[-1], rows[-1]
    length = 0.0
    for column, row in zip(columns, rows, strict=True):
        length += max(abs(column - left), abs(row - above))
        left, above = column, row
    return length


def _check_polygon(polygon: Any, outline: Outline) -> None:
    """Raise ValueError unless a polygon has pairs of numbers in the surroundings of the image."""
    if not isinstance(polygon, list):
        raise ValueError(
            f"it has {_name_kind(polygon)} among its polygons; wanted lists of numbers"
        )
    if not set(map(type, polygon)) <= {int, float}:
        wrong = next(one for one in polygon if type(one) not in (int, float))
        raise ValueError(f"a polygon has the coordinate {_shorten(wrong)}; wanted numbers")
    reach = 2 * max(outline.height, outline.width)
    for number in polygon:
        if not -reach <= number <= reach:  # nan too
            raise ValueError(
                f"a polygon has the coordinate {_shorten(number)}, far outside the image of "
                f"{outline.width}x{outline.height} pixels"
            )
    if len(polygon) % 2:
        raise ValueError(f"a polygon has {len(polygon)} coordinates; wanted x and y of each point")


def _unpack_counts(packed: str | bytes) -> list[int]:
    """Return COCO's packed run lengths: groups of five bits, differences from the fourth on."""
    text = packed.encode("utf-8", "replace") if isinstance(packed, str) else packed
    counts: list[int] = []
    value = shift = 0
    for byte in text:
        group = byte - 48
        if not 0 <= group < 64 or shift > _BITS:
            raise ValueError("its packed run lengths are damaged")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:  # more groups follow
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("its packed run lengths are cut short")
    return counts


def _name_kind(value: object) -> str:
    names = {type(None): "null", bool: "a truth value", str: "a text", dict: "an object"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else "a list")


def _shorten(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**15:
        return f"about 10^{int(math.log10(abs(value)))}"
    text = ascii(value)
    return text if len(text) <= 30 else f"{text[:30]}..."
