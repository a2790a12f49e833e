"""Masks as bytes: PNG files and COCO run lengths."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from isbench.errors import IsbenchError
from isbench.types import Mask


def encode_rle(mask: Mask) -> dict[str, Any]:
    """Return a (H, W) bool mask as COCO run lengths: `size`, and `counts` as text."""
    from pycocotools import mask as coco  # slow to import

    packed = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": packed["counts"].decode("ascii")}


def decode_rle(packed: Mapping[str, Any]) -> Mask:
    """Return the (H, W) bool mask of COCO run lengths; raises ValueError for broken ones."""
    from isbench.datasets.outlines import Outline, decode_outline

    height, width = packed["size"]
    return decode_outline(Outline("", height, width, packed))


def encode_png(mask: Mask) -> bytes:
    """Return a mask as a single-channel PNG, 255 where it is true."""
    _, data = cv2.imencode(".png", mask.astype(np.uint8) * np.uint8(255))
    return bytes(data)


def encode_mask(mask: Mask, path: Path) -> bytes:
    """Return a mask in the format of the path's suffix; raises IsbenchError for an unknown one."""
    kinds: Mapping[str, Callable[[Mask], bytes]]
    kinds = {".png": encode_png, ".json": lambda mask: json.dumps(encode_rle(mask)).encode()}
    if path.suffix.lower() not in kinds:
        raise IsbenchError(f"{path} ends in {path.suffix or 'nothing'}; wanted .png or .json")
    return kinds[path.suffix.lower()](mask)
