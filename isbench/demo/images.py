"""The images of the demo: kept as their files' bytes, decoded when they are asked for.

An image belongs to the session (the browser) that opened it, and each session has a limit, so that
sessions do not take images from each other. Those given on the command line belong to all.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import NamedTuple

from isbench.datasets.image_io import decode_image, describe_image, read_bytes, read_image
from isbench.types import Image

UPLOAD = 30_000_000  # most bytes of an image file
PIXELS = 50_000_000  # most pixels of an image, and of all images that are decoded at a time
KINDS = {"JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF"}  # MPO: a JPEG of several pictures
SESSION_IMAGES = 100  # most images of a session
SESSION_BYTES = 200_000_000  # most bytes of a session's files
TOTAL_BYTES = 1_000_000_000  # most bytes of the files of all sessions
LEAST = 100_000  # bytes that an image counts at least
IDLE = 600.0  # seconds without a request after which a session's images may be dropped for others
EVERYONE = ""  # the session of the images given on the command line


class Refused(Exception):
    """A request is refused; the text says why."""

    def __init__(self, reason: str, status: int = 400) -> None:
        """Set the reason and the HTTP status."""
        super().__init__(reason)
        self.status = status


class StoredImage(NamedTuple):
    """An image as it is listed; `read` returns the bytes of its file."""

    name: str
    rows: int
    cols: int
    size: int  # bytes of the file, as limits count them
    session: str
    read: Callable[[], bytes]

    @property
    def pixels(self) -> int:
        """Return the number of pixels."""
        return self.rows * self.cols


def open_image(data: bytes) -> Image:
    """Return the image in an uploaded file; raises Refused if it is not one, or is too large."""
    count_pixels(data)
    image = decode_image(data)
    if isinstance(image, str):
        raise Refused(f"the image {image}", 415)
    return image


def count_pixels(data: bytes) -> int:
    """Return the number of pixels from a file's header; raises Refused like `open_image`."""
    header = describe_image(data)
    if header is None or header[0] not in KINDS:
        raise Refused(f"this file is not a supported image; wanted {', '.join(sorted(KINDS))}", 415)
    if header[1] > PIXELS:
        raise Refused(f"{header[1]} pixels are too many; wanted at most {PIXELS}", 413)
    return header[1]


@dataclass
class ImageStore:
    """Images by id, per session, and the images that were decoded last."""

    _images: dict[str, StoredImage] = field(default_factory=dict)
    _used: OrderedDict[str, float] = field(default_factory=OrderedDict)  # session -> time of use
    _decoded: OrderedDict[str, Image] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def add(
        self, name: str, image: Image, read: Callable[[], bytes], size: int, session: str
    ) -> str:
        """Add an image and return its id; raises Refused if the session has too many.

        `image` is what `read` returns, decoded; `size` is its number of bytes in memory.
        """
        identity = secrets.token_hex(8)
        size = max(size, LEAST)
        with self._lock:
            self._make_room(session, size)
            rows, cols = image.shape[:2]
            self._images[identity] = StoredImage(name, rows, cols, size, session, read)
            self._touch(session)
            self._keep(identity, image)
        return identity

    def add_file(self, path: Path) -> str:
        """Add an image for every session, which is read from its file again when it is needed.

        Returns its id. Raises IsbenchError if it cannot be read.
        """
        return self.add(path.name, read_image(path), partial(read_bytes, path), 0, EVERYONE)

    def find(self, identity: str) -> StoredImage:
        """Return an image as it is listed; raises Refused for an unknown or dropped one."""
        with self._lock:
            if identity not in self._images:
                raise Refused("this image is no longer loaded: open it again", 404)
            self._touch(self._images[identity].session)
            return self._images[identity]

    def decode(self, identity: str) -> Image:
        """Return the (H, W, 3) uint8 image; equal requests in a row give the same array."""
        stored = self.find(identity)
        with self._lock:
            if identity in self._decoded:
                self._decoded.move_to_end(identity)
                return self._decoded[identity]
        image = decode_image(stored.read())
        if isinstance(image, str) or image.shape[:2] != (stored.rows, stored.cols):
            raise Refused(f"the file of {stored.name} changed: open it again", 404)
        with self._lock:
            self._keep(identity, image)
        return image

    def list(self, session: str) -> Iterator[tuple[str, StoredImage]]:
        """Yield the images given on the command line and those of a session, by id."""
        with self._lock:
            for identity, stored in self._images.items():
                if stored.session in (EVERYONE, session):
                    yield identity, stored

    def _make_room(self, session: str, size: int) -> None:
        if session == EVERYONE:
            return
        own = [one for one in self._images.values() if one.session == session]
        if len(own) >= SESSION_IMAGES:
            raise Refused(f"{len(own)} images are open, the most of a session; {_RESTART}", 413)
        if sum(one.size for one in own) + size > SESSION_BYTES:
            most = SESSION_BYTES // 1_000_000
            raise Refused(f"a session holds at most {most} MB of images; {_RESTART}", 413)
        while self._sum_pixels() + size > TOTAL_BYTES:
            oldest = next((one for one in self._used if one != session), session)
            if oldest == session or monotonic() - self._used[oldest] < IDLE:
                most = TOTAL_BYTES // 1_000_000
                raise Refused(f"the demo holds at most {most} MB of images; {_RESTART}", 413)
            self._drop(oldest)

    def _drop(self, session: str) -> None:
        """Drop a session with its images."""
        del self._used[session]
        for identity in [key for key, one in self._images.items() if one.session == session]:
            del self._images[identity]
            self._decoded.pop(identity, None)

    def _sum_pixels(self) -> int:
        return sum(one.size for one in self._images.values())

    def _touch(self, session: str) -> None:
        if session != EVERYONE:
            self._used[session] = monotonic()
            self._used.move_to_end(session)

    def _keep(self, identity: str, image: Image) -> None:
        """Keep a decoded image; those that were not asked for longest make room."""
        self._decoded[identity] = image
        self._decoded.move_to_end(identity)
        while len(self._decoded) > 1 and sum(map(_count_pixels, self._decoded.values())) > PIXELS:
            self._decoded.popitem(last=False)


_RESTART = "restart the demo to open more"


def _count_pixels(image: Image) -> int:
    rows, cols = image.shape[:2]
    return int(rows * cols)
