"""The data set that a run was played on, read again: from where it was, or from where it is now.

A record has the name and the fingerprint of its data set. The place of a user's own files is in the
run's meta file. Whatever is read counts only if its fingerprint is that of the record: another
folder of the same name is never taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.readers import list_reader_names, with_labels_of
from isbench.datasets.registry import list_dataset_names
from isbench.errors import IsbenchError
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Dataset


def load_dataset_of(run: Run, data: Path | None = None, place: str | None = None) -> Dataset:
    """Return the data set of a run, with its limit; its files are those that the run was played on.

    Parameters
    ----------
    run : Run
        The run.
    data : Path or None
        The folder of the data sets.
    place : str or None
        `READER:PLACE` of the files, instead of the place in the run's meta file. `folder:PATH` is
        read with the labels of the run.

    Raises
    ------
    IsbenchError
        If the data set is missing, or other files are in its place.
    """
    spec, reasons = run.spec, []
    if spec.dataset in list_dataset_names() and place is None:
        return load_dataset(spec.dataset, data, spec.limit)  # its place is the folder of data sets
    for candidate in dict.fromkeys(list_readings(place, [run]) if place else _list_places(run)):
        try:
            dataset = load_dataset(candidate, data, spec.limit)
            content = fingerprint(dataset)
        except IsbenchError as error:
            reasons.append(str(error))
            continue
        if content == spec.fingerprint:
            return replace(dataset, name=spec.dataset)
        reasons.append(f"the files of {candidate} are others (fingerprint {content[:12]})")
    raise IsbenchError(
        f"run {store.parse_digest(run.path)} was played on files of {spec.dataset} (fingerprint "
        f"{str(spec.fingerprint)[:12]}) that are not there: {'; '.join(reasons)}; name their place "
        "as READER:PLACE, such as folder:PATH",
        setting="dataset",
    )


def is_place(name: str) -> bool:
    """Return whether the name of a data set says where it is read, such as folder:PATH."""
    reader, colon, _ = name.partition(":")
    return bool(colon) and reader in list_reader_names()


def list_readings(place: str, runs: Iterable[Run]) -> list[str]:
    """Return how a place may have been read: as it is, and with the labels of the runs' places."""
    names = (name for run in runs for name in _list_places(run))
    return list(dict.fromkeys((place, *(with_labels_of(place, name) for name in names))))


def find_dataset_name(runs: Sequence[Run], dataset: Dataset) -> str:
    """Return the name that records have of a data set of one's own files, by its fingerprint.

    Raises IsbenchError if no run was played on these files.
    """
    content = fingerprint(dataset)
    for run in runs:
        if run.spec.fingerprint == content and run.spec.dataset not in list_dataset_names():
            return run.spec.dataset
    played = {
        f"{run.spec.dataset} ({str(run.spec.fingerprint)[:12]})"
        for run in runs
        if run.spec.dataset not in list_dataset_names()
    }
    raise IsbenchError(
        f"no run was played on the files of {dataset.place or dataset.name} (fingerprint "
        f"{content[:12]}); runs on your own files: {', '.join(sorted(played)) or 'none'}",
        setting="dataset",
    )


def _list_places(run: Run) -> Iterator[str]:
    """Yield where the files may be: where sessions read them, last first, then the name."""
    for session in reversed(run.meta):
        place = session.get("place")
        if isinstance(place, str) and is_place(place):
            yield place
    yield run.spec.dataset
