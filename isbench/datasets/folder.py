"""A user's folder: `images/` and `masks/` with equal stems; `stem__k` for several objects.

`labels` says how the levels of a mask are read. Without it, 0 is background, 128 is not scored, and
the one other level is the object. With "void", 255 is not scored either. With "instances", each
level from 1 to 254 is an object, and 255 is not scored.

With `initial/`, games start from its masks, which are named and read like those of `masks/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isbench.datasets.faults import check_faults
from isbench.datasets.image_io import (
    check_mask,
    check_size,
    read_image,
    read_indices,
    read_mask,
    to_labels,
)
from isbench.datasets.lists import VOID, compose
from isbench.datasets.pairs import match_by_order, match_by_stem
from isbench.errors import IsbenchError
from isbench.types import Dataset, Mask, Sample

IGNORED = 128
LABELS = ("instances", "void")

_INITIAL = "initial"  # folder of the masks that games start from
_SOFT = 32  # levels, from which a mask has soft edges rather than labels
_BAND = 1 << 20  # pixels that are counted at once


@dataclass(frozen=True)
class Folder:
    """Loads objects by key; see `Dataset.load`."""

    root: Path
    files: Mapping[str, tuple[str, str]]  # key -> image file, mask file
    labels: str = ""
    levels: Mapping[str, int] | None = None  # of each object, with "instances"

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        image_file, mask_file = self.files[key]
        truth, ignore = self.read_mask(key)
        image = read_image(self.root / image_file)
        check_size(self.root / mask_file, truth, image)
        return Sample(key, image, truth, ignore)

    def read_mask(self, key: str) -> tuple[Mask, Mask]:
        """Return the object and the pixels that are not scored, both (H, W), without the image."""
        path = self.root / self.files[key][1]
        stored = read_mask(path)
        labels = to_labels(stored)
        if self.levels is not None:
            return labels == self.levels[key], labels == VOID
        _check_levels(path, stored, self.labels)
        ignore: Mask = labels == IGNORED
        if self.labels == "void":
            ignore |= labels == VOID
        return np.greater(labels != 0, ignore), ignore


@dataclass(frozen=True)
class InitialMasks:
    """Loads the masks that objects start from, by key; see `Dataset.initial`."""

    objects: Folder  # with a file of `initial/` in the place of each mask

    def __call__(self, key: str) -> Mask:
        """Return the mask of this key."""
        return self.objects.read_mask(key)[0]


def read(name: str, root: Path, labels: str = "") -> Dataset:
    """Return the data set in a folder.

    Entries that are no images, such as dangling links, other formats and subfolders, are counted in
    the notes. Raises DatasetFaults for an image without a mask, a mask without an image, two masks
    of one object, a mask without its initial mask if there is a folder of those, and, with
    "instances", a mask without instances.
    """
    images, masks = match_by_stem(root, "images", "image"), match_by_stem(root, "masks", "mask")
    faults = [*images.faults, *masks.faults]
    files: dict[str, tuple[str, str]] = {}
    for stem, mask in masks.files.items():
        image, object_name = _split_stem(stem, images.files)
        if image not in images.files:
            faults.append(
                f"mask {root / mask} has no image: wanted {root / 'images' / image} with an image "
                "suffix; add the image, or remove the mask"
            )
            continue
        key = f"{image}#{object_name}"
        if key in files:
            faults.append(
                f"two masks for object {key}: {root / files[key][1]} and {root / mask}; remove one"
            )
        files[key] = images.files[image], mask
    for stem in sorted(images.files.keys() - {key.rpartition("#")[0] for key in files}):
        faults.append(
            f"image {root / images.files[stem]} has no mask: wanted {root / 'masks' / stem}.png "
            f"or {stem}__1.png; add the mask, or remove the image"
        )
    levels: dict[str, int] | None = None
    if labels == "instances":
        files, levels = _split_instances(root, files, faults)
    files = match_by_order(files)
    used: dict[str, Path] = {}
    for image, mask in files.values():
        # how masks are read is part of the fingerprint
        suffix = f"?labels={labels}" if labels else ""
        used |= {compose(image): root / image, compose(mask) + suffix: root / mask}
    loader, notes = Folder(root, files, labels, levels), [*images.notes, *masks.notes]
    dataset = Dataset(name, tuple(files), loader, used)
    if (root / _INITIAL).is_dir():
        dataset = _add_initial(dataset, loader, faults, notes)
    return check_faults(replace(dataset, notes=tuple(notes)), name, faults)


def _add_initial(dataset: Dataset, loader: Folder, faults: list[str], notes: list[str]) -> Dataset:
    """Return the objects that have an initial mask; faults and notes are appended."""
    found = match_by_stem(loader.root, _INITIAL, "initial mask")
    faults += found.faults
    notes += found.notes
    unused = set(found.files)
    files: dict[str, tuple[str, str]] = {}
    for key, (image, mask) in loader.files.items():
        stem = compose(Path(mask).stem)
        unused.discard(stem)
        if stem in found.files:
            files[key] = image, found.files[stem]
        else:
            faults.append(
                f"mask {loader.root / mask} has no initial mask: wanted "
                f"{loader.root / _INITIAL / stem}.png; add it, or remove {loader.root / _INITIAL}"
            )
    faults += [
        f"initial mask {loader.root / found.files[stem]} has no mask: wanted "
        f"{loader.root / 'masks' / stem}.png; add it, or remove the initial mask"
        for stem in sorted(unused)
    ]
    used = {compose(mask): loader.root / mask for _, mask in files.values()}
    return replace(
        dataset,
        keys=tuple(files),
        files={**dataset.files, **used},
        initial=InitialMasks(replace(loader, files=files)),
    )


def _split_stem(stem: str, images: Mapping[str, str]) -> tuple[str, str]:
    """Return the image's stem and the object's name for a mask's stem."""
    image, _, object_name = stem.rpartition("__")
    # an object name with "#" would make "<image>#<object>" ambiguous
    alone = stem in images or not image or not object_name or "#" in object_name
    return (stem, "1") if alone else (image, object_name)


