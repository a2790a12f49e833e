"""Data sets of image and mask folders with equal stems: GrabCut, Berkeley, DAVIS, COCO_MVal, HQSeg.

Checked against the reader of HQSeg-44K in uncbiag/SegNext, since its files were not at hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isbench.datasets.faults import check_faults, is_one_line, join_names
from isbench.datasets.image_io import SUFFIXES, check_size, read_colours, read_image
from isbench.datasets.lists import compose
from isbench.errors import IsbenchError
from isbench.types import Dataset, Mask, Sample

# the colours of a mask file, (H, W, 3) -> the object and the ignored pixels, both (H, W)
Reading: TypeAlias = Callable[[NDArray[np.uint8]], tuple[Mask, Mask]]
_JUNK = frozenset({"Thumbs.db", "desktop.ini"})  # that file managers add
_Natural: TypeAlias = tuple[tuple[int, int, str], ...]  # sorts 2 before 10


@dataclass(frozen=True)
class Layout:
    """The folders and file names of a data set of pairs, and how its masks are read."""

    images: str  # folder of the images
    masks: str  # folder of the masks
    reading: Reading
    stem: str = r"(?P<image>.+)"  # pattern of a stem: group `image` and optionally `object`
    wanted: str = "IMAGE"  # the pattern in words, for the error message
    part: str = ""  # of the data set; keys start with it and a slash


@dataclass(frozen=True)
class Pairs:
    """Loads objects by key; see `Dataset.load`."""

    root: Path
    files: Mapping[str, tuple[str, str]]  # key -> image file, mask file
    reading: Reading

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        image_file, mask_file = self.files[key]
        image, colours = read_image(self.root / image_file), read_colours(self.root / mask_file)
        check_size(self.root / mask_file, colours, image)
        truth, ignore = self.reading(colours)
        return Sample(key, image, truth, ignore)


def split_trimap(colours: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Read a mask: 128 is not scored, anything brighter is the object [GrabCut, Berkeley]."""
    level = colours[:, :, 0]  # the original evaluators read only the first channel
    return level > 128, level == 128


