"""A user's folder: `images/` and `masks/` with equal stems; `stem__k` for several objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isbench.datasets.image_io import check_mask, check_size, read_image, read_labels
from isbench.datasets.pairs import match_by_order, match_by_stem
from isbench.errors import IsbenchError
from isbench.types import Dataset, Sample

IGNORED = 128


@dataclass(frozen=True)
class Folder:
    """Loads objects by key; see `Dataset.load`. In a mask, 0 is background, 128 is not scored."""

    root: Path
    files: Mapping[str, tuple[str, str]]  # key -> image file, mask file

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        image_file, mask_file = self.files[key]
        check_mask(self.root / mask_file)
        image, labels = read_image(self.root / image_file), read_labels(self.root / mask_file)
        check_size(self.root / mask_file, labels, image)
        ignore = labels == IGNORED
        return Sample(key, image, np.greater(labels != 0, ignore), ignore)


def read(name: str, root: Path) -> Dataset:
    """Return the data set in a folder.

    Raises IsbenchError for an image without a mask, a mask without an image, or two masks of one
    object.
    """
    images, masks = match_by_stem(root, "images", "image"), match_by_stem(root, "masks", "mask")
    files: dict[str, tuple[str, str]] = {}
    for stem, mask in masks.items():
        image, object_name = _split_stem(stem, images)
        if image not in images:
            raise IsbenchError(
                f"mask {root / mask} has no image: wanted {root / 'images' / image} with an image "
                "suffix; add the image, or remove the mask"
            )
        key = f"{image}#{object_name}"
        if key in files:
            raise IsbenchError(
                f"two masks for object {key}: {root / files[key][1]} and {root / mask}; remove one"
            )
        files[key] = images[image], mask
    without_mask = images.keys() - {key.rpartition("#")[0] for key in files}
    if without_mask:
        stem = min(without_mask)
        raise IsbenchError(
            f"image {root / images[stem]} has no mask: wanted {root / 'masks' / stem}.png "
            f"or {stem}__1.png; add the mask, or remove the image"
        )
    files = match_by_order(files)
    used = {file: root / file for pair in files.values() for file in pair}
    return Dataset(name, tuple(files), Folder(root, files), used)


def _split_stem(stem: str, images: Mapping[str, str]) -> tuple[str, str]:
    """Return the image's stem and the object's name for a mask's stem."""
    image, _, object_name = stem.rpartition("__")
    # an object name with "#" would make "<image>#<object>" ambiguous
    alone = stem in images or not image or not object_name or "#" in object_name
    return (stem, "1") if alone else (image, object_name)
