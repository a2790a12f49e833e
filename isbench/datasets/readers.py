"""Readers of data sets that are named `READER:PLACE`, built in or from packages.

Not here: named data sets (`registry`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from isbench.datasets import folder
from isbench.errors import IsbenchError
from isbench.extensions import Group, list_names, load_named
from isbench.types import Dataset

LONGEST_SIDE = 1024  # of a user's images as networks see them: 12 megapixels would take 24 GB


@dataclass(frozen=True)
class Reader:
    """Reads the data sets that `--dataset NAME:PLACE` names.

    A package adds one by an entry point of the group `isbench.readers`. `read` gets the text after
    the colon and the folder of the data sets if one was given. The name of the `Dataset` that it
    returns starts with `NAME:`; it is recorded, and reports read the data set again by it.
    `resolve` returns the place with absolute paths, for `isbench data add`.
    """

    name: str
    form: str  # what PLACE looks like, such as "PATH"
    read: Callable[[str, Path | None], Dataset]
    summary: str = ""
    resolve: Callable[[str], str] = str


READERS = Group("isbench.readers", "reader", Reader)


def reader_names() -> tuple[str, ...]:
    """Return the names of all installed readers, sorted, without importing them."""
    return list_names(READERS)


def load_reader(name: str) -> Reader:
    """Return an installed reader; raises IsbenchError if it is missing, broken or misnamed."""
    return load_named(READERS, name)


def list_forms() -> list[str]:
    """Return what a user may type for each reader, such as "folder:PATH"."""
    return [f"{name}:{_find_form(name)}" for name in reader_names()]


def resolve_place(name: str) -> str:
    """Return a `READER:PLACE` with absolute paths; raises IsbenchError for other names."""
    reader, colon, place = name.partition(":")
    if not colon or reader not in reader_names():
        raise IsbenchError(f"place is {name}; wanted {' or '.join(list_forms())}")
    try:
        return f"{reader}:{load_reader(reader).resolve(place)}"
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        raise IsbenchError(
            f"reader {reader} cannot resolve {place}: {type(error).__name__}: {error}"
        ) from error


def _find_form(name: str) -> str:
    try:
        return load_reader(name).form
    except IsbenchError:  # `isbench datasets` shows the error
        return "..."


def _read_folder(place: str, data: Path | None) -> Dataset:
    path = Path(place).expanduser()
    if data is not None and not path.is_dir() and (data / place).is_dir():
        path = data / place  # records contain the folder's name only
    read = folder.read(f"folder:{path.resolve().name}", path)
    return replace(read, longest_side=LONGEST_SIDE)


def _read_coco(place: str, data: Path | None) -> Dataset:
    from isbench.datasets import coco  # pycocotools is slow to import

    images, comma, annotations = place.rpartition(",")
    if not comma:
        raise IsbenchError(f"data set 'coco:{place}'; wanted coco:{coco_reader.form}")
    file = Path(annotations).expanduser()
    return coco.read(f"coco:{file.stem}", Path(images).expanduser(), file)


def _resolve_path(place: str) -> str:
    return str(Path(place).expanduser().resolve())


def _resolve_coco(place: str) -> str:
    images, comma, annotations = place.rpartition(",")
    return ",".join(map(_resolve_path, (images, annotations) if comma else (place,)))


folder_reader = Reader(
    "folder",
    form="PATH",
    read=_read_folder,
    summary="a folder with images/ and masks/ of equal stems",
    resolve=_resolve_path,
)
coco_reader = Reader(
    "coco",
    form="IMAGES_DIR,ANNOTATIONS.json",
    read=_read_coco,
    summary="annotations in COCO's instance format",
    resolve=_resolve_coco,
)