def _split_instances(
    root: Path, files: Mapping[str, tuple[str, str]], faults: list[str]
) -> tuple[dict[str, tuple[str, str]], dict[str, int]]:
    """Return the files and the level of each instance by key.

    Instance 3 of the only mask of an image is "image#3", that of mask `image__k` is "image#k.3".
    """
    split: dict[str, tuple[str, str]] = {}
    levels: dict[str, int] = {}
    for key, (image, mask) in files.items():
        try:
            check_mask(root / mask)
            found = _list_instances(root / mask)
        except IsbenchError as error:
            faults.append(str(error))
            continue
        if not found:
            faults.append(
                f"mask {root / mask} has no instance: wanted a level from 1 to 254; remove it"
            )
        stem, _, object_name = key.rpartition("#")
        start = "" if compose(Path(mask).stem) == stem else f"{object_name}."
        for level in found:
            split[f"{stem}#{start}{level}"] = image, mask
            levels[f"{stem}#{start}{level}"] = level
    return split, levels


def _list_instances(path: Path) -> list[int]:
    """Return the levels of the instances of a mask; raises IsbenchError for soft edges."""
    labels = read_indices(path)
    found = [level for level in _list_levels(labels) if level != VOID]
    if len(found) >= _SOFT and _has_soft_edges(labels):
        raise IsbenchError(
            f"mask {path} has {len(found)} levels, most of them on lines beside each other; it "
            "looks like a mask with soft edges: save it with a threshold, as 0 and 255",
            setting="labels",
        )
    return found


def _has_soft_edges(labels: NDArray[np.uint8]) -> bool:
    """Return whether most levels lie on lines beside lines of other levels.

    Thin instances have no pixel whose neighbours are all of their level either, but lie on the
    background.
    """
    padded = np.pad(labels, 1, mode="edge")
    beside = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    inside = np.logical_and.reduce([one == labels for one in beside])
    thick = {*_list_levels(labels[inside]), 0, VOID}
    touching = np.logical_or.reduce([(one != labels) & (one != 0) for one in beside])
    thin = ~np.isin(labels, [*thick])
    levels = {*_list_levels(labels)} - {VOID}
    most = 2 * len(levels - thick) > len(levels)
    return most and 2 * np.count_nonzero(touching & thin) > np.count_nonzero(thin)


def _check_levels(path: Path, stored: NDArray[np.uint8], how: str) -> None:
    """Raise IsbenchError for a mask in which several levels or colours may mean several things."""
    unscored = (IGNORED, VOID) if how == "void" else (IGNORED,)
    found = [level for level in _list_levels(to_labels(stored)) if level not in unscored]
    if how == "void" and _has_colours(stored):
        raise IsbenchError(
            f"mask {path} has colours; wanted levels of grey, which with labels=void tell an "
            "object from what is not scored: save it in grey levels, or read it without labels",
            setting="labels",
        )
    if len(found) <= 1 and not _has_several_colours(stored):
        return
    if len(found) <= 1:
        raise IsbenchError(
            f"mask {path} has several colours; wanted black and one other: save one mask for each "
            "object, or one of palette or grey levels and read it with labels=instances",
            setting="labels",
        )
    shown = ", ".join(map(str, found[:6])) + (f" and {len(found) - 6} more" * (len(found) > 6))
    remedy = "save one mask for each object"
    if len(found) >= _SOFT:
        remedy = "it looks like a mask with soft edges: save it with a threshold, as 0 and 255"
    else:
        remedy += ", or read the folder with labels=instances if each level is an object"
        remedy += ", with labels=void if 255 is not scored" * (VOID in found)
    raise IsbenchError(
        f"mask {path} has the levels {shown}; wanted one level for the object, 0 around it, and "
        f"{' or '.join(map(str, unscored))} where nothing is scored: {remedy}",
        setting="labels",
    )


def _list_levels(labels: NDArray[np.uint8]) -> list[int]:
    """Return the levels of a mask other than 0, in order."""
    present = np.zeros(256, dtype=bool)
    flat = labels.ravel()
    for start in range(0, flat.size, _BAND):
        present[flat[start : start + _BAND]] = True
    return [int(level) for level in np.flatnonzero(present) if level]


def _has_colours(stored: NDArray[np.uint8]) -> bool:
    """Return whether a mask has a pixel that is not grey."""
    if stored.ndim == 2:
        return False
    red, green, blue = np.moveaxis(stored, 2, 0)
    return bool((red != green).any() or (red != blue).any())


def _has_several_colours(stored: NDArray[np.uint8]) -> bool:
    """Return whether a colour mask has two colours that are neither black nor the ignored grey."""
    if stored.ndim == 2:
        return False
    black, ignored = 0, IGNORED * 0x010101
    found: set[int] = set()
    rows = max(1, _BAND // stored.shape[1])
    for start in range(0, len(stored), rows):
        red, green, blue = np.moveaxis(stored[start : start + rows].astype(np.uint32), 2, 0)
        colours = (red << 16) | (green << 8) | blue
        coloured = colours[(colours != black) & (colours != ignored)]
        if coloured.size:
            found |= {int(coloured.min()), int(coloured.max())}
    return len(found) > 1
