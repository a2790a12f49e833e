"""Data sets by name: one reader per layout, and one catalogue of the named data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from isbench.datasets import folder
from isbench.datasets.catalogue import CATALOGUE, SAMPLE, Entry
from isbench.datasets.data_root import data_folder
from isbench.datasets.user_datasets import list_user_datasets
from isbench.errors import IsbenchError, unknown
from isbench.types import Dataset

__all__ = ["ENTRIES", "find_folder", "load_dataset"]

ENTRIES: Mapping[str, Entry] = {"sample": SAMPLE, **CATALOGUE}
FORMS = ("folder:PATH", "coco:IMAGES_DIR,ANNOTATIONS.json")
_PACKAGE = Path(__file__).parent
LONGEST_SIDE = 1024  # of a user's images as networks see them: 12 megapixels would take 24 GB


def load_dataset(name: str, data: Path | None = None, limit: int | None = None) -> Dataset:
    """Return a data set; its objects are listed now and loaded later, one at a time.

    Parameters
    ----------
    name
        A name from `ENTRIES`, a name that the user added, `folder:PATH` or `coco:IMAGES,JSON`.
    data
        The folder of the data sets; by default ISBENCH_DATA, else the user-data folder.
    limit
        Keep only the first objects.

    Returns
    -------
    Dataset
        At least one object.

    Raises
    ------
    IsbenchError
        For an unknown name, a data set that is missing or not in its layout, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise IsbenchError(f"limit is {limit}; wanted at least 1 object")
    dataset = _load(name, data)
    if not dataset.keys:
        raise IsbenchError(f"data set {name} has no objects; wanted at least 1")
    if limit is None:
        return dataset
    return replace(dataset, keys=dataset.keys[:limit], limit=limit)


def find_folder(name: str, data: Path | None = None) -> Path | None:
    """Return the folder of a named data set, None if it is not on disk."""
    if name == "sample":
        return _PACKAGE / "sample"
    root = data_folder(data)
    for folder_name in ENTRIES[name].folders:
        if (root / folder_name / ENTRIES[name].landmark).is_dir():
            return root / folder_name
    return None


def is_known(name: str, fingerprint: str | None) -> bool:
    """Whether the content has a known fingerprint; true for a data set without known ones."""
    known = ENTRIES[name].fingerprints if name in ENTRIES else {}
    return not known or fingerprint in known


def _load(name: str, data: Path | None) -> Dataset:
    form, colon, place = name.partition(":")
    if colon and form == "folder":
        path = Path(place).expanduser()
        if data is not None and not path.is_dir() and (data / place).is_dir():
            path = data / place  # records contain the folder's name only
        read = folder.read(f"folder:{path.resolve().name}", path)
        return replace(read, longest_side=LONGEST_SIDE)
    if colon and form == "coco":
        return _load_coco(name, place)
    added = {} if name in ENTRIES else list_user_datasets(data)
    if name in added:
        return replace(_load(added[name], data), name=name)
    if name not in ENTRIES:
        raise unknown("data set", name, [*ENTRIES, *added, *FORMS])
    entry, found = ENTRIES[name], find_folder(name, data)
    if found is None:
        raise IsbenchError(
            f"data set {name} is not in {data_folder(data)}: wanted a folder "
            f"{' or '.join(entry.folders)} that contains {entry.landmark}; try `isbench data get "
            f"{name}` or `isbench data import {name} PATH`, or pass the parent folder with --data"
        )
    return replace(entry.read(name, found), zoom_target=entry.zoom_target)


def _load_coco(name: str, place: str) -> Dataset:
    from isbench.datasets import coco  # pycocotools is slow to import

    images, comma, annotations = place.rpartition(",")
    if not comma:
        raise IsbenchError(f"data set {name!r}; wanted coco:IMAGES_DIR,ANNOTATIONS.json")
    file = Path(annotations).expanduser()
    return coco.read(f"coco:{file.stem}", Path(images).expanduser(), file)
