"""Data sets with a name: those of the catalogue, then those that packages add.

Not here: names that a user gave (`user_datasets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from isbench.datasets.catalogue import CATALOGUE, SAMPLE, DatasetCard
from isbench.datasets.data_root import find_data_folder
from isbench.errors import IsbenchError, make_unknown_error
from isbench.extensions import Group, find_entry_point, list_names, load_extension

BUILT_IN: Mapping[str, DatasetCard] = {"sample": SAMPLE, **CATALOGUE}
DATASETS = Group("isbench.datasets", "data set", DatasetCard)


def list_dataset_names() -> tuple[str, ...]:
    """Return the names of the built-in data sets, then of those from packages, not imported."""
    return tuple(dict.fromkeys((*BUILT_IN, *list_names(DATASETS))))


def load_dataset_card(name: str) -> DatasetCard:
    """Return the card of a named data set.

    Raises IsbenchError for an unknown name, a name that two data sets have, and a package that
    cannot be imported.
    """
    added = list_names(DATASETS)
    if name not in BUILT_IN and name not in added:
        raise make_unknown_error("data set", name, list_dataset_names(), "dataset")
    if name not in added:
        return BUILT_IN[name]
    if name in BUILT_IN:
        raise IsbenchError(
            f"two data sets named {name!r}: one comes with isbench, the other is "
            f"{find_entry_point(DATASETS, name).value}; uninstall it"
        )
    card = load_extension(DATASETS, name)
    if not card.folders and card.bundled is None:
        raise IsbenchError(f"data set {name} has no folder; wanted `folders` or `bundled`")
    return card


def find_root(card: DatasetCard, data: Path | None = None) -> Path | None:
    """Return the folder of a data set, None if it is not on disk."""
    if card.bundled is not None:
        return card.bundled
    root = find_data_folder(data)
    for name_folder in card.folders:
        if (root / name_folder / card.landmark).is_dir():
            return root / name_folder
    return None


def find_folder(name: str, data: Path | None = None) -> Path | None:
    """Return the folder of a named data set like `find_root`; raises IsbenchError like its card."""
    return find_root(load_dataset_card(name), data)


def suggest_installation(name: str, card: DatasetCard) -> str:
    """Return how to get a data set that is not on disk: what to call or to download by hand."""
    take = f"`isbench data import {name} PATH`"
    if card.archive is not None:
        return f"try `isbench data get {name}` or {take}"
    return f"download it by hand from {card.page}, then {take}" if card.page else f"try {take}"


def is_known(name: str, fingerprint: str | None) -> bool:
    """Whether the content has a known fingerprint; true for a data set without known ones."""
    if name not in list_dataset_names():
        return True
    try:
        known = load_dataset_card(name).fingerprints
    except IsbenchError:  # `isbench datasets` shows the error
        return True
    return not known or fingerprint in known
