"""Picture files to arrays, each once: images in RGB, masks as they were stored.

OpenCV decodes what the original evaluators decoded with it, since another JPEG decoder moves
clicks; Pillow reads label masks, since OpenCV turns a palette into colours.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from isbench.errors import IsbenchError
from isbench.types import Image, Mask

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
DECODER = f"opencv {cv2.__version__}"  # of what is lossy; another may move a click

# a file it cannot read is this module's to report: OpenCV would print about it on its own
# (the function's place moved between OpenCV 4 and 5; 0 is silence in both)
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)

_JPEG, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"  # markers that no scan can hold
_BROKEN = "cannot be read as a picture; replace the file"
# the objects of an image come one after the other, so a few files are all that is asked for again
_KEPT = 4
_ORIENTATION = 0x0112  # EXIF's tag
_WITNESS: ContextVar[dict[Path, str] | None] = ContextVar("witness", default=None)


def read_image(path: Path) -> Image:
    """Return the (H, W, 3) uint8 RGB image, read-only, turned upright as its EXIF data says.

    Grey images get three equal channels. Raises IsbenchError for a file that is no picture, has
    more than 8 bits a channel, or is partly transparent: there is no one way to make those 8-bit
    RGB. Files of the same bytes give the same array.
    """
    image = _decoded(read_bytes(path))
    if isinstance(image, str):
        raise IsbenchError(f"image {path} {image}")
    return image


def read_colours(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as (H, W, 3) uint8 in OpenCV's channel order, read-only.

    Raises IsbenchError as `read_image` does.
    """
    colours = _decoded_colours(read_bytes(path))
    if isinstance(colours, str):
        raise IsbenchError(f"mask {path} {colours}")
    return colours


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as (H, W) uint8: palette indices, or grey levels.

    A colour mask becomes its grey level where its channels agree, 255 elsewhere.
    """
    stored = _stored(path)
    if stored.ndim == 2:
        return stored
    agree = (stored == stored[:, :, :1]).all(axis=2)
    return _frozen(np.where(agree, stored[:, :, 0], np.uint8(255)))


def check_mask(path: Path) -> None:
    """Raise IsbenchError for a mask file of one's own that would be misread without a word.

    These are JPEGs with levels between the three that mean something, palettes whose entry 0 is
    not black, and pictures that EXIF data would turn.
    """
    fault = _mask_fault(read_bytes(path))
    if fault:
        raise IsbenchError(f"mask {path} {fault}")


def read_indices(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as (H, W) uint8 numbers of instances: palette indices, or grey levels.

    Raises IsbenchError for a colour mask, which has lost its numbers.
    """
    stored = _stored(path)
    if stored.ndim != 2:
        raise IsbenchError(
            f"mask {path} has mode RGB; wanted a palette or 8-bit grey, as published"
        )
    return stored


def check_size(path: Path | str, mask: Mask | NDArray[np.uint8], image: Image) -> None:
    """Raise IsbenchError unless the mask read from `path` has the image's rows and columns."""
    if mask.shape[:2] == image.shape[:2]:
        return
    got, wanted = (f"{a.shape[1]}x{a.shape[0]}" for a in (mask, image))
    turned = mask.shape[:2] == image.shape[1::-1]
    remedy = (
        "the image's EXIF data turns it: save it upright, or turn the mask"
        if turned
        else "save the mask at the image's size"
    )
    raise IsbenchError(f"mask {path} is {got} pixels and its image {wanted}; {remedy}")


@contextmanager
def record_reads() -> Iterator[dict[Path, str]]:
    """Yield a mapping that takes the sha256 of every file read meanwhile."""
    seen: dict[Path, str] = {}
    token = _WITNESS.set(seen)
    try:
        yield seen
    finally:
        _WITNESS.reset(token)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raises IsbenchError when it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    seen = _WITNESS.get()
    if seen is not None:
        seen[path] = sha256(data).hexdigest()
    return data


def describe_image(data: bytes) -> tuple[str, int] | None:
    """Return the format and the pixels of a picture by its header, None for what is none."""
    with suppress(Exception), Pillow.open(io.BytesIO(data)) as picture:  # it raises many kinds
        return str(picture.format), picture.size[0] * picture.size[1]
    return None


def decode_image(data: bytes) -> Image | str:
    """Return the image of a file's bytes as `read_image` does, or what is wrong with it."""
    return _decoded(data)


@lru_cache(maxsize=_KEPT)
def _decoded(data: bytes) -> Image | str:
    """Return the image, or what is wrong with it."""
    bgr = _bgr(data)
    return bgr if isinstance(bgr, str) else _frozen(bgr[:, :, ::-1])


@lru_cache(maxsize=_KEPT)
def _decoded_colours(data: bytes) -> NDArray[np.uint8] | str:
    """Return the mask's colours, or what is wrong with it."""
    bgr = _bgr(data)
    return bgr if isinstance(bgr, str) else _frozen(bgr)


def _bgr(data: bytes) -> NDArray[np.uint8] | str:
    """Return the pixels in OpenCV's channel order, or what is wrong with the file."""
    jpeg = data.startswith(_JPEG)
    if jpeg and data.rfind(_END) < data.rfind(_SCAN):  # OpenCV 4 would make up the rest
        return _BROKEN
    buffer = np.frombuffer(data, np.uint8)
    try:
        if not jpeg:  # a JPEG has 8 bits and no alpha: no second look needed
            fault = _fault(cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED))
            if fault:
                return fault
        bgr = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except cv2.error:
        return _BROKEN
    return _BROKEN if bgr is None else bgr.astype(np.uint8, copy=False)


def _fault(stored: NDArray[np.generic] | None) -> str | None:
    """Return what keeps the stored pixels from being an 8-bit RGB image, None if nothing."""
    if stored is None:
        return _BROKEN
    if stored.dtype != np.uint8:
        return f"has {8 * stored.dtype.itemsize} bits a channel; wanted 8: convert the file"
    if stored.ndim == 3 and stored.shape[2] == 4 and (stored[:, :, 3] != 255).any():
        return "is partly transparent; wanted opaque: flatten it onto a background"
    return None


def _frozen(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return pixels


def _stored(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as it is stored: (H, W), or (H, W, 3) RGB."""
    stored = _decoded_labels(read_bytes(path))
    if isinstance(stored, str):
        raise IsbenchError(f"mask {path} {stored}")
    return stored


@lru_cache(maxsize=_KEPT)
def _decoded_labels(data: bytes) -> NDArray[np.uint8] | str:
    """Return the stored pixels, or what is wrong with the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what it then refuses
            with Pillow.open(io.BytesIO(data)) as picture:
                mode = picture.mode
                stored = np.array(picture)
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError):
        return _BROKEN
    if mode == "1":
        stored = stored.astype(np.uint8) * np.uint8(255)
    if mode != "RGB" and (stored.ndim != 2 or stored.dtype != np.uint8):
        return f"has mode {mode}; wanted 8-bit grey, palette or RGB: convert the file"
    return _frozen(stored)


@lru_cache(maxsize=_KEPT)
def _mask_fault(data: bytes) -> str | None:
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            if picture.getexif().get(_ORIENTATION, 1) != 1:
                return "is turned by its EXIF data; save it upright"
            palette = picture.getpalette() if picture.mode == "P" else None
            if palette and any(palette[:3]):
                return "has a palette whose entry 0, the background, is not black; save it as grey"
            lossy = picture.format == "JPEG"
            if lossy and set(np.unique(np.asarray(picture)).tolist()) - {0, 128, 255}:
                return "is a JPEG with levels between 0, 128 and 255; save it as PNG"
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError):
        return _BROKEN
    return None
