"""Image files to arrays, with a small cache: images in RGB, masks as they are stored.

OpenCV decodes the files that the original evaluators decode with it, because another JPEG decoder
moves clicks. Pillow reads label masks, because OpenCV converts a palette to colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from isbench.datasets.image_damage import find_fault, open_header
from isbench.datasets.jpeg import BROKEN, capture_c_stderr, decode_jpeg, is_jpeg
from isbench.errors import IsbenchError
from isbench.files.limits import read_regular
from isbench.types import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
DECODER = f"opencv {cv2.__version__}"  # of lossy formats; another decoder may move a click

# this module reports unreadable files itself, so OpenCV must not print about them
# (the function moved between OpenCV 4 and 5; 0 is silent in both)
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)

# the objects of an image come one after the other, so a few cached files are enough
_CACHED = 4
_PRINTS = (b"II", b"MM", b"\x89PNG")  # how files start of which C libraries print
_DEPTHS = {
    "I": "32 bits per pixel",
    "F": "fractions",
    **dict.fromkeys(("I;16", "I;16B"), "16 bits per pixel"),
}
_TRANSPARENT = "is partly transparent; wanted opaque: flatten it onto a background"
_ORIENTATION = 0x0112  # EXIF tag
_UNREADABLE = (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError)
_READ_LOG: ContextVar[dict[Path, str] | None] = ContextVar("read_log", default=None)


def read_image(path: Path) -> Image:
    """Return the (H, W, 3) uint8 RGB image, read-only, rotated as its EXIF data says.

    A grey image gets three equal channels. Raises IsbenchError for a file that is not an image, has
    more than 8 bits per channel, or is partly transparent: there is no single way to convert those
    to 8-bit RGB; and for one that is damaged, has several pages, or more than 104 megapixels. Files
    with the same bytes give the same array.
    """
    image = _decode(read_bytes(path))
    if isinstance(image, str):
        raise IsbenchError(f"image {path} {image}")
    return image


def read_colours(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as (H, W, 3) uint8 in OpenCV's channel order (BGR), read-only.

    Raises IsbenchError like `read_image`.
    """
    colours = _decode_colours(read_bytes(path))
    if isinstance(colours, str):
        raise IsbenchError(f"mask {path} {colours}")
    return colours


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as (H, W) uint8: palette indices or grey levels.

    A colour mask gives its grey level where its channels are equal, 255 elsewhere.
    """
    return to_labels(read_stored(path))


def to_labels(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a mask as it is stored as (H, W) uint8, like `read_labels`."""
    if stored.ndim == 2:
        return stored
    red, green, blue = (stored[:, :, channel] for channel in range(3))
    agree = (red == green) & (red == blue)  # an order faster than `all` over the last axis
    return _make_read_only(np.where(agree, red, np.uint8(255)))


