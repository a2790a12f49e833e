"""The figures of a paper: the recorded runs that they show, and their data as csv.

Not here: drawing them (`figure_files`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from isbench import metrics
from isbench.papers.candidates import find_candidates
from isbench.papers.paper import PaperFigure
from isbench.papers.register import NO_REGISTER, Register
from isbench.papers.rows import Question, Row
from isbench.papers.run_selection import select_run
from isbench.protocol import has_full_games
from isbench.reporting.qualitative import rank_by_distance
from isbench.reporting.text_table import format_rows
from isbench.storage import store
from isbench.storage.store import Run

_CURVES = ("dataset", "model", "clicks", "iou", "low", "high", "objects", "run")
_PICTURES = ("dataset", "object", "model", "clicks", "iou", "run")


class Shown(NamedTuple):
    """A row of a figure and the run that shows it."""

    row: Row
    run: Run


def name_file(figure: PaperFigure) -> str:
    """Return the name of a figure's files, without a suffix."""
    return f"figure{figure.name}"


def find_shown(
    figure: PaperFigure, runs: Sequence[Run], register: Register = NO_REGISTER
) -> list[Shown]:
    """Return the rows of a figure that have runs of full games, one data set after the other.

    Pictures have two, or none.
    """
    full = [run for run in runs if has_full_games(run.spec.rules)]
    candidates = find_candidates(figure.rows, register).found
    found = []
    for dataset in figure.datasets:
        question = Question(dataset, figure.max_clicks, "noc@90")
        for row, candidate in candidates.items():
            run = None if candidate is None else select_run(full, candidate, question).run
            if run is not None:
                found.append(Shown(row, run))
    if figure.plot == "iou_k":
        return found
    return _choose_pair(figure.rows, {one.row: one for one in found})


def _choose_pair(rows: Sequence[Row], found: dict[Row, Shown]) -> list[Shown]:
    """Return the first pair of rows that have runs over the same objects, or nothing."""
    for pair in zip(rows[::2], rows[1::2], strict=True):
        shown = [found[row] for row in pair if row in found]
        if len(shown) == 2 and len({one.run.spec.keys for one in shown}) == 1:
            return shown
    return []


def format_data(figure: PaperFigure, shown: Sequence[Shown]) -> str:
    """Return what a figure shows as csv: of curves their points, of pictures their objects.

    The IoU of a picture is the recorded one, of each model after its own clicks.
    """
    curves = figure.plot == "iou_k"
    lines = _list_points(figure, shown) if curves else _list_objects(figure, shown)
    return format_rows(_CURVES if curves else _PICTURES, lines)


def _list_points(figure: PaperFigure, shown: Sequence[Shown]) -> Iterator[tuple[object, ...]]:
    for row, run in shown:
        scored = [game for game in run.trajectories if metrics.has_scored_pixels(game)]
        values = metrics.curves(scored, figure.max_clicks)
        if not len(values):
            continue
        ends = metrics.bootstrap(values, [metrics.find_image(game.key) for game in scored])
        digest = store.parse_digest(run.path)
        for click, (mean, low, high) in enumerate(zip(values.mean(axis=0), *ends, strict=True), 1):
            point = (f"{one:.6f}" if one == one else "" for one in (mean, low, high))
            yield (run.spec.dataset, row.name, click, *point, len(scored), digest)


def _list_objects(figure: PaperFigure, shown: Sequence[Shown]) -> Iterator[tuple[object, ...]]:
    if not shown:
        return
    runs = [run for _, run in shown]
    for pair in rank_by_distance(runs, figure.max_clicks)[: figure.objects]:
        for (row, run), game in zip(shown, pair.games, strict=True):
            inter, union = game.overlap[pair.clicks - 1]
            iou = f"{inter / union if union else 0.0:.6f}"
            digest = store.parse_digest(run.path)
            yield run.spec.dataset, game.key, row.name, pair.clicks, iou, digest
