"""Training packs: a folder of tars and an `index.csv` with one row per object mask.

Columns are `source,image,mask,width,height,area`. Images and masks are decoded and checked as those
of data sets are; masks are true where not 0. Members are read directly from the tars, which are
never unpacked.
"""

from __future__ import annotations

import csv
import os
import tarfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from isbench.datasets.faults import join_names
from isbench.datasets.image_io import check_size, decode_image, decode_mask
from isbench.errors import IsbenchError
from isbench.training.corpus import Corpus, Entry, PackedMask, Picture, pack_mask
from isbench.types import Image, Mask

INDEX = "index.csv"
_COLUMNS = {"source", "image", "mask"}
_NO_LICENCE = "the pack has no LICENCE file; the terms of its sources hold"


class _Member(NamedTuple):
    """The location of a file's bytes."""

    tar: Path
    offset: int
    size: int


@dataclass(frozen=True)
class _TarReader:
    """Reads tar members by name; picklable, and safe to call from several threads."""

    members: Mapping[str, _Member]

    def read(self, name: str) -> bytes:
        member = self.members.get(name)
        if member is None:
            raise IsbenchError(f"{name} is in none of the pack's tars; download the pack again")
        try:
            with member.tar.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), member.size, member.offset)
        except OSError as error:
            raise IsbenchError(
                f"{name} cannot be read from {member.tar}: {error.strerror or error}"
            ) from error


def read(root: Path) -> Corpus:
    """Return the images of a pack, in the order of its index.

    Raises IsbenchError for a folder without index or tars, or an index without the columns.
    """
    if root.is_file():
        raise IsbenchError(
            f"{root} is a file; wanted the folder of a training pack, with {INDEX} and *.tar"
        )
    rows = _read_index(root)
    tars = sorted(root.glob("*.tar"))
    if not tars:
        raise IsbenchError(f"{root} is not a training pack: it has no *.tar next to {INDEX}")
    _check_rows(root / INDEX, rows)
    used = {row[column] for row in rows for column in ("image", "mask")}
    files = _TarReader(_find_members(tars, used))
    masks: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        masks.setdefault((row["image"], row["source"]), []).append(row["mask"])
    entries = tuple(
        Entry(image, source, len(names), partial(_read_picture, files, image, tuple(names)))
        for (image, source), names in masks.items()
    )
    return Corpus(f"pack:{Path(os.path.realpath(root)).name}", entries, _read_licence(root))


def _read_index(root: Path) -> list[dict[str, str]]:
    path = root / INDEX
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = _COLUMNS - set(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise IsbenchError(
            f"{root} is not a training pack: cannot read {path}: {reason}; wanted a folder with "
            f"{INDEX} and *.tar"
        ) from error
    short = [k for k, row in enumerate(rows, 1) if not all(row.get(name) for name in _COLUMNS)]
    if not missing and short:
        raise IsbenchError(
            f"{path}: row {short[0]} is incomplete; wanted source,image,mask,width,height,area"
        )
    if missing or not rows:
        problem = f"lacks the columns {', '.join(sorted(missing))}" if missing else "has no rows"
        raise IsbenchError(f"{path} {problem}; wanted source,image,mask,width,height,area")
    return rows


def _check_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Raise IsbenchError for a mask that is listed twice, and an image of two sources."""
    masks = Counter(row["mask"] for row in rows)
    images = Counter(image for image, _ in {(row["image"], row["source"]) for row in rows})
    for what, counts in (("mask", masks), ("image with different sources", images)):
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise IsbenchError(
                f"{path} has the same {what} in several rows: {join_names(twice)}; correct the "
                "index, or download the pack again"
            )


def _find_members(tars: Sequence[Path], used: Collection[str]) -> Mapping[str, _Member]:
    """Return the used files in the tars by name; of a name twice in a tar the last one counts.

    Raises IsbenchError for a name that two tars have.
    """
    found: dict[str, _Member] = {}
    for tar in tars:
        for name, member in _list_members(tar):
            if name not in used:
                continue
            if found.get(name, member).tar != tar:
                raise IsbenchError(
                    f"{tar} has {name}, which {found[name].tar} has too; download the pack again"
                )
            found[name] = member
    return found


def _list_members(path: Path) -> list[tuple[str, _Member]]:
    try:
        with tarfile.open(path, "r:") as tar:
            members = [(m.name, _Member(path, m.offset_data, m.size)) for m in tar if m.isfile()]
        end = path.stat().st_size
    except (OSError, tarfile.TarError, OverflowError) as error:
        raise IsbenchError(f"{path} is not a readable tar: {error}; download it again") from error
    for name, member in members:
        if member.offset + member.size > end:
            raise IsbenchError(f"{path} ends before {name} does; download it again")
    return members


def _read_licence(root: Path) -> str:
    """Return the text of the pack's LICENCE file."""
    path = root / "LICENCE"
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return _NO_LICENCE


def _read_picture(files: _TarReader, image: str, masks: tuple[str, ...]) -> Picture:
    pixels = decode_image(files.read(image))
    if isinstance(pixels, str):
        raise IsbenchError(f"image {image} {pixels}")
    objects = [_read_object(files, name, pixels) for name in masks]
    decoded = tuple(one for one in objects if one is not None)
    if not decoded:
        raise IsbenchError(f"image {image} has no mask with an object on it")
    return Picture(pixels, decoded, None)


def _read_object(files: _TarReader, name: str, image: Image) -> PackedMask | None:
    stored = decode_mask(files.read(name))
    if isinstance(stored, str):
        raise IsbenchError(f"mask {name} {stored}")
    check_size(name, stored, image)
    mask: Mask = np.asarray(stored > 0 if stored.ndim == 2 else (stored > 0).any(axis=2))
    return pack_mask(mask) if mask.any() else None
