"""Checks whether a record still holds after the model's code has changed.

A run's identity does not include the code, so a few of its games are replayed before it is reused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from isbench.errors import IsbenchError
from isbench.evaluation.replay_check import Depth, list_changes, list_excess, replay_games
from isbench.storage import run_file
from isbench.storage.environment import describe_environment, describe_processor
from isbench.storage.processors import find_processor
from isbench.storage.store import Run
from isbench.types import Dataset, Predictor

CLICKS = 5  # most clicks of each replayed game


def recheck_run(
    run: Run,
    sources: Mapping[str, str],
    dataset: Dataset,
    build: Callable[[], Predictor],
    objects: int,
) -> str:
    """Replay up to `objects` recorded games unless `sources` equal those of the record.

    Returns a note for the user, "" if nothing was played. On a processor other than the recorded
    one a network's games may differ within the bounds of `replay_check`. Raises IsbenchError that
    names the first object whose game changed.
    """
    recorded = _find_recorded_sources(run)
    if not objects or not run.trajectories or (sources and recorded == sources):
        return ""
    games = replay_games(build(), dataset, run.trajectories, run.spec.rules, Depth(objects, CLICKS))
    changes = list(list_changes(games))
    if changes and not _is_exact(run):
        changes = list(list_excess(games, run.spec.rules))
    if changes:
        raise IsbenchError(
            f"{run.path} was recorded with other code of {run.spec.model}"
            f"{_describe(recorded, sources)}, and today's code gives other masks: {changes[0]}. If "
            f"this is intended, bump the card's version (now {run.spec.version!r}), or move the "
            "file away"
        )
    facts = {**describe_environment(), "sources": sources, "rechecked": len(games)}
    with suppress(IsbenchError):  # the folder is not writable: check again next time
        run_file.add_session(run.path, facts)
    return (
        f"its code{_describe(recorded, sources)} may have changed: {len(games)} games were "
        "replayed with the same result"
    )


def _find_recorded_sources(run: Run) -> Mapping[str, str] | None:
    """Return the source digests that last played or checked a run, None if unknown."""
    recorded: list[Any] = [session["sources"] for session in run.meta if "sources" in session]
    return recorded[-1] if recorded else None


def _is_exact(run: Run) -> bool:
    """Return whether games must match the record to the last pixel."""
    if run.spec.backend is None:
        return True
    return find_processor(run) == describe_processor()


def _describe(recorded: Mapping[str, str] | None, sources: Mapping[str, str]) -> str:
    """Return the modules that differ, in brackets."""
    if recorded is None:
        return ""
    names = sorted({*recorded, *sources})
    changed = [name for name in names if recorded.get(name) != sources.get(name)]
    return f" ({', '.join(changed)})" if changed else ""
