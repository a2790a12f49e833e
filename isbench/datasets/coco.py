"""Annotation files in COCO's instance format, with their folder of images.

Everything is checked when the file is opened, and all faults are listed at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from isbench.datasets.faults import check_faults, is_one_line
from isbench.datasets.image_io import ImageSize, read_image, read_size
from isbench.datasets.lists import compose, find_file
from isbench.datasets.outlines import Outline, count_slivers, decode_outline, find_outline_fault
from isbench.errors import IsbenchError
from isbench.files.json_text import parse_json, refuse_repeated
from isbench.files.limits import read_regular
from isbench.types import Dataset, Sample

_REMEDY = "correct the annotations, or name the folder that contains the images"


@dataclass(frozen=True)
class Coco:
    """Loads objects by key; see `Dataset.load`."""

    images: Path
    annotations: Path
    outlines: Mapping[str, Outline]

    def __call__(self, key: str) -> Sample:
        """Return the object of this key."""
        outline = self.outlines[key]
        image = read_image(find_file(self.images, outline.file))
        fault = find_size_fault(outline, ImageSize(image.shape[0], image.shape[1]))
        if fault:
            raise IsbenchError(f"object {key} of {self.annotations}: {fault}; {_REMEDY}")
        truth = decode_outline(outline)
        return Sample(key, image, truth, np.zeros_like(truth))


class _Image(NamedTuple):
    """A listed image: its file, its (height, width), and its part of the keys."""

    file: str
    height: int
    width: int


@dataclass
class _Findings:
    """What the reading of an annotation file finds: faults, and counts of what is left out."""

    faults: list[str] = field(default_factory=list)
    crowds: int = 0
    stray: int = 0
    slivers: int = 0

    def list_notes(self) -> tuple[str, ...]:
        """Return what is left out, in words."""
        counts = {
            "crowd regions": self.crowds,
            "annotations of unlisted images": self.stray,
            "polygons of less than three points": self.slivers,
        }
        return tuple(f"{what} left out: {count}" for what, count in counts.items() if count)


def read(name: str, images: Path, annotations: Path) -> Dataset:
    """Return the objects of an annotation file; keys are "<image without suffix>#<annotation id>".

    Images that differ by their suffix only keep it in the key. Crowd regions, which are not single
    objects, annotations of unlisted images, and polygons of one or two points are left out and
    counted in the notes. Raises IsbenchError for a file that is not in COCO's format, and
    DatasetFaults for entries that are malformed or ambiguous, and for images that are missing or
    have another size than listed.
    """
    findings = _Findings()
    content = load_annotations(annotations)
    listed = _read_images(content["images"], findings)
    by_image = _group_objects(content["annotations"], listed, findings)
    for identity, fault in [*_find_image_faults(images, listed, by_image)]:
        findings.faults.append(fault)
        del by_image[identity]  # its polygons are not of this image
    outlines = _read_outlines(by_image, listed, findings)
    used = sorted({one.file for one in outlines.values()})
    files = {f"images/{file}": find_file(images, file) for file in used}
    files["annotations"] = annotations
    loader = Coco(images, annotations, outlines)
    dataset = Dataset(name, tuple(outlines), loader, files, notes=findings.list_notes())
    return check_faults(dataset, str(annotations), findings.faults, _REMEDY)


def load_annotations(path: Path) -> dict[str, Any]:
    """Return the content of an annotation file, whose `images` and `annotations` are lists.

    Raises IsbenchError for anything else, also for a field that one entry has twice.
    """
    try:
        content = parse_json(read_regular(path), object_pairs_hook=refuse_repeated)
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise _format_error(path, str(error)) from error
    for part in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise _format_error(path, f"no list {part!r}")
    return dict(content)


def _format_error(path: Path, fault: str) -> IsbenchError:
    return IsbenchError(
        f"{path} is not in COCO's instance format ({fault}); pass an instances file"
    )


def _read_images(entries: list[Any], findings: _Findings) -> dict[int, _Image]:
    """Return the listed images by id, without those that have a fault."""
    found: dict[int, _Image] = {}
    files: dict[str, int] = {}
    for number, entry in enumerate(entries):
        fault = find_field_fault(entry, _IMAGE_FIELDS) or find_name_fault(entry["file_name"])
        if fault:
            findings.faults.append(f"images[{number}] {fault}")
            continue
        image = _Image(entry["file_name"], entry["height"], entry["width"])
        path, identity = compose(str(PurePosixPath(image.file))), entry["id"]
        if identity in found:
            findings.faults.append(
                f"two images have the id {identity}: {found[identity].file} and {image.file}"
            )
        elif path in files:
            findings.faults.append(
                f"two images are named {image.file}: ids {files[path]} and {identity}"
            )
        else:
            found[identity], files[path] = image, identity
    return found


def _group_objects(
    entries: list[Any], listed: Mapping[int, _Image], findings: _Findings
) -> dict[int, list[Any]]:
    """Return the annotations of objects by the id of their image, in the order of its name."""
    by_image: dict[int, list[Any]] = {}
    for number, entry in enumerate(entries):
        fault = find_field_fault(entry, ANNOTATION_FIELDS)
        if fault:
            findings.faults.append(f"annotations[{number}] {fault}")
        elif entry["image_id"] not in listed:
            findings.stray += 1
        elif entry.get("iscrowd", 0):
            findings.crowds += 1
        else:
            by_image.setdefault(entry["image_id"], []).append(entry)
    return dict(sorted(by_image.items(), key=lambda pair: listed[pair[0]].file))


def _read_outlines(
    by_image: Mapping[int, list[Any]], listed: Mapping[int, _Image], findings: _Findings
) -> dict[str, Outline]:
    """Return the objects by key, in image-major order."""
    names = name_images([image.file for image in listed.values()])
    outlines: dict[str, Outline] = {}
    for identity, entries in by_image.items():
        image = listed[identity]
        for entry in sorted(entries, key=lambda entry: int(entry["id"])):
            key = f"{names[image.file]}#{entry['id']}"
            outline = Outline(*image, entry.get("segmentation"))
            fault = _find_fault(outline)
            if key in outlines:
                findings.faults.append(
                    f"two annotations of image {image.file} have the id {entry['id']}"
                )
            elif fault:
                findings.faults.append(f"object {key} has a broken segmentation: {fault}")
            else:
                findings.slivers += count_slivers(outline)
                outlines[key] = outline
    return outlines


def _find_fault(outline: Outline) -> str | None:
    if outline.segmentation in ([], None):
        return "it is empty"
    return find_outline_fault(outline)


def name_images(files: Iterable[str]) -> dict[str, str]:
    """Return each image's part of the keys: without suffix, unless two images then have one."""
    short = {file: str(PurePosixPath(file).with_suffix("")) for file in files}
    counts: dict[str, int] = {}
    for name in short.values():
        counts[name] = counts.get(name, 0) + 1
    names = {
        file: name if counts[name] == 1 else str(PurePosixPath(file))
        for file, name in short.items()
    }
    if len(set(names.values())) < len(names):  # "a.png", "a.bmp" and "a.bmp.png"
        names = {file: str(PurePosixPath(file)) for file in short}
    return names


