"""Verification of a whole data set: load every object, count, compute the fingerprint."""

from __future__ import annotations

from dataclasses import dataclass

from isbench.datasets.fingerprints import fingerprint
from isbench.errors import IsbenchError
from isbench.metrics import image_of
from isbench.types import Dataset


@dataclass(frozen=True)
class Verdict:
    """The result of a verification: counts, the content's fingerprint, and faults."""

    images: int
    objects: int
    fingerprint: str | None  # None if a file is missing
    faults: tuple[str, ...]
    empty: int  # objects without a scored pixel
    notes: tuple[str, ...]


def verify(dataset: Dataset) -> Verdict:
    """Load every object and return the verdict; faults are listed, not raised."""
    faults, empty, content = [], 0, None
    for key in dataset.keys:
        try:
            empty += not dataset.load(key).truth.any()
        except IsbenchError as error:
            faults.append(str(error))
    try:
        content = fingerprint(dataset)
    except IsbenchError as error:
        faults.append(str(error))
    return Verdict(
        images=len({image_of(key) for key in dataset.keys}),
        objects=len(dataset.keys),
        fingerprint=content,
        faults=tuple(dict.fromkeys(faults)),  # one bad file may affect many objects
        empty=empty,
        notes=dataset.notes,
    )
