"""Training packs: a folder of tars and an `index.csv` with one row per object mask.

Columns are `source,image,mask,width,height,area`. Images are of any format that OpenCV reads, masks
are true where not 0. Members are read directly from the tars, which are never unpacked.
"""

from __future__ import annotations

import csv
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError
from isbench.training.corpus import Corpus, Entry, PackedMask, Picture, pack_mask

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

    def read(self, name: str) -> NDArray[np.uint8]:
        member = self.members.get(name)
        if member is None:
            raise IsbenchError(f"{name} is in none of the pack's tars; download the pack again")
        try:
            with member.tar.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), member.size, member.offset)
        except OSError as error:
            raise IsbenchError(
                f"{name} cannot be read from {member.tar}: {error.strerror or error}"
            ) from error
        return np.frombuffer(data, np.uint8)


def read(root: Path) -> Corpus:
    """Return the images of a pack, in the order of its index.

    Raises IsbenchError for a folder without index or tars, or an index without the columns.
    """
    rows = _read_index(root)
    tars = sorted(root.glob("*.tar"))
    if not tars:
        raise IsbenchError(f"{root} is not a training pack: it has no *.tar next to {INDEX}")
    files = _TarReader({name: member for tar in tars for name, member in _members(tar)})
    masks: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        masks.setdefault((row["image"], row["source"]), []).append(row["mask"])
    entries = tuple(
        Entry(image, source, len(names), partial(_picture, files, image, tuple(names)))
        for (image, source), names in masks.items()
    )
    return Corpus(f"pack:{Path(os.path.realpath(root)).name}", entries, _licence(root))


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


def _members(path: Path) -> list[tuple[str, _Member]]:
    try:
        with tarfile.open(path, "r:") as tar:
            return [(m.name, _Member(path, m.offset_data, m.size)) for m in tar if m.isfile()]
    except (OSError, tarfile.TarError) as error:
        raise IsbenchError(f"{path} is not a readable tar: {error}; download it again") from error


def _licence(root: Path) -> str:
    """Return the text of the pack's LICENCE file."""
    path = root / "LICENCE"
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return _NO_LICENCE


def _picture(files: _TarReader, image: str, masks: tuple[str, ...]) -> Picture:
    pixels = _decode(files, image, cv2.IMREAD_COLOR)
    image_rgb = np.ascontiguousarray(pixels[:, :, ::-1])
    objects = [_object(files, name, image_rgb.shape[:2]) for name in masks]
    decoded = tuple(one for one in objects if one is not None)
    if not decoded:
        raise IsbenchError(f"image {image} has no mask with an object on it")
    return Picture(image_rgb, decoded, None)


def _object(files: _TarReader, name: str, shape: tuple[int, ...]) -> PackedMask | None:
    mask = _decode(files, name, cv2.IMREAD_GRAYSCALE)
    if mask.shape != shape:
        raise IsbenchError(f"mask {name} is {mask.shape}; wanted {shape}, the size of its image")
    return pack_mask(mask > 0) if mask.any() else None


def _decode(files: _TarReader, name: str, flags: int) -> NDArray[np.uint8]:
    data = files.read(name)
    try:
        decoded = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        decoded = None
    if decoded is None:
        raise IsbenchError(f"{name} cannot be decoded as an image")
    return np.asarray(decoded, np.uint8)