def threshold_mask(colours: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Read a mask: anything that is not black is the object [DAVIS, COCO_MVal, HQSeg-44K]."""
    truth: Mask = np.asarray(colours.any(axis=2))
    return truth, np.zeros_like(truth)


def read(
    name: str, root: Path, layout: Layout, keep: Callable[[str], bool] = lambda _: True
) -> Dataset:
    """Return the data set in `root` with the objects whose names pass `keep`.

    Entries that are no images are counted in the notes. Raises DatasetFaults for a stem that does
    not follow the layout, an image without a mask or a mask without an image.
    """
    return read_parts(name, root, (layout,), keep)


def read_parts(
    name: str,
    root: Path,
    layouts: Sequence[Layout],
    keep: Callable[[str], bool] = lambda _: True,
) -> Dataset:
    """Return a data set of several parts, one after the other, all with the same reading of masks.

    Raises DatasetFaults like `read`.
    """
    files: dict[str, tuple[str, str]] = {}
    faults: list[str] = []
    notes: list[str] = []
    for layout in layouts:
        files |= _match(root, layout, keep, faults, notes)
    used = {compose(file): root / file for pair in files.values() for file in pair}
    loader = Pairs(root, files, layouts[0].reading)
    dataset = Dataset(name, tuple(files), loader, used, notes=tuple(notes))
    return check_faults(dataset, f"data set {name}", faults)


def _match(
    root: Path,
    layout: Layout,
    keep: Callable[[str], bool],
    faults: list[str],
    notes: list[str],
) -> dict[str, tuple[str, str]]:
    """Return the files of each object of a layout by key; faults and notes are appended."""
    images = match_by_stem(root, layout.images, "image")
    masks = match_by_stem(root, layout.masks, "mask")
    faults += [*images.faults, *masks.faults]
    notes += [*images.notes, *masks.notes]
    for stem in sorted(images.files.keys() ^ masks.files.keys()):
        present, missing = (images, "mask") if stem in images.files else (masks, "image")
        folder = layout.masks if stem in images.files else layout.images
        faults.append(
            f"{root / present.files[stem]} has no {missing}: wanted {root / folder / stem} with an "
            f"image suffix; add the {missing}, or remove the file"
        )
    start = f"{layout.part}/" if layout.part else ""
    files = {}
    for stem in sorted(images.files.keys() & masks.files.keys()):
        match = re.fullmatch(layout.stem, stem)
        if match is None:
            faults.append(
                f"{root / images.files[stem]} is not named {layout.wanted}; rename it, or remove it"
            )
            continue
        object_name = match.groupdict().get("object") or "1"
        if keep(object_name):
            key = f"{start}{match['image']}#{object_name}"
            files[key] = images.files[stem], masks.files[stem]
    return match_by_order(files)


class Listing(NamedTuple):
    """The image files of a folder by stem, as posix paths, and what else is in it."""

    files: Mapping[str, str]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def match_by_stem(root: Path, folder: str, kind: str) -> Listing:
    """Return the image files of a folder by stem, as posix paths relative to `root`.

    Stems that differ by the form of their accents only are the same. Two files of one stem and
    names that cannot be recorded are faults; what is no image is counted in the notes. Raises
    IsbenchError if there are none.
    """
    found: dict[str, str] = {}
    faults: list[str] = []
    others: dict[str, list[str]] = {}
    for path in sorted(_list_entries(root / folder, kind), key=attrgetter("name")):
        other, stem = _describe_other(path), compose(path.stem)
        if other:
            others.setdefault(other, []).append(path.name)
        elif not is_one_line(path.name):
            faults.append(f"{kind} {str(path)!a} has a name that is not text; rename it")
        elif stem in found:
            faults.append(f"two {kind}s named {stem}: {root / found[stem]} and {path}; remove one")
        else:
            found[stem] = path.relative_to(root).as_posix()
    if not found and not faults:
        raise IsbenchError(
            f"no {kind}s in {root / folder}; wanted files ending in {', '.join(sorted(SUFFIXES))}"
        )
    counted = "; ".join(
        f"{len(names)} {what} ({join_names(map(_print, names))})" for what, names in others.items()
    )
    notes = (f"left out in {folder}/: {counted}",) if others else ()
    return Listing(found, tuple(faults), notes)


def _describe_other(path: Path) -> str:
    """Return what an entry is that is no image, "" for an image."""
    if path.name.startswith("."):
        return "hidden"
    if path.is_file():
        suffix = path.suffix.lower()
        return "" if suffix in SUFFIXES else (suffix or "without suffix")
    if path.is_dir():
        return "subfolder"
    return "special file" if path.exists() else "dangling link"


def _print(name: str) -> str:
    return name if is_one_line(name) else ascii(name)


def match_by_order(files: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Return the files by key, in image-major order, with image 2 before image 10."""

    def sort_key(key: str) -> tuple[_Natural, _Natural]:
        image, _, object_name = key.rpartition("#")
        return _make_natural_key(image), _make_natural_key(object_name)

    return {key: files[key] for key in sorted(files, key=sort_key)}


def _make_natural_key(text: str) -> _Natural:
    parts = re.findall(r"\d+|\D", text)
    return tuple((1, int(p), p) if p.isdecimal() else (2, 0, p) for p in parts)


def _list_entries(folder: Path, kind: str) -> Iterable[Path]:
    """Return what is in a folder, without the files of systems and file managers.

    Hidden images stay, to be counted, but not those that begin with "._", which macOS adds.
    """
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise IsbenchError(
            f"cannot list {folder}: {error.strerror or error}; wanted a folder of {kind}s"
        ) from error
    return [
        path
        for path in entries
        if path.name not in _JUNK
        and (
            not path.name.startswith(".")
            or (path.suffix.lower() in SUFFIXES and not path.name.startswith("._"))
        )
    ]
