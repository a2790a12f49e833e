"""Data sets by name: a reader for each layout, the catalogue, and what packages add."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from isbench.datasets.data_root import find_data_folder
from isbench.datasets.faults import is_one_line
from isbench.datasets.readers import list_forms, list_reader_names, load_reader, resolve_place
from isbench.datasets.registry import (
    BUILT_IN,
    find_folder,
    find_root,
    is_known,
    list_dataset_names,
    load_dataset_card,
    suggest_installation,
)
from isbench.datasets.user_datasets import list_user_datasets
from isbench.errors import IsbenchError, check_least, make_unknown_error
from isbench.extensions import name_errors
from isbench.types import Dataset

__all__ = ["check_keys", "find_folder", "is_known", "load_dataset"]


def load_dataset(name: str, data: Path | str | None = None, limit: int | None = None) -> Dataset:
    """Return a data set; its objects are listed now and loaded later, one at a time.

    Parameters
    ----------
    name : str
        A name that `isbench datasets` lists, a name that the user added, or `READER:PLACE`, such as
        `folder:PATH` or `coco:IMAGES_DIR,ANNOTATIONS.json`.
    data : Path, str or None
        The folder of the data sets; by default ISBENCH_DATA, else the user-data folder.
    limit : int or None
        Keep only the first objects; without effect if there are no more.

    Returns
    -------
    Dataset
        At least one object; its keys are unique and read `<image>#<object>`.

    Raises
    ------
    IsbenchError
        For an unknown name, a data set that is missing or not in its layout, a limit below 1, and
        a package whose reader fails.
    """
    if limit is not None:
        check_least("limit", limit, 1)
    dataset = _load(name, None if data is None else Path(data))
    if not dataset.keys:
        why = f" ({'; '.join(dataset.notes)})" if dataset.notes else ""
        raise IsbenchError(f"data set {name} has no objects{why}; wanted at least 1")
    if limit is None or limit >= len(dataset.keys):  # all objects are the data set itself
        return dataset
    return replace(dataset, keys=dataset.keys[:limit], limit=limit)


def _load(name: str, data: Path | None) -> Dataset:
    reader, colon, place = name.partition(":")
    if colon and reader in list_reader_names():
        read = partial(load_reader(reader).read, place, data)
        dataset = _check(_call(read, f"reader {reader}", place), f"reader {reader}", f"{reader}:")
        return dataset if dataset.place else replace(dataset, place=resolve_place(name))
    if name in BUILT_IN:
        return _load_named(name, data)
    added = list_user_datasets(data)
    if name in added and name in list_dataset_names():
        raise IsbenchError(
            f"two data sets named {name!r}: one comes with a package, the other is {added[name]}; "
            f"remove yours with `isbench data remove {name}`"
        )
    if name in added:
        return replace(_load(added[name], data), name=name)
    if name not in list_dataset_names():
        raise make_unknown_error(
            "data set", name, [*list_dataset_names(), *added, *list_forms()], "dataset"
        )
    return _load_named(name, data)


def _load_named(name: str, data: Path | None) -> Dataset:
    """Return a data set of the catalogue or of a package."""
    card = load_dataset_card(name)
    root = find_root(card, data)
    if root is None:
        raise IsbenchError(
            f"data set {name} is not in {find_data_folder(data)}: wanted a folder "
            f"{' or '.join(card.folders)} that contains {card.landmark}; "
            f"{suggest_installation(name, card)}, or pass the parent of its folder as `data`",
            setting="data",
        )
    source, read = f"data set {name}", partial(card.read, name, root)
    dataset = _check(read() if name in BUILT_IN else _call(read, source, root), source, name)
    return replace(
        dataset,
        zoom_target=card.zoom_target,
        zoom_square=card.zoom_square,
        view_size=card.view_size,
        longest_side=card.longest_side,
    )


def _call(read: Callable[[], object], source: str, place: Path | str) -> object:
    """Return what a reader returns; any error of it is an IsbenchError that names it."""
    with name_errors(f"{source} cannot read {place}"):
        return read()


def _check(dataset: object, source: str, name: str) -> Dataset:
    """Return what a reader returned; raises IsbenchError, which names it, if it cannot be recorded.

    A `name` that ends in a colon is the start of the wanted one.
    """
    if not isinstance(dataset, Dataset):
        raise IsbenchError(
            f"{source} returned a {type(dataset).__name__}; wanted an isbench.Dataset"
        )
    found = str(dataset.name)
    if found[: len(name) if name.endswith(":") else None] != name:
        wanted = f"{name}..." if name.endswith(":") else name
        raise IsbenchError(
            f"{source} returned a data set named {dataset.name!r}; wanted {wanted}, by which "
            "reports read it again"
        )
    if not isinstance(dataset.keys, tuple):
        raise IsbenchError(
            f"{source} returned keys in a {type(dataset.keys).__name__}; wanted a tuple"
        )
    files = dataset.files
    if not isinstance(files, Mapping) or not all(isinstance(p, Path) for p in files.values()):
        raise IsbenchError(f"{source} returned files {files!r}; wanted a mapping from name to Path")
    check_keys(dataset.keys, source)
    return dataset


def check_keys(keys: Sequence[str], source: str) -> None:
    """Raise IsbenchError, which names the `source`, unless keys are unique and can be recorded."""
    seen: set[str] = set()
    for key in keys:
        if not isinstance(key, str) or not all(key.rpartition("#")[::2]) or not is_one_line(key):
            raise IsbenchError(f"{source} returned object {key!a}; wanted '<image>#<object>'")
        if key in seen:
            raise IsbenchError(f"{source} returned two objects {key!r}; wanted unique keys")
        seen.add(key)