_IMAGE_FIELDS: Mapping[str, tuple[type, int]] = {
    "id": (int, 0),
    "file_name": (str, 0),
    "height": (int, 1),
    "width": (int, 1),
}
ANNOTATION_FIELDS: Mapping[str, tuple[type, int]] = {"id": (int, 0), "image_id": (int, 0)}
_LARGEST = 2**63  # of a number in an entry


def find_field_fault(entry: Any, fields: Mapping[str, tuple[type, int]]) -> str | None:
    """Return which field of an entry is missing or of another type, None if all are right."""
    if not isinstance(entry, dict):
        return f"is {_shorten(entry)}; wanted an entry with {', '.join(fields)}"
    for name, (kind, least) in fields.items():
        if name not in entry:
            return f"has no {name}"
        value = entry[name]
        if type(value) is not kind:  # true is no number
            wanted = "a whole number" if kind is int else "a text"
            return f"has {name} {_shorten(value)}; wanted {wanted}"
        if isinstance(value, int) and not least <= value < _LARGEST:
            return f"has {name} {_shorten(value)}; wanted at least {least}, and less than 2^63"
    crowd = entry.get("iscrowd", 0)
    if type(crowd) is not int or crowd not in (0, 1):
        return f"has iscrowd {_shorten(crowd)}; wanted 0 or 1"
    return None


def find_name_fault(name: str) -> str | None:
    """Return why an image's file name may not be used, None if it may.

    A file that was received must not lead to files outside its folder of images.
    """
    path = PurePosixPath(name)
    shown = _shorten(name)
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        return f"has file_name {shown}, which leads out of the folder of images"
    if "\\" in name:
        return f"has file_name {shown}; wanted '/' between folders"
    if not path.name or not is_one_line(name):
        return f"has file_name {shown}; wanted the name of a file"
    return None


def _find_image_faults(
    images: Path, listed: Mapping[int, _Image], used: Iterable[int]
) -> Iterator[tuple[int, str]]:
    """Yield the id and the fault of each used image that is missing or of another size."""
    root = os.path.realpath(images)
    for identity in used:
        image = listed[identity]
        path = find_file(images, image.file)
        try:
            inside = Path(os.path.realpath(path)).is_relative_to(root)
            is_there = path.is_file()
        except (OSError, RuntimeError) as error:  # a name that is too long, a loop of links
            reason = getattr(error, "strerror", None) or error
            yield identity, f"cannot read image {_shorten(image.file)} in {images}: {reason}"
            continue
        if not inside:
            yield identity, f"image {path} is a link that leads out of {images}; copy the file"
        elif not is_there:
            yield identity, f"image {path} does not exist"
        else:
            size = read_size(path)
            fault = find_size_fault(Outline(*image, None), size) if size else None
            if fault:
                yield identity, fault


def find_size_fault(outline: Outline, size: ImageSize) -> str | None:
    """Return how an image's listed size differs from that of its file, None if they are equal."""
    listed, found = (outline.height, outline.width), (size.height, size.width)
    if listed == found:
        return None
    reason = ""
    if listed == found[::-1]:
        reason = ": its EXIF data rotates it" if size.rotated else ": width and height are swapped"
    return (
        f"image {outline.file} is listed with {outline.width}x{outline.height} pixels and has "
        f"{size.width}x{size.height}{reason}"
    )


def _shorten(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return f"of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
