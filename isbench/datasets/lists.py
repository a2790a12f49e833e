"""Listed names and their files; label maps that number the instances of an image."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isbench.datasets.faults import is_one_line
from isbench.errors import IsbenchError
from isbench.files.limits import read_limited

VOID = 255  # not an instance, not scored
_LONGEST = 200  # characters of a name; file systems take 255 bytes


def read_list(path: Path) -> tuple[str, ...]:
    """Return the first word of every line without duplicates.

    Raises IsbenchError if there is none, and for a word that is no name of a file: a list that was
    received must not lead to files elsewhere.
    """
    try:
        lines = read_limited(path).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise IsbenchError(f"cannot read the list {path}: {error}") from error
    stems = tuple(dict.fromkeys(line.split()[0] for line in lines if line.strip()))
    if not stems:
        raise IsbenchError(f"the list {path} is empty; wanted one image name per line")
    for stem in stems:
        if len(stem) > _LONGEST or {"/", "\\"} & {*stem} or not is_one_line(stem):
            raise IsbenchError(
                f"the list {path} has {stem!a:.60}; wanted image names without folder and suffix"
            )
    return stems


def compose(name: str) -> str:
    """Return a name whose letters with accents are one character each (Unicode's NFC)."""
    return unicodedata.normalize("NFC", name)


def find_file(folder: Path, name: str) -> Path:
    """Return the file that a listed name means in a folder.

    Systems and archives write letters with accents as one character or as two. A name of either
    form finds the file of the other. Without a file it is the name as listed.
    """
    if name.isascii():
        return folder / name
    forms = (name, compose(name), unicodedata.normalize("NFD", name))
    paths = [folder / form for form in forms]
    return next((path for path in paths if os.path.exists(path)), paths[0])


def find_missing(listed: Path, images: Iterable[Path]) -> list[str]:
    """Return a fault for each listed image that does not exist."""
    return [
        f"image {image} that {listed} lists does not exist; add it, or remove it from the list"
        for image in images
        if not os.path.isfile(image)  # unlike `Path.is_file`, it raises for no name
    ]


def list_instances(
    stems: Sequence[str], labels: Callable[[str], NDArray[np.uint8]], faults: list[str]
) -> dict[str, tuple[str, int]]:
    """Return the (stem, number) of every instance by key; keys are "<stem>#<number>".

    The error of a label map that cannot be read is added to `faults`.
    """
    found = {}
    for stem in stems:
        try:
            counts = np.bincount(labels(stem).ravel(), minlength=256)
        except IsbenchError as error:
            faults.append(str(error))
            continue
        for number in np.flatnonzero(counts):
            if number not in (0, VOID):
                found[f"{stem}#{number}"] = (stem, int(number))
    return found
