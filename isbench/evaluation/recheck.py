"""Whether a record still holds for a model whose code is not the code that it was played by.

What identifies a run leaves the code out, so a few of its games are played again before it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from isbench.errors import IsbenchError
from isbench.evaluation.replay_check import Depth, list_changes, list_excess, replay_games
from isbench.storage import store
from isbench.storage.environment import describe_environment, processor
from isbench.storage.store import Run
from isbench.types import Dataset, Predictor

CLICKS = 5  # of each game that is played again


def recheck(
    run: Run,
    sources: Mapping[str, str],
    dataset: Dataset,
    build: Callable[[], Predictor],
    objects: int,
) -> str:
    """Play up to `objects` recorded games again unless `sources` are those of the record.

    Returns a note for the user, "" where nothing was played. A network's games on another processor
    than the recorded one may differ within the bounds of `replay_check`. Raises IsbenchError naming
    the first object whose game changed.
    """
    recorded = _recorded_sources(run)
    if not objects or not run.trajectories or (sources and recorded == sources):
        return ""
    games = replay_games(build(), dataset, run.trajectories, run.spec.rules, Depth(objects, CLICKS))
    changes = list(list_changes(games))
    if changes and not _is_exact(run):
        changes = list(list_excess(games, run.spec.rules))
    if changes:
        raise IsbenchError(
            f"{run.path} was recorded by other code of {run.spec.model}"
            f"{_describe(recorded, sources)}, which gives other masks now: {changes[0]}. If the "
            f"change is meant, bump the card's version (now {run.spec.version!r}); or move the "
            "file away"
        )
    facts = {**describe_environment(), "sources": sources, "rechecked": len(games)}
    with suppress(IsbenchError):  # a folder that cannot be written: it is checked again next time
        store.add_session(run.path, facts)
    return (
        f"its code{_describe(recorded, sources)} is not known to be the code of today: "
        f"{len(games)} games were played again, alike"
    )


def _recorded_sources(run: Run) -> Mapping[str, str] | None:
    """Return the code that last played or checked a run, None if it is not known."""
    known: list[Any] = [session["sources"] for session in run.meta if "sources" in session]
    return known[-1] if known else None


def _is_exact(run: Run) -> bool:
    """Whether games must be as recorded to the last pixel."""
    if run.spec.backend is None:
        return True
    return bool(run.meta) and all(one.get("processor") == processor() for one in run.meta)


def _describe(recorded: Mapping[str, str] | None, sources: Mapping[str, str]) -> str:
    """Return which modules differ, in brackets."""
    if recorded is None:
        return ""
    names = sorted({*recorded, *sources})
    changed = [name for name in names if recorded.get(name) != sources.get(name)]
    return f" ({', '.join(changed)})" if changed else ""
