"""What nothing is ever trained on: the benchmark's data sets, known by name, place and picture.

Pictures that were renamed and lie elsewhere are not known again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from isbench.datasets import ENTRIES, find_folder
from isbench.errors import IsbenchError

TRAINED = "sbd-train"  # the one data set of the catalogue that is for training
_VALIDATION = re.compile(r"val20(14|17)")  # of COCO, which COCO_MVal is part of
_NUMBER = re.compile(r"(?:COCO_\w+_)?(\d{12})")  # COCO's names of images
_NEVER = "which is for evaluation: nothing is ever trained on it"


def check_name(data: str) -> None:
    """Raise IsbenchError for the name of a data set of the benchmark."""
    if data == TRAINED:
        raise IsbenchError(f"training data {data} go by another name: wanted sbd")
    if data in ENTRIES:
        raise IsbenchError(f"training data {data} are a data set of the benchmark, {_NEVER}")


def check_place(place: Path) -> None:
    """Raise IsbenchError for what is, or lies in, the folder of a data set of the benchmark."""
    path = place.resolve()
    for folder in (path, *path.parents):
        for name in ENTRIES:
            if _is_of(folder, name):
                raise IsbenchError(f"training data {place} are of data set {name}, {_NEVER}")
    if _VALIDATION.search(path.name) or any(map(_VALIDATION.fullmatch, path.parts)):
        raise IsbenchError(f"training data {place} are of COCO's validation split, {_NEVER}")


def check_pictures(data: str, names: Iterable[str]) -> None:
    """Raise IsbenchError for the name or address of an image that COCO validates with."""
    tested = _numbers_of_mval()
    for name in names:
        number = _NUMBER.fullmatch(PurePosixPath(name).stem)
        if _VALIDATION.search(name) or (number and int(number[1]) in tested):
            raise IsbenchError(
                f"training data {data} hold image {name} of COCO's validation split, {_NEVER}; "
                "take it out"
            )


def _is_of(folder: Path, name: str) -> bool:
    found = find_folder(name)
    if found is not None and folder == found.resolve():
        return True
    if name == "sample":  # a folder of that name is anyone's
        return False
    named = (f"/{place}".lower() for place in ENTRIES[name].folders)
    return (
        folder.as_posix().lower().endswith(tuple(named))
        and (folder / ENTRIES[name].landmark).is_dir()
    )


def _numbers_of_mval() -> frozenset[int]:
    """Return the numbers of COCO_MVal's images, none where the set is not at hand."""
    folder = find_folder("coco-mval")
    files = [] if folder is None else (folder / "img").iterdir()
    numbers = (path.stem.rpartition("_")[2] for path in files)
    return frozenset(int(number) for number in numbers if number.isdecimal())
