"""Image files that decoders would read in part or in silence: damaged, too large, many pages.

Decoders fill what they cannot read with grey or with noise. Not here: the decoding (`image_io`).
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
from PIL import Image as Pillow

from isbench.datasets.jpeg import DAMAGED, capture_c_stderr, is_damaged_jpeg

MAX_PIXELS = 100 << 20  # 104 megapixels: the decoded image and its copies stay below 1 GB
# formats that Pillow may open: others run programs, or are none of ours
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # JPEG includes MPO

_PNG, _CHECKED = b"\x89PNG\r\n\x1a\n", (b"IHDR", b"PLTE", b"IDAT", b"tRNS")
_REDUCED, _STRIPS, _TILES, _TABLES = 254, (273, 279), (324, 325), 347  # TIFF tags
_BLOCK = 1 << 20  # bytes that are unpacked at once
_CUT = 16  # bytes; encoders of WebP end with less than this that a decoder does not need


@contextmanager
def open_header(data: bytes) -> Iterator[Pillow.Image]:
    """Open an image with Pillow, without its warning of large images; raises as `Pillow.open`."""
    Pillow.init()  # loads what reads each format, once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # also about files that it then rejects
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as picture:
            yield picture


def find_fault(data: bytes) -> str | None:
    """Return why a file must not be decoded, None if it may be.

    Damage to a JPEG shows only while it is decoded: see `jpeg`.
    """
    if data.startswith(_PNG) and not _has_intact_chunks(data):
        return DAMAGED
    try:
        with open_header(data) as picture:
            return _find_fault(picture, data)
    except Pillow.DecompressionBombError:
        return f"has more pixels than the {MAX_PIXELS // 10**6} megapixels that isbench reads"
    except Exception:  # Pillow raises many types; OpenCV may know the format
        return None


def _find_fault(picture: Pillow.Image, data: bytes) -> str | None:
    pixels = picture.size[0] * picture.size[1]
    if pixels > MAX_PIXELS:
        return (
            f"has {picture.size[0]}x{picture.size[1]} pixels; wanted at most "
            f"{MAX_PIXELS // 10**6} megapixels: scale it down"
        )
    pages = _count_pages(picture)
    if pages > 1:
        kind = "pages" if picture.format == "TIFF" else "frames"
        return f"has {pages} {kind}; wanted one: save each as a file of its own"
    damaged = (picture.format == "TIFF" and _is_damaged_tiff(picture, data)) or (
        picture.format == "WEBP" and _is_damaged_webp(data)
    )
    return DAMAGED if damaged else None


def _count_pages(picture: Pillow.Image) -> int:
    """Return the number of pages or frames; reduced copies and pictures of an MPO do not count."""
    if picture.format not in ("TIFF", "WEBP", "PNG", "GIF"):
        return 1
    frames = int(getattr(picture, "n_frames", 1))
    if picture.format != "TIFF" or frames == 1:
        return frames
    full = 0
    for frame in range(frames):
        picture.seek(frame)
        full += not int(picture.tag_v2.get(_REDUCED, 0)) & 1  # type: ignore[attr-defined]
    picture.seek(0)
    return full


def _has_intact_chunks(data: bytes) -> bool:
    """Return whether a PNG is whole and the chunks that decide its pixels have their checksums."""
    view, at = memoryview(data), len(_PNG)
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return False
        if kind == b"IEND":
            return True
        stored = int.from_bytes(view[end : end + 4], "big")
        if kind in _CHECKED and zlib.crc32(view[at + 4 : end]) != stored:
            return False
        at = end + 4
    return False


def _is_damaged_tiff(picture: Pillow.Image, data: bytes) -> bool:
    """Return whether Pillow, which stops where OpenCV goes on, cannot decode all of a TIFF."""
    if any(_is_damaged_part(picture, part) for part in _list_parts(picture, data)):
        return True
    try:
        with capture_c_stderr():  # libtiff prints
            picture.load()
    except OSError as error:
        return "not available" not in str(error)
    return False


def _list_parts(picture: Pillow.Image, data: bytes) -> Iterator[bytes]:
    """Yield the strips or tiles of a TIFF as they are stored."""
    tags = picture.tag_v2  # type: ignore[attr-defined]
    for offsets, sizes in (_STRIPS, _TILES):
        for start, size in zip(tags.get(offsets, ()), tags.get(sizes, ()), strict=False):
            yield data[start : start + size]


def _is_damaged_part(picture: Pillow.Image, part: bytes) -> bool:
    """Return whether a strip or tile is damaged in a way that libtiff does not tell."""
    compression = picture.info.get("compression")
    if compression == "jpeg":
        tables = bytes(picture.tag_v2.get(_TABLES, b""))  # type: ignore[attr-defined]
        return is_damaged_jpeg(tables[:-2] + part[2:] if tables else part)
    if compression in ("tiff_adobe_deflate", "tiff_deflate"):
        stream = zlib.decompressobj()
        try:
            while part and not stream.eof:
                stream.decompress(part, _BLOCK)
                part = stream.unconsumed_tail
        except zlib.error:
            return True
        return not stream.eof
    return False


def _is_damaged_webp(data: bytes) -> bool:
    """Return whether a WebP decodes without its last bytes: damage ended the decoding early.

    Chunks after the image are left out, since the decoder would read on in them.
    """
    start, at = bytearray(data[:12]), 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int(struct.unpack_from("<I", data, at + 4)[0])
        chunk, at = data[at : at + 8 + size + size % 2], at + 8 + size + size % 2
        if kind in (b"VP8 ", b"VP8L"):
            body, follows = chunk[8 : 8 + size], at < len(data)
            if follows and not _decodes_webp(start, kind, body):
                return True
            # a flat image is short, and decodes without most of it
            return size > 4 * _CUT and _decodes_webp(start, kind, body[:-_CUT])
        start += chunk
    return False


def _decodes_webp(start: bytearray, kind: bytes, body: bytes) -> bool:
    """Return whether OpenCV decodes the chunks of `start` and an image chunk."""
    whole = bytearray(start + kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))
    whole[4:8] = struct.pack("<I", len(whole) - 8)
    with suppress(cv2.error):
        return cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR) is not None
    return False
