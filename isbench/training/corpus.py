"""What a network is trained on: images with their objects, and those that are held out of it.

Not here: the layouts that images come from (`pack`, `sources`), and what is drawn from them
(`samples`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError
from isbench.types import Dataset, Image, Mask, Sample

HELD_OUT = 20  # one image of so many
_SHARE_OF_MEMORY = 3  # a gallery fills at most the machine's memory divided by this


class Packed(NamedTuple):
    """A mask at a bit a pixel."""

    bits: NDArray[np.uint8]
    shape: tuple[int, int]
    area: int  # pixels

    @property
    def mask(self) -> Mask:
        """Return the (H, W) mask."""
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(self.bits, count=count).reshape(self.shape).view(np.bool_)


def pack_mask(mask: Mask) -> Packed:
    """Return a (H, W) mask at a bit a pixel."""
    return Packed(np.packbits(mask), (mask.shape[0], mask.shape[1]), int(np.count_nonzero(mask)))


class Picture(NamedTuple):
    """A decoded image, its objects (one at least) and what of it is neither, if anything."""

    image: Image
    objects: tuple[Packed, ...]
    ignore: Packed | None


@dataclass(frozen=True)
class Entry:
    """An image that can be trained on; `load` raises IsbenchError for one that cannot be read."""

    name: str  # decides whether it is held out
    source: str
    objects: int  # listed; those that turn out empty are left out when it is loaded
    load: Callable[[], Picture]


@dataclass(frozen=True)
class Corpus:
    """Images by name, each name once."""

    name: str
    entries: tuple[Entry, ...]
    licence: str = ""  # what its publishers allow, as far as known
    notes: tuple[str, ...] = ()  # what the reader left out, and why

    @property
    def digest(self) -> str:
        """Return what identifies the images and the counts of their objects."""
        lines = (f"{one.name} {one.source} {one.objects}\n" for one in self.entries)
        return sha256("".join(lines).encode()).hexdigest()[:12]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return images and objects by source."""
        images = Counter(one.source for one in self.entries)
        objects: Counter[str] = Counter()
        for one in self.entries:
            objects[one.source] += one.objects
        return {source: (images[source], objects[source]) for source in sorted(images)}


def is_held_out(name: str) -> bool:
    """Whether an image is never trained on: the sha256 of its name is 0 modulo 20."""
    return int(sha256(name.encode()).hexdigest(), 16) % HELD_OUT == 0


def split_held_out(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """Return what is trained on and what is held out; raises IsbenchError if either is empty."""
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
            f"{len(parts[1].entries)} held out by their names; wanted 1 of each or more: add images"
        )
    return parts[0], parts[1]


@dataclass
class Gallery:
    """The pictures of a corpus, decoded when first asked for and kept while memory lasts.

    A picture that cannot be loaded is None from then on, and named in `faults`.
    """

    entries: Sequence[Entry]
    budget: int = 0  # bytes to keep; 0: a third of the machine's memory
    faults: dict[str, str] = field(default_factory=dict)
    _kept: dict[int, Picture] = field(default_factory=dict)
    _size: int = 0

    def __post_init__(self) -> None:
        if not self.budget:
            pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            self.budget = pages // _SHARE_OF_MEMORY

    def picture(self, number: int) -> Picture | None:
        """Return a picture; threads may ask at once, and then it may be decoded twice."""
        kept = self._kept.get(number)
        entry = self.entries[number]
        if kept is not None or entry.name in self.faults:
            return kept
        try:
            found = entry.load()
        except IsbenchError as error:
            self.faults[entry.name] = str(error)
            return None
        size = found.image.nbytes + sum(one.bits.nbytes for one in found.objects)
        if self._size + size <= self.budget:
            self._kept[number] = found
            self._size += size
        return found


def as_dataset(corpus: Corpus) -> Dataset:
    """Return every object of a corpus as a data set that can be played.

    Keys are "<image>#<number>".
    """
    keys = (f"{one.name}#{k}" for one in corpus.entries for k in range(one.objects))
    return _playable(corpus, keys)


def pick_objects(corpus: Corpus, count: int) -> Dataset:
    """Return so many objects as a data set, each of another image; fewer if there are fewer.

    The images are those of the smallest sha256 of their names, and of each the object that its
    digest falls on: the same for every recipe. What cannot be loaded is passed over and told in
    the notes.
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
        fallen = int.from_bytes(sha256(f"{entry.name}#".encode()).digest()[:8], "big")
        keys.append(f"{entry.name}#{fallen % entry.objects}")
    return replace(_playable(corpus, keys), notes=tuple(notes))


def _playable(corpus: Corpus, keys: Iterable[str]) -> Dataset:
    return Dataset(corpus.name, tuple(keys), _Objects({one.name: one for one in corpus.entries}))


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
