"""PASCAL VOC 2012 (Everingham et al.): instances by palette index; 255 is not scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isbench.datasets.faults import check_faults
from isbench.datasets.image_io import check_size, read_image, read_indices
from isbench.datasets.lists import VOID, find_file, find_missing, list_instances, read_list
from isbench.types import Dataset, Sample


@dataclass(frozen=True)
class Voc:
    """Loads objects by key; see `Dataset.load`."""

    root: Path
    places: Mapping[str, tuple[str, int]]  # key -> image's stem, palette index

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        stem, index = self.places[key]
        image = read_image(_locate_image(self.root, stem))
        path = _locate_mask(self.root, stem)
        labels = read_indices(path)
        check_size(path, labels, image)
        return Sample(key, image, labels == index, labels == VOID)


def read(name: str, root: Path, split: str) -> Dataset:
    """Return the instances of the images listed in `ImageSets/Segmentation/<split>.txt`.

    Indices are read as stored: converting the palette's colours to grey would merge instances 1 and
    16, 3 and 18, 6 and 21, 9 and 24. Raises DatasetFaults for images that are missing and for masks
    that cannot be read.
    """
    listed = f"ImageSets/Segmentation/{split}.txt"
    stems = read_list(root / listed)
    faults = find_missing(root / listed, (_locate_image(root, stem) for stem in stems))
    places = list_instances(stems, lambda stem: read_indices(_locate_mask(root, stem)), faults)
    used = {listed: root / listed}
    used |= {f"JPEGImages/{stem}.jpg": _locate_image(root, stem) for stem in stems}
    used |= {f"SegmentationObject/{stem}.png": _locate_mask(root, stem) for stem in stems}
    dataset = Dataset(name, tuple(places), Voc(root, places), used)
    return check_faults(dataset, f"data set {name}", faults)


def _locate_image(root: Path, stem: str) -> Path:
    return find_file(root / "JPEGImages", f"{stem}.jpg")


def _locate_mask(root: Path, stem: str) -> Path:
    return find_file(root / "SegmentationObject", f"{stem}.png")
