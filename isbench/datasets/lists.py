"""Sets that name their images in a text file and number their instances in a label map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError

VOID = 255  # not an instance, not scored


def read_list(path: Path) -> tuple[str, ...]:
    """Return the first word of every line; raises IsbenchError when there is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise IsbenchError(f"cannot read the list {path}: {error}") from error
    stems = tuple(dict.fromkeys(line.split()[0] for line in lines if line.strip()))
    if not stems:
        raise IsbenchError(f"the list {path} is empty; wanted an image's name a line")
    return stems


def check_there(listed: Path, images: Iterable[Path]) -> None:
    """Raise IsbenchError for the first image that the list names and that is not there."""
    for image in images:
        if not image.is_file():
            raise IsbenchError(
                f"image {image} that {listed} names is not there; add it, or take it off the list"
            )


def instances(
    stems: Sequence[str], labels: Callable[[str], NDArray[np.uint8]]
) -> dict[str, tuple[str, int]]:
    """Return every instance as key -> (stem, number); keys are "<stem>#<number>"."""
    places = {}
    for stem in stems:
        for number in np.flatnonzero(np.bincount(labels(stem).ravel(), minlength=256)):
            if number not in (0, VOID):
                places[f"{stem}#{number}"] = (stem, int(number))
    return places
