"""Verification of a whole data set: load every object, count, compare the fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from isbench.datasets import load_dataset
from isbench.datasets.catalogue import DatasetCard
from isbench.datasets.faults import DatasetFaults
from isbench.datasets.fingerprints import fingerprint, fingerprint_initial
from isbench.datasets.loading import load_sample
from isbench.errors import IsbenchError
from isbench.metrics import count_overlap, find_image
from isbench.types import Dataset, Sample

_NOTHING_KNOWN = "no known fingerprint of this data set to compare with"


class InitialMasks(NamedTuple):
    """The masks that objects start from: their fingerprint, and their IoU with the objects."""

    fingerprint: str
    lowest: float
    mean: float
    highest: float


@dataclass(frozen=True)
class Verdict:
    """The result of a verification: counts, the content's fingerprint, and faults."""

    images: int
    objects: int
    fingerprint: str | None  # None if a file is missing, or the data set cannot be loaded
    faults: tuple[str, ...]
    empty: int  # objects without a scored pixel
    notes: tuple[str, ...]
    initial: InitialMasks | None = None  # None: objects start from no masks, or there are faults


def verify_dataset(dataset: Dataset) -> Verdict:
    """Load every object and return the verdict; faults are listed, not raised."""
    faults, empty, content, initial = [], 0, None, None
    ious: list[float] = []
    for key in dataset.keys:
        try:
            sample = load_sample(dataset, key)
        except IsbenchError as error:
            faults.append(str(error))
            continue
        empty += not sample.truth.any()
        ious += _measure_initial(sample)
    try:
        content = fingerprint(dataset)
        initial = None if faults else _summarise_initial(dataset, ious)
    except IsbenchError as error:
        faults.append(str(error))
    return Verdict(
        images=len({find_image(key) for key in dataset.keys}),
        objects=len(dataset.keys),
        fingerprint=content,
        faults=tuple(dict.fromkeys(faults)),  # one bad file may affect many objects
        empty=empty,
        notes=dataset.notes,
        initial=initial,
    )


def _measure_initial(sample: Sample) -> list[float]:
    """Return the IoU of the mask that an object starts from, if there is one and it has an IoU."""
    if sample.initial is None:
        return []
    intersection, union = count_overlap(sample.initial, sample.truth, sample.ignore)
    return [intersection / union] if union else []


def _summarise_initial(dataset: Dataset, ious: Sequence[float]) -> InitialMasks | None:
    found = fingerprint_initial(dataset)
    if found is None or not ious:
        return None
    return InitialMasks(found, min(ious), sum(ious) / len(ious), max(ious))


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
