"""Training data by name: packs, SBD, COCO with LVIS, and folders of the user.

Not here: the held-out split and the image cache (`corpus`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isbench.datasets import load_dataset
from isbench.datasets.data_root import VARIABLE, find_data_folder
from isbench.datasets.loading import load_sample
from isbench.datasets.readers import split_labels
from isbench.datasets.registry import BUILT_IN, find_root, suggest_installation
from isbench.errors import IsbenchError, make_unknown_error
from isbench.files.home import expand_home
from isbench.metrics import find_image
from isbench.nn.inference.zoom_in import bounding_box
from isbench.training import pack
from isbench.training.corpus import Corpus, Entry, Picture, pack_mask
from isbench.training.leakage import TRAINED, check_name, check_pictures, check_place
from isbench.types import Dataset, Mask

FORMS = ("pack:PATH", "sbd", "coco:IMAGES_DIR,INSTANCES.json[,LVIS.json]", "folder:PATH")
_LEAST_BOX_SHARE = 0.08  # least share of its bounding box that an SBD object covers [RITM]


def read(data: str) -> Corpus:
    """Return the images of the training data with this name; a plain path is a pack's folder.

    Raises IsbenchError for an unknown name, for evaluation data, and for data that are missing or
    not in the expected layout.
    """
    if data == "sbd":
        return _read_sbd()
    check_name(data)
    form, separator, place = data.partition(":")
    if not (place if separator else form):
        raise IsbenchError(
            f"training data {data!r} names no place; wanted {', '.join(FORMS)}", setting="data"
        )
    if not (separator and form in _READERS):
        if "/" not in data and not expand_home(data, "data").exists():
            raise make_unknown_error("training data", data, FORMS, "data")
        form, place = "pack", data
    corpus = _READERS[form](place)
    check_pictures(data, (entry.name for entry in corpus.entries))
    return corpus


def _read_pack(place: str) -> Corpus:
    return pack.read(_check_path(place))


def _read_coco(place: str) -> Corpus:
    from isbench.training import instances  # pycocotools takes long to import

    images, *annotations = place.split(",")
    if not annotations:
        raise IsbenchError(f"training data 'coco:{place}' has no annotations; wanted {FORMS[2]}")
    return instances.read(_check_path(images), [_check_path(path) for path in annotations])


def _read_folder(place: str) -> Corpus:
    _check_path(split_labels(place)[0])
    return read_dataset(load_dataset(f"folder:{place}"), "folder")


def _read_sbd() -> Corpus:
    folder, card = find_data_folder(), BUILT_IN[TRAINED]
    if find_root(card, folder) is None:  # its own error has advice for the folder of data sets
        raise IsbenchError(
            f"data set {TRAINED} is not in {folder}: {suggest_installation(TRAINED, card)}, or set "
            f"{VARIABLE} to the parent of its folder"
        )
    return read_dataset(load_dataset(TRAINED, folder), "sbd", fills_its_box, card.licence)


def _check_path(place: str) -> Path:
    path = expand_home(place, "data")
    check_place(path)
    return path


_READERS: dict[str, Callable[[str], Corpus]] = {
    "pack": _read_pack,
    "coco": _read_coco,
    "folder": _read_folder,
}


def read_dataset(
    dataset: Dataset, source: str, keep: Callable[[Mask], bool] = np.any, licence: str = ""
) -> Corpus:
    """Return a `Dataset` as training images, with the objects that `keep` accepts."""
    keys: dict[str, list[str]] = {}
    for key in dataset.keys:
        keys.setdefault(find_image(key), []).append(key)
    entries = (
        Entry(name, source, len(image_keys), _ObjectLoader(dataset, tuple(image_keys), keep))
        for name, image_keys in keys.items()
    )
    return Corpus(dataset.name, tuple(entries), licence, dataset.notes)


def fills_its_box(mask: Mask) -> bool:
    """Return whether a mask covers 8 % of its bounding box; rings and scattered bits do not."""
    if not mask.any():
        return False
    box = bounding_box(mask)
    return bool(np.count_nonzero(mask) >= _LEAST_BOX_SHARE * box.height * box.width)


@dataclass(frozen=True)
class _ObjectLoader:
    """Loads an image and its objects from the samples of a data set."""

    dataset: Dataset
    keys: Sequence[str]
    keep: Callable[[Mask], bool]

    def __call__(self) -> Picture:
        samples = [load_sample(self.dataset, key) for key in self.keys]
        objects = tuple(pack_mask(one.truth) for one in samples if self.keep(one.truth))
        if not objects:
            raise IsbenchError(f"image {find_image(self.keys[0])} has no object to train on")
        ignore = np.logical_and.reduce([one.ignore for one in samples])
        return Picture(samples[0].image, objects, pack_mask(ignore) if ignore.any() else None)
