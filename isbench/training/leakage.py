"""Guards against training on benchmark data, recognised by name, folder and image name.

Images that were renamed and moved elsewhere are not recognised.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from isbench.datasets.catalogue import DatasetCard
from isbench.datasets.registry import (
    BUILT_IN,
    find_folder,
    find_root,
    list_dataset_names,
    load_dataset_card,
)
from isbench.errors import IsbenchError

TRAINED = "sbd-train"  # the only data set of the catalogue that is meant for training
_VALIDATION = re.compile(r"val20(14|17)")  # COCO's validation splits, which contain COCO_MVal
_IMAGE_ID = re.compile(r"(?:COCO_\w+_)?(\d{12})")  # in COCO's image names
_NEVER = "which is for evaluation and must not be used for training"


def check_name(data: str) -> None:
    """Raise IsbenchError if `data` names a data set of the benchmark."""
    if data == TRAINED:
        raise IsbenchError(f"training data {data} is called sbd here; wanted sbd")
    if data in list_dataset_names():
        raise IsbenchError(f"training data {data} is a data set of the benchmark, {_NEVER}")


def check_place(place: Path) -> None:
    """Raise IsbenchError for a path inside (or equal to) the folder of a benchmark data set."""
    path, cards = Path(os.path.realpath(place)), _load_cards()
    for folder in (path, *path.parents):
        for name, card in cards.items():
            if _belongs_to(folder, name, card):
                raise IsbenchError(f"training data {place} belongs to data set {name}, {_NEVER}")
    if _VALIDATION.search(path.name) or any(map(_VALIDATION.fullmatch, path.parts)):
        raise IsbenchError(f"training data {place} belongs to COCO's validation split, {_NEVER}")


def check_pictures(data: str, names: Iterable[str]) -> None:
    """Raise IsbenchError if a file name or URL is that of an image in COCO's validation split."""
    mval_ids = _read_mval_image_ids()
    for name in names:
        match = _IMAGE_ID.fullmatch(PurePosixPath(name).stem)
        if _VALIDATION.search(name) or (match and int(match[1]) in mval_ids):
            raise IsbenchError(
                f"training data {data} contains image {name} of COCO's validation split, {_NEVER}; "
                "remove it"
            )


def _load_cards() -> dict[str, DatasetCard]:
    """Return the cards of all data sets by name, without those of broken packages."""
    cards = {}
    for name in list_dataset_names():
        with suppress(IsbenchError):  # `isbench datasets` shows the error
            cards[name] = load_dataset_card(name)
    return cards


def _belongs_to(folder: Path, name: str, card: DatasetCard) -> bool:
    installed = find_root(card)
    if installed is not None and folder == Path(os.path.realpath(installed)):
        return True
    if name not in BUILT_IN:  # the folder names of packages may be too common to mean anything
        return False
    suffixes = (f"/{place}".lower() for place in card.folders)
    return folder.as_posix().lower().endswith(tuple(suffixes)) and (folder / card.landmark).is_dir()


def _read_mval_image_ids() -> frozenset[int]:
    """Return the image ids of COCO_MVal, empty if the data set is not installed."""
    folder = find_folder("coco-mval")
    files = [] if folder is None else (folder / "img").iterdir()
    ids = (path.stem.rpartition("_")[2] for path in files)
    return frozenset(int(number) for number in ids if number.isdecimal())
