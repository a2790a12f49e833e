"""Verification of a whole data set: load every object, count, compare the fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from isbench.datasets import load_dataset
from isbench.datasets.catalogue import DatasetCard
from isbench.datasets.faults import DatasetFaults
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.loading import load_sample
from isbench.errors import IsbenchError
from isbench.metrics import image_of
from isbench.types import Dataset

_NOTHING_KNOWN = "no known fingerprint of this data set to compare with"


@dataclass(frozen=True)
class Verdict:
    """The result of a verification: counts, the content's fingerprint, and faults."""

    images: int
    objects: int
    fingerprint: str | None  # None if a file is missing, or the data set cannot be loaded
    faults: tuple[str, ...]
    empty: int  # objects without a scored pixel
    notes: tuple[str, ...]


def verify_dataset(dataset: Dataset) -> Verdict:
    """Load every object and return the verdict; faults are listed, not raised."""
    faults, empty, content = [], 0, None
    for key in dataset.keys:
        try:
            empty += not load_sample(dataset, key).truth.any()
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


def verify_named(name: str, data: Path | None = None) -> Verdict:
    """Load a data set and every object of it and return the verdict.

    All faults are listed, those that keep the data set from being loaded too. Raises IsbenchError
    for an unknown name, and for a data set that is missing or not in its layout.
    """
    try:
        return verify_dataset(load_dataset(name, data))
    except DatasetFaults as error:
        faults, rest = error.faults, error.rest
    if rest is None:
        return Verdict(0, 0, None, faults, 0, ())
    verdict = verify_dataset(rest)
    listed = dict.fromkeys((*faults, *verdict.faults))
    return replace(verdict, faults=tuple(listed), fingerprint=None)


def compare_with_card(card: DatasetCard | None, verdict: Verdict) -> tuple[str, ...]:
    """Return whether the fingerprint is known, and a warning of other counts than on the card."""
    if card is None:
        return (_NOTHING_KNOWN,)
    counts = verdict.images, verdict.objects
    if card.images is None or (card.images, card.objects) == counts:
        return (_compare_fingerprint(card, verdict.fingerprint),)
    wanted = f"warning: wanted {card.images}/{card.objects} images/objects"
    return _compare_fingerprint(card, verdict.fingerprint), wanted


def _compare_fingerprint(card: DatasetCard, fingerprint: str | None) -> str:
    if not card.fingerprints:
        return _NOTHING_KNOWN
    if fingerprint is not None and fingerprint in card.fingerprints:
        return f"known: {card.fingerprints[fingerprint]}"
    return f"warning: not one of the {len(card.fingerprints)} known fingerprints"
