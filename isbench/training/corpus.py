"""Training images with their objects, the held-out split, and an image cache.

Not here: the layouts that images are read from (`pack`, `sources`), and drawing samples from them
(`samples`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError
from isbench.training.distributed import count_local_processes
from isbench.types import Dataset, Image, Mask, Sample

HELD_OUT = 20  # one image in this many is held out
_SHARE_OF_MEMORY = 3  # the caches of all processes take the memory divided by this


class PackedMask(NamedTuple):
    """A mask packed to one bit per pixel."""

    bits: NDArray[np.uint8]
    shape: tuple[int, int]
    area: int  # pixels

    @property
    def mask(self) -> Mask:
        """Return the (H, W) mask."""
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(self.bits, count=count).reshape(self.shape).view(np.bool_)


def pack_mask(mask: Mask) -> PackedMask:
    """Pack a (H, W) mask to one bit per pixel."""
    return PackedMask(
        np.packbits(mask), (mask.shape[0], mask.shape[1]), int(np.count_nonzero(mask))
    )


class Picture(NamedTuple):
    """A decoded image, its objects (at least one), and its ignored region, if any."""

    image: Image
    objects: tuple[PackedMask, ...]
    ignore: PackedMask | None


@dataclass(frozen=True)
class Entry:
    """An image to train on; `load` raises IsbenchError if it cannot be read."""

    name: str  # decides whether the image is held out
    source: str
    objects: int  # as listed; empty ones are skipped when the image is loaded
    load: Callable[[], Picture]


@dataclass(frozen=True)
class Corpus:
    """Training images with unique names."""

    name: str
    entries: tuple[Entry, ...]
    licence: str = ""  # the terms of its publishers, as far as known
    notes: tuple[str, ...] = ()  # what the reader skipped, and why

    @property
    def digest(self) -> str:
        """Return a digest of the images' names, sources and object counts."""
        lines = (f"{one.name} {one.source} {one.objects}\n" for one in self.entries)
        return sha256("".join(lines).encode()).hexdigest()[:12]

    def count_sources(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of images and objects by source."""
        images = Counter(one.source for one in self.entries)
        objects: Counter[str] = Counter()
        for one in self.entries:
            objects[one.source] += one.objects
        return {source: (images[source], objects[source]) for source in sorted(images)}


def is_held_out(name: str) -> bool:
    """Return whether an image is held out: the sha256 of its name is 0 modulo 20."""
    return int(sha256(name.encode()).hexdigest(), 16) % HELD_OUT == 0


def split_held_out(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """Split into training and held-out images; raises IsbenchError if either part is empty."""
    held = [is_held_out(one.name) for one in corpus.entries]
    parts = [
        replace(
            corpus, entries=tuple(e for e, h in zip(corpus.entries, held, strict=True) if h is side)
        )
        for side in (False, True)
    ]
    if not parts[0].entries or not parts[1].entries:
        raise IsbenchError(
            f"training data {corpus.name} has {len(parts[0].entries)} images to train on and "
            f"{len(parts[1].entries)} held out by name; wanted 1 of each or more: add images"
        )
    return parts[0], parts[1]


@dataclass
class Gallery:
    """A cache of decoded images, filled on first use up to a memory budget.

    An image that cannot be loaded is None from then on, and recorded in `faults`.
    """

    entries: Sequence[Entry]
    budget: int = 0  # bytes to cache; 0: this process's share of a third of the memory
    faults: dict[str, str] = field(default_factory=dict)
    _cache: dict[int, Picture] = field(default_factory=dict)
    _size: int = 0

    def __post_init__(self) -> None:
        if not self.budget:
            pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            self.budget = pages // _SHARE_OF_MEMORY // count_local_processes()

    def load_picture(self, number: int) -> Picture | None:
        """Return an image; safe to call from several threads, which may decode it twice."""
        cached = self._cache.get(number)
        entry = self.entries[number]
        if cached is not None or entry.name in self.faults:
            return cached
        try:
            found = entry.load()
        except IsbenchError as error:
            self.faults[entry.name] = str(error)
            return None
        size = found.image.nbytes + sum(one.bits.nbytes for one in found.objects)
        if self._size + size <= self.budget:
            self._cache[number] = found
            self._size += size
        return found


def pick_objects(corpus: Corpus, count: int) -> Dataset:
    """Return up to `count` objects, each from a different image, as a data set.

    Keys are "<image>#<number>".

    The choice is the same for every recipe: the images whose names have the smallest sha256, and
    of each the object that another digest of its name selects. Images that cannot be loaded are
    skipped and listed in the notes.
    """
    keys: list[str] = []
    notes: list[str] = []
    for entry in sorted(corpus.entries, key=lambda one: sha256(one.name.encode()).digest()):
        if len(keys) == count:
            break
        try:
            entry.load()
        except IsbenchError as error:
            notes.append(f"{entry.name}: {error}")
            continue
        number = int.from_bytes(sha256(f"{entry.name}#".encode()).digest()[:8], "big")
        keys.append(f"{entry.name}#{number % entry.objects}")
    load = _Objects({one.name: one for one in corpus.entries})
    return Dataset(corpus.name, tuple(keys), load, notes=tuple(notes))


@dataclass(frozen=True)
class _Objects:
    """Loads objects by key; see `Dataset.load`."""

    entries: dict[str, Entry]

    def __call__(self, key: str) -> Sample:
        name, _, number = key.rpartition("#")
        picture = self.entries[name].load()
        truth = picture.objects[int(number) % len(picture.objects)].mask
        ignore = np.zeros_like(truth) if picture.ignore is None else picture.ignore.mask
        return Sample(key, picture.image, truth & ~ignore, ignore)
