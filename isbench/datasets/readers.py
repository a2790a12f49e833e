"""Readers of data sets that are named `READER:PLACE`, built in or from packages.

Not here: named data sets (`registry`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from isbench.datasets import folder
from isbench.datasets.faults import DatasetFaults
from isbench.errors import IsbenchError
from isbench.extensions import Group, list_names, load_named, name_errors
from isbench.files.home import expand_home
from isbench.types import Dataset

LONGEST_SIDE = 1024  # of a user's images as networks see them: 12 megapixels would take 24 GB

_LABELS = "?labels="  # in the place of a folder


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


def list_reader_names() -> tuple[str, ...]:
    """Return the names of all installed readers, sorted, without importing them."""
    return list_names(READERS)


def load_reader(name: str) -> Reader:
    """Return an installed reader; raises IsbenchError if it is missing, broken or misnamed."""
    return load_named(READERS, name)


def list_forms() -> list[str]:
    """Return what a user may type for each reader, such as "folder:PATH"."""
    return [f"{name}:{_find_form(name)}" for name in list_reader_names()]


def resolve_place(name: str) -> str:
    """Return a `READER:PLACE` with absolute paths; raises IsbenchError for other names."""
    reader, colon, place = name.partition(":")
    if not colon or reader not in list_reader_names():
        raise IsbenchError(f"place is {name}; wanted {' or '.join(list_forms())}")
    with name_errors(f"reader {reader} cannot resolve {place}"):
        return f"{reader}:{load_reader(reader).resolve(place)}"


def _find_form(name: str) -> str:
    try:
        return load_reader(name).form
    except IsbenchError:  # `isbench datasets` shows the error
        return "..."


def with_labels(names: Sequence[str], labels: str | None) -> tuple[str, ...]:
    """Return names of data sets, of which each `folder:PATH` is read with these `labels`, if any.

    A name that has labels keeps them. Raises IsbenchError if no name takes the labels.
    """
    if labels is None:
        return tuple(names)
    form = f"{folder_reader.name}:"
    bare = [name for name in names if name.startswith(form) and not split_labels(name)[1]]
    if not bare:
        given = f"the data set {', '.join(names)}" if names else "no data set is named"
        raise IsbenchError(
            f"labels is {labels} and {given}; wanted {form}PATH, whose masks it is for",
            setting="labels",
        )
    return tuple(f"{name}{_LABELS}{labels}" if name in bare else name for name in names)


def with_labels_of(name: str, recorded: str) -> str:
    """Return the name of a data set; `folder:PATH` gets the labels of the recorded one, if any."""
    form = f"{folder_reader.name}:"
    if not (name.startswith(form) and recorded.startswith(form)) or split_labels(name)[1]:
        return name
    _, mark, labels = recorded.rpartition(_LABELS)
    return f"{name}{mark}{labels}" if mark and labels in folder.LABELS else name


def split_labels(place: str) -> tuple[str, str]:
    """Return a folder and how its masks are read, "" if as one object each."""
    path, mark, labels = place.rpartition(_LABELS)
    if not mark:
        return place, ""
    if labels not in folder.LABELS:
        raise IsbenchError(
            f"labels is {labels!r}; wanted {' or '.join(folder.LABELS)}", setting="labels"
        )
    return path, labels


def _read_folder(place: str, data: Path | None) -> Dataset:
    place, labels = split_labels(place)
    path = expand_home(place)
    if data is not None and not path.is_dir() and (data / place).is_dir():
        path = data / place  # records contain the folder's name only
    end = f"{_LABELS}{labels}" if labels else ""
    whole = os.path.realpath(path)  # for a loop of links too, which Path.resolve refuses
    complete = partial(
        replace, longest_side=LONGEST_SIDE, place=f"{folder_reader.name}:{whole}{end}"
    )
    try:
        read = folder.read(f"folder:{Path(whole).name}{end}", path, labels)
    except DatasetFaults as error:
        if error.rest is not None:
            error.rest = complete(error.rest)
        raise
    return complete(read)


def _read_coco(place: str, data: Path | None) -> Dataset:
    from isbench.datasets import coco  # pycocotools is slow to import

    images, file = _split_coco(place)
    return coco.read(f"coco:{file.stem}", images, file)


def _split_coco(place: str) -> tuple[Path, Path]:
    """Return the folder of images and the annotation file, which may have commas in their names."""
    commas = [at for at, character in enumerate(place) if character == ","]
    splits = [(expand_home(place[:at]), expand_home(place[at + 1 :])) for at in commas]
    if not splits:
        raise IsbenchError(f"data set 'coco:{place}'; wanted coco:{coco_reader.form}")
    there = [(images, file) for images, file in splits if images.is_dir() and file.is_file()]
    if len(there) > 1:
        found = " or ".join(f"{images} and {file}" for images, file in there)
        raise IsbenchError(f"data set 'coco:{place}' may mean {found}; rename one of them")
    return there[0] if there else splits[-1]


def find_place_folder(place: str) -> str:
    """Return the folder of the images of a `READER:PLACE`; its place if the reader is another's.

    Raises IsbenchError if there is no such folder.
    """
    reader, _, path = place.partition(":")
    if reader == folder_reader.name:
        path = split_labels(path)[0]
    elif reader == coco_reader.name:
        path = str(_split_coco(path)[0])
    else:
        return path
    if not os.path.isdir(path):
        raise IsbenchError(f"{path} is not a folder any more; name the new one, or remove the name")
    return path


def _resolve_folder(place: str) -> str:
    path, labels = split_labels(place)
    return os.path.realpath(expand_home(path)) + (f"{_LABELS}{labels}" if labels else "")


def _resolve_coco(place: str) -> str:
    return ",".join(os.path.realpath(path) for path in _split_coco(place))


folder_reader = Reader(
    "folder",
    form="PATH",
    read=_read_folder,
    summary="a folder with images/ and masks/ of equal stems; for label maps add ?labels=instances "
    "or ?labels=void",
    resolve=_resolve_folder,
)
coco_reader = Reader(
    "coco",
    form="IMAGES_DIR,ANNOTATIONS.json",
    read=_read_coco,
    summary="annotations in COCO's instance format",
    resolve=_resolve_coco,
)
