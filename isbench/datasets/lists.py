"""Data sets that list their images in a text file and number their instances in a label map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError
from isbench.files.limits import read_limited

VOID = 255  # not an instance, not scored


def read_list(path: Path) -> tuple[str, ...]:
    """Return the first word of every line without duplicates; raises IsbenchError if none."""
    try:
        lines = read_limited(path).decode().splitlines()
    except (OSError, ValueError) as error:
        raise IsbenchError(f"cannot read the list {path}: {error}") from error
    stems = tuple(dict.fromkeys(line.split()[0] for line in lines if line.strip()))
    if not stems:
        raise IsbenchError(f"the list {path} is empty; wanted one image name per line")
    return stems


def check_there(listed: Path, images: Iterable[Path]) -> None:
    """Raise IsbenchError for the first listed image that does not exist."""
    for image in images:
        if not image.is_file():
            raise IsbenchError(
                f"image {image} that {listed} lists does not exist; add it, or remove it from the "
                "list"
            )


def instances(
    stems: Sequence[str], labels: Callable[[str], NDArray[np.uint8]]
) -> dict[str, tuple[str, int]]:
    """Return the (stem, number) of every instance by key; keys are "<stem>#<number>"."""
    found = {}
    for stem in stems:
        for number in np.flatnonzero(np.bincount(labels(stem).ravel(), minlength=256)):
            if number not in (0, VOID):
                found[f"{stem}#{number}"] = (stem, int(number))
    return found
