"""The paired difference between two cells of a table, over the same objects.

Two runs may also differ because they were played on different processors, which a note says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from isbench import metrics
from isbench.metrics import Difference, Floats
from isbench.papers.cells import Cell, Records
from isbench.papers.rows import Question
from isbench.reporting.tables import collect_games
from isbench.storage.store import Run, parse_digest


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
    images = [metrics.find_image(key) for key in keys]
    return metrics.compare_paired(_take(second, keys), _take(first, keys), images)


def format_difference(difference: Difference | None) -> str:
    """Return a difference with its sign and its interval, "" for None."""
    if difference is None:
        return ""
    d = difference
    return f"{d.mean:+.2f}" + (f" [{d.low:+.2f}, {d.high:+.2f}]" if d.low == d.low else "")


def describe_processors(cells: Sequence[Cell], records: Records) -> Iterator[str]:
    """Yield which rows were played on which processor, unless all were on the same.

    Runs whose processor the register does not name are left out.
    """
    rows: dict[str, dict[str, set[str]]] = {}
    for cell in cells:
        run = cell.selection.run
        time = run and records.register.times.get(parse_digest(run.path))
        if time:
            on = rows.setdefault(time.processor, {})
            on.setdefault(cell.row.name, set()).add(cell.question.dataset)
    if len(rows) > 1:
        texts = (f"on {name}: {_list_places(rows[name], rows)}" for name in sorted(rows))
        yield (
            "Rounding differs between processors and a game may follow it, so a difference between "
            f"runs on two of them contains that too. Played {'; '.join(texts)}."
        )


def _list_places(on: dict[str, set[str]], rows: dict[str, dict[str, set[str]]]) -> str:
    """Return the rows of a processor, with their data sets if others were played elsewhere."""
    split = {row for row in on if sum(row in other for other in rows.values()) > 1}
    return ", ".join(
        f"{row} ({', '.join(sorted(on[row]))} only)" if row in split else row for row in on
    )


def _count_by_key(run: Run, question: Question) -> dict[str, float]:
    games = collect_games(run, question.max_clicks)
    values = metrics.compute_values(metrics.find_metric(question.metric), games)
    assert values is not None  # a run that does not play to the target does not fit the question
    keys = (game.key for game in run.trajectories)
    return {key: float(value) for key, value in zip(keys, values, strict=True)}


def _take(values: dict[str, float], keys: list[str]) -> Floats:
    return np.array([values[key] for key in keys])