def read_stored(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as it is stored: (H, W), or (H, W, 3) RGB, uint8."""
    stored = _decode_labels(read_bytes(path))
    if isinstance(stored, str):
        raise IsbenchError(f"mask {path} {stored}")
    return stored


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Return a user's mask file as it is stored; raises IsbenchError like `check_mask` too."""
    stored = _decode_mask(read_bytes(path))
    if isinstance(stored, str):
        raise IsbenchError(f"mask {path} {stored}")
    return stored


def check_mask(path: Path) -> None:
    """Raise IsbenchError for a user's mask file that would silently be misread.

    These are JPEGs with levels other than 0, 128 and 255, palettes whose entry 0 is not black, and
    images that EXIF data would rotate.
    """
    fault = _find_mask_fault(read_bytes(path))
    if fault:
        raise IsbenchError(f"mask {path} {fault}")


def read_indices(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as (H, W) uint8 instance numbers: palette indices or grey levels.

    Raises IsbenchError for a colour mask, which has lost the instance numbers.
    """
    stored = read_stored(path)
    if stored.ndim != 2:
        raise IsbenchError(
            f"mask {path} has mode RGB; wanted a palette or 8-bit grey: convert the file, or "
            "use the published one"
        )
    return stored


def check_size(path: Path | str, mask: NDArray[np.generic], image: Image) -> None:
    """Raise IsbenchError unless the mask read from `path` has the height and width of the image."""
    if mask.shape[:2] == image.shape[:2]:
        return
    got, wanted = (f"{a.shape[1]}x{a.shape[0]}" for a in (mask, image))
    swapped = mask.shape[:2] == image.shape[1::-1]
    remedy = (
        "one of them lies on its side, perhaps since EXIF data rotates the image: save both upright"
        if swapped
        else "save the mask at the image's size"
    )
    raise IsbenchError(f"mask {path} is {got} pixels and its image {wanted}; {remedy}")


@contextmanager
def record_reads() -> Iterator[dict[Path, str]]:
    """Yield a mapping that collects the sha256 of every file read in the context."""
    digests: dict[Path, str] = {}
    token = _READ_LOG.set(digests)
    try:
        yield digests
    finally:
        _READ_LOG.reset(token)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raises IsbenchError if it cannot be read."""
    try:
        data = read_regular(path)
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    digests = _READ_LOG.get()
    if digests is not None:
        digests[path] = sha256(data).hexdigest()
    return data


def describe_image(data: bytes) -> tuple[str, int] | None:
    """Return the format and the number of pixels from an image's header, None if it is no image."""
    with suppress(Exception), open_header(data) as picture:  # it raises many types
        return str(picture.format), picture.size[0] * picture.size[1]
    return None


class ImageSize(NamedTuple):
    """The size of an image in pixels as `read_image` returns it."""

    height: int
    width: int
    rotated: bool = False  # by its EXIF data: the file stores it the other way


def read_size(path: Path) -> ImageSize | None:
    """Return the size of an image from its header, None if the file is no image.

    The pixels are decoded only if EXIF data may rotate them.
    """
    with suppress(Exception), open_header(read_regular(path)) as picture:  # it raises many types
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION, 1) in (0, 1, 2, 3, 4):
            return ImageSize(height, width)
        rows, cols = read_image(path).shape[:2]
        return ImageSize(rows, cols, rotated=(rows, cols) != (height, width))
    return None


def decode_image(data: bytes) -> Image | str:
    """Return the image in a file's bytes like `read_image`, or a text that says what is wrong.

    It is not cached, as `read_image` caches images.
    """
    return _decode.__wrapped__(data)


def decode_mask(data: bytes) -> NDArray[np.uint8] | str:
    """Return the mask in a file's bytes like `read_mask`, or a text that says what is wrong.

    It is not cached, as `read_mask` caches masks.
    """
    return _decode_mask.__wrapped__(data)


@lru_cache(maxsize=_CACHED)
def _decode(data: bytes) -> Image | str:
    """Return the image, or what is wrong with it."""
    bgr = _decode_bgr(data)
    return bgr if isinstance(bgr, str) else _make_read_only(bgr[:, :, ::-1])


@lru_cache(maxsize=_CACHED)
def _decode_colours(data: bytes) -> NDArray[np.uint8] | str:
    """Return the mask's colours, or what is wrong with it."""
    bgr = _decode_bgr(data)
    return bgr if isinstance(bgr, str) else _make_read_only(bgr)


def _decode_bgr(data: bytes) -> NDArray[np.uint8] | str:
    """Return the pixels in OpenCV's channel order, or what is wrong with the file."""
    fault = find_fault(data)
    if fault:
        return fault
    if is_jpeg(data):  # it has 8 bits and no alpha, so it needs no check
        return decode_jpeg(data)
    buffer = np.frombuffer(data, np.uint8)
    quiet = capture_c_stderr() if data.startswith(_PRINTS) else nullcontext()
    try:
        with quiet:
            stored = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
            fault = _find_depth_fault(stored) or _find_transparency(data, stored)
            if fault:
                return fault
            bgr = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except cv2.error:
        return BROKEN
    return BROKEN if bgr is None else bgr.astype(np.uint8, copy=False)


def _find_depth_fault(stored: NDArray[np.generic] | None) -> str | None:
    """Return why the stored pixels are not an 8-bit RGB image, None if they are."""
    if stored is None:
        return BROKEN
    if stored.dtype != np.uint8:
        return f"has {8 * stored.dtype.itemsize} bits per channel; wanted 8: convert the file"
    if stored.ndim == 3 and stored.shape[2] == 4 and (stored[:, :, 3] != 255).any():
        return _TRANSPARENT
    return None


def _find_transparency(data: bytes, stored: NDArray[np.generic] | None) -> str | None:
    """Return the fault of a grey image with transparent pixels, whose alpha OpenCV leaves out."""
    if stored is None or (stored.ndim == 3 and stored.shape[2] == 4):
        return None
    try:
        with open_header(data) as picture:
            if picture.mode not in ("LA", "La", "PA") and "transparency" not in picture.info:
                return None
            alpha = np.asarray(picture.convert("RGBA"))[:, :, 3]
    except _UNREADABLE:  # a format that only OpenCV reads
        return None
    return _TRANSPARENT if (alpha != 255).any() else None


def _make_read_only(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return pixels


@lru_cache(maxsize=_CACHED)
def _decode_labels(data: bytes) -> NDArray[np.uint8] | str:
    """Return the stored pixels, or what is wrong with the file."""
    fault = find_fault(data)
    if fault is None and is_jpeg(data) and isinstance(decoded := decode_jpeg(data), str):
        fault = decoded
    if fault:
        return fault
    try:
        with open_header(data) as picture:
            mode = picture.mode
            stored = np.array(picture)
    except _UNREADABLE:
        return BROKEN
    return _convert_stored(stored, mode)


@lru_cache(maxsize=_CACHED)
def _decode_mask(data: bytes) -> NDArray[np.uint8] | str:
    """Return the stored pixels of a user's mask, or what is wrong with it; opens the file once."""
    fault = find_fault(data)
    if fault:
        return fault
    try:
        with open_header(data) as picture:
            mode = picture.mode
            fault = _find_misreading(picture)
            if fault is None and is_jpeg(data) and isinstance(decoded := decode_jpeg(data), str):
                fault = decoded
            if fault:
                return fault
            stored = np.array(picture)
    except _UNREADABLE:
        return BROKEN
    return _convert_stored(stored, mode)


def _convert_stored(stored: NDArray[Any], mode: str) -> NDArray[np.uint8] | str:
    """Return the pixels of a picture of one of Pillow's modes, or why they are no mask."""
    if mode == "1":
        stored = stored.astype(np.uint8) * np.uint8(255)
    if mode in ("LA", "RGBA"):
        if (stored[:, :, -1] != 255).any():
            return _TRANSPARENT
        stored = stored[:, :, 0] if mode == "LA" else stored[:, :, :3]
    elif mode != "RGB" and (stored.ndim != 2 or stored.dtype != np.uint8):
        found = _DEPTHS.get(mode, f"mode {mode}")
        return f"has {found}; wanted 8-bit grey, palette or RGB: convert the file"
    return _make_read_only(stored)


@lru_cache(maxsize=_CACHED)
def _find_mask_fault(data: bytes) -> str | None:
    fault = find_fault(data)
    if fault:
        return fault
    try:
        with open_header(data) as picture:
            return _find_misreading(picture)
    except _UNREADABLE:
        return BROKEN


def _find_misreading(picture: Pillow.Image) -> str | None:
    """Return why a user's mask would silently be misread, None if it would not."""
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        return "is rotated by its EXIF data; save it upright"
    palette = picture.getpalette() if picture.mode == "P" else None
    if palette and any(palette[:3]):
        return "has a palette whose entry 0, the background, is not black; save it as grey"
    lossy = picture.format in ("JPEG", "MPO")
    if lossy and set(np.unique(np.asarray(picture)).tolist()) - {0, 128, 255}:
        return "is a JPEG with levels other than 0, 128 and 255; save it as PNG"
    return None
