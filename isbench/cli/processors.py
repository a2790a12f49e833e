"""On which processor a network's run was played: a line a run in a results folder's file MACHINE.

A network's last bits depend on the processor, and a game may follow them. A sealed run does not
say where it was played, since the same games give the same bytes everywhere; its meta file does,
and stays where it was played. A run without a network is the same on every processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from isbench.reporting.writer import write_text
from isbench.storage import store
from isbench.storage.store import Run

FILE = "MACHINE"


def read_processors(results: Path) -> Mapping[str, str]:
    """Return the processor by a run's digest, of the runs of which it was noted."""
    try:
        lines = (results / FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    parted = (line.partition(" ") for line in lines)
    return {digest: name for digest, space, name in parted if space}


def write_processors(results: Path, runs: Sequence[Run]) -> None:
    """Note the processors of the folder's runs, and forget those of runs that are gone."""
    known = read_processors(results)
    noted = {}
    for run in runs:
        digest = store.digest_of_path(run.path)
        name = _played_on(run) or known.get(digest)
        if is_on_processor(run) and name:
            noted[digest] = name
    if noted != known:
        _write(results, noted)


def rename_processors(results: Path, renamed: Mapping[str, str]) -> None:
    """Keep the notes of runs whose digests changed, by old digest."""
    known = read_processors(results)
    noted = {renamed.get(digest, digest): name for digest, name in known.items()}
    if noted != known:
        _write(results, noted)


def _write(results: Path, noted: Mapping[str, str]) -> None:
    text = "".join(f"{digest} {name}\n" for digest, name in sorted(noted.items()))
    write_text(results / FILE, text)


def is_on_processor(run: Run) -> bool:
    """Whether a run is of a network that a processor computed, not a graphics card."""
    return (run.spec.backend or "").endswith("-cpu")


def _played_on(run: Run) -> str | None:
    """Return the one processor that every session of a run was played on, None if unknown."""
    names = {session.get("processor") for session in run.meta}
    return names.pop() if len(names) == 1 else None
