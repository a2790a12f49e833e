"""JPEGs decoded by OpenCV, whose decoder fills what is damaged with grey or noise and goes on.

Damage shows in what libjpeg prints about it, and in long runs of zeros, which no picture has.
"""

from __future__ import annotations

import ctypes
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

DAMAGED = "is damaged: a part of it cannot be decoded; replace the file"
BROKEN = "cannot be read as an image; replace the file"

_START = b"\xff\xd8"
_SCAN, _END, _ALONE = 0xDA, 0xD9, range(0xD0, 0xD9)  # markers; those alone have no segment
_NEXT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # the marker after a scan
_EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_ZEROS = bytes(64)  # more than a picture has in a row, see `_has_zeros`
_TABLES, _SEQUENTIAL, _PROGRESSIVE = 0xC4, (0xC0, 0xC1), 0xC2  # markers


def is_jpeg(data: bytes) -> bool:
    """Return whether a file starts like a JPEG."""
    return data.startswith(_START)


def is_damaged_jpeg(data: bytes) -> bool:
    """Return whether a JPEG cannot be decoded as a whole."""
    return isinstance(decode_jpeg(data), str)


def decode_jpeg(data: bytes) -> NDArray[np.uint8] | str:
    """Return a JPEG's pixels in OpenCV's channel order, or what is wrong with the file."""
    end = _find_end(data)
    if end is None:  # OpenCV 4 would invent the rest
        return BROKEN
    try:
        with capture_c_stderr() as captured:
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return BROKEN
    if bgr is None:
        return BROKEN
    if _tells_of_damage("".join(captured), data[:end]) or _has_zeros(data):
        return DAMAGED
    return bgr.astype(np.uint8, copy=False)


class _Part(NamedTuple):
    """A marker, its segment, and the bytes of the scan that it starts: data[start:end]."""

    marker: int
    segment: bytes
    start: int
    end: int


def _split(data: bytes) -> Iterator[_Part]:
    """Yield the parts of a JPEG's first picture up to its end or to where it is broken.

    What follows the end belongs to no picture, or to another one, as cameras append films.
    """
    at = 2
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a filler
            at += 1
            continue
        size = 0 if marker == _END or marker in _ALONE else _read_size(data, at + 2)
        start = end = at + 2 + size
        if marker == _SCAN:
            found = _NEXT.search(data, start)
            end = found.start() if found else len(data)
        yield _Part(marker, data[at + 4 : start], start, end)
        if marker == _END:
            return
        at = end


def _read_size(data: bytes, at: int) -> int:
    return max(2, int.from_bytes(data[at : at + 2], "big"))


def _find_end(data: bytes) -> int | None:
    """Return where the end marker of the first picture is, None if the file is cut short."""
    return next((part.start - 2 for part in _split(data) if part.marker == _END), None)


def _tells_of_damage(printed: str, picture: bytes) -> bool:
    """Return whether libjpeg's warning means that pixels of the picture are wrong."""
    padded = _EXTRANEOUS.search(printed)
    if padded:  # some cameras pad the last scan with equal bytes
        return len(set(picture[max(0, len(picture) - int(padded[1]) + 2) :])) > 1
    corrupt = "Corrupt JPEG data" in printed and "bad ICC marker" not in printed
    return corrupt or "Premature end of JPEG file" in printed


class _Scan(NamedTuple):
    """A scan: its first coefficient, whether it refines, its first AC table, and its bytes."""

    first: int
    refines: bool
    table: int
    data: bytes


def _has_zeros(data: bytes) -> bool:
    """Return whether a scan has a long run of zero bytes that no encoder writes.

    Zeros are a code, so that decoders may read them without a word. They can be real where they
    mean that a block has ended: there may be many equal blocks. Otherwise they would be blocks full
    of the same coefficient.
    """
    if _ZEROS not in data:
        return False
    frame, codes = 0, dict[int, int]()
    for marker, segment, start, end in _split(data):
        if 0xC0 <= marker <= 0xCF and marker not in (_TABLES, 0xC8, 0xCC):
            frame = marker
        elif marker == _TABLES:
            codes |= _find_zero_codes(segment)
        elif marker == _SCAN:
            scan = _open_scan(segment, data[start:end])
            if scan and _ZEROS in scan.data and _is_suspicious(scan, frame, codes):
                return True
    return False


def _is_suspicious(scan: _Scan, frame: int, codes: dict[int, int]) -> bool:
    """Return whether zeros in a scan mean something else than the ends of blocks."""
    if frame in _SEQUENTIAL:
        return codes.get(scan.table, 0) != 0
    return frame == _PROGRESSIVE and scan.first > 0 and not scan.refines


def _find_zero_codes(segment: bytes) -> dict[int, int]:
    """Return the symbol whose code is zeros in each AC table, by the table's number."""
    found, at = {}, 0
    while at + 17 < len(segment):
        table, count = segment[at], sum(segment[at + 1 : at + 17])
        if table >> 4 == 1:
            found[table & 15] = segment[at + 17]
        at += 17 + count
    return found


def _open_scan(segment: bytes, data: bytes) -> _Scan | None:
    """Return a scan, None if its header is damaged."""
    parts = segment[0] if segment else 0
    if not parts or len(segment) < 2 * parts + 4:
        return None
    first, _, bits = segment[2 * parts + 1 : 2 * parts + 4]
    return _Scan(first, bool(bits >> 4), segment[2] & 15, data)


_LOCK = threading.Lock()  # two captures at once would restore the wrong stream


@contextmanager
def capture_c_stderr() -> Iterator[list[str]]:
    """Yield a list that holds, after the context, what C code printed to `stderr` in it.

    libjpeg says only there that it replaced damaged data. The C library's variable `stderr` is set
    for the time, which glibc permits; Python's own stream and child processes are not affected.
    Elsewhere nothing is captured, and such damage is not seen.
    """
    captured: list[str] = []
    library = _load_glibc()
    if library is None:
        yield captured
        return
    buffer, size = ctypes.c_void_p(), ctypes.c_size_t()
    with _LOCK:
        stderr = ctypes.c_void_p.in_dll(library, "stderr")
        before = stderr.value
        stream = library.open_memstream(ctypes.byref(buffer), ctypes.byref(size))
        if not stream:  # no memory left
            yield captured
            return
        stderr.value = stream
        try:
            yield captured
        finally:
            stderr.value = before
            library.fclose(stream)
            captured.append(ctypes.string_at(buffer, size.value).decode("ascii", "replace"))
            library.free(buffer)


@cache
def _load_glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc, whose `stderr` may be set."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return None
    library.open_memstream.restype = ctypes.c_void_p
    library.open_memstream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    library.fclose.argtypes = library.free.argtypes = [ctypes.c_void_p]
    return library
