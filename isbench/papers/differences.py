"""The paired difference between two cells of a table, over the same objects."""

from __future__ import annotations

import numpy as np

from isbench import metrics
from isbench.metrics import Difference, Floats
from isbench.papers.cells import Cell
from isbench.papers.rows import Question
from isbench.reporting.tables import collect_games
from isbench.storage.store import Run


def compare_cells(before: Cell, after: Cell) -> Difference | None:
    """Return what `after` has more than `before`, paired over objects, with its 95 % interval.

    Both cells are of one question. Returns None unless both have a run, over the same objects.
    """
    a, b = before.selection.run, after.selection.run
    if a is None or b is None or a.spec.fingerprint != b.spec.fingerprint:
        return None
    first, second = (_count_by_key(run, before.question) for run in (a, b))
    keys = sorted(first)
    if keys != sorted(second):
        return None
    images = [metrics.image_of(key) for key in keys]
    return metrics.compare_paired(_take(second, keys), _take(first, keys), images)


def format_difference(difference: Difference | None) -> str:
    """Return a difference with its sign and its interval, "" for None."""
    if difference is None:
        return ""
    d = difference
    return f"{d.mean:+.2f}" + (f" [{d.low:+.2f}, {d.high:+.2f}]" if d.low == d.low else "")


def _count_by_key(run: Run, question: Question) -> dict[str, float]:
    games = collect_games(run, question.max_clicks)
    values = metrics.compute_values(metrics.find_metric(question.metric), games)
    assert values is not None  # a run that does not play to the target does not fit the question
    keys = (game.key for game in run.trajectories)
    return {key: float(value) for key, value in zip(keys, values, strict=True)}


def _take(values: dict[str, float], keys: list[str]) -> Floats:
    return np.array([values[key] for key in keys])
