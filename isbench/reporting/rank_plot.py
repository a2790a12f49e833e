"""The critical-difference plot: mean ranks of systems, and which of them a test cannot tell apart.

Source: Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006. Not
here: the ranks (`systems`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isbench.errors import IsbenchError
from isbench.metrics import MAIN_NOC, Ranking, group_systems
from isbench.reporting.compare import name_compared_figure
from isbench.reporting.labels import NO_LABELS, format_count, make_labels
from isbench.reporting.plot_canvas import LEGEND_SIZE, Grid, draw_grid, measure, wrap
from isbench.reporting.systems import System, compute_rankings, find_shared_datasets
from isbench.storage.store import Run

# inches
_AXIS = 3.6  # length of the axis of ranks
_WIDEST = 2.4  # of a name
_TOP, _GROUP, _LINE = 0.62, 0.09, 0.16  # above the axis, a bar of a group, a line of a name
_GAP = 0.08
_INK, _GROUP_INK = "#000000", "#D55E00"
_SIZE = LEGEND_SIZE


class _Side(NamedTuple):
    """The systems whose names are on one side of the axis, from the top row down."""

    systems: list[int]
    lines: list[list[str]]
    width: float


def plot_critical_difference(
    runs: Sequence[Run], max_clicks: int, labels: Mapping[str, str] = NO_LABELS
) -> Figure:
    """Plot the mean rank of each system by NoC at the main target, and Nemenyi's test at 0.05.

    One panel ranks over data sets, if there are several, and one over images. Rank 1 is the best.
    Bars join systems whose mean ranks differ by less than the critical difference. Data sets
    without a run of every system are left out. Raises IsbenchError for less than two systems or no
    data set in common, runs over different objects, and runs that stop below the target.
    """
    systems = make_systems(runs, make_labels(runs, labels))
    datasets = find_shared_datasets(systems)
    over_datasets, over_images = compute_rankings(systems, MAIN_NOC, max_clicks)
    names = [one.label for one in systems]
    places = ", ".join(datasets)
    rankings = [(f"over {format_count(over_images.blocks, 'image')} of {places}", over_images)]
    if len(datasets) > 1:
        rankings.insert(0, (f"over {len(datasets)} data sets: {places}", over_datasets))
    sides = [_place_names(names, ranking) for _, ranking in rankings]
    width = _AXIS + 2 * (_GAP + max(side.width for pair in sides for side in pair))
    height = max(_measure_height(pair, ranking) for pair, (_, ranking) in
                 zip(sides, rankings, strict=True))  # fmt: skip
    shortest = min(run.spec.rules.max_clicks for one in systems for run in one.runs.values())
    figure_name = name_compared_figure(MAIN_NOC, min(max_clicks, shortest))
    titles = [f"Mean rank by {figure_name} {title}" for title, _ in rankings]
    grid = Grid([("", titles)], columns=1, size=(width, height), bottom=_GAP, most_stretch=1.0)
    figure, panels = draw_grid(grid, notes=tuple(_list_notes(runs, datasets)))
    for panel, pair, (_, ranking) in zip(panels, sides, rankings, strict=True):
        _draw_panel(panel, pair, ranking)
    return figure


def make_systems(runs: Sequence[Run], labels: Sequence[str]) -> list[System]:
    """Return the systems that the labels of runs name; raises IsbenchError for less than two."""
    found: dict[str, dict[str, Run]] = {}
    for run, label in zip(runs, labels, strict=True):
        found.setdefault(label, {})[run.spec.dataset] = run
    if len(found) < 2:
        raise IsbenchError(
            f"the runs are of {format_count(len(found), 'system')}; wanted at least 2 to rank"
        )
    return [System(label, of_system) for label, of_system in found.items()]


def _list_notes(runs: Sequence[Run], datasets: Sequence[str]) -> Iterator[str]:
    yield (
        "Rank 1 is the best. Bars join systems whose mean ranks differ by less than the critical "
        "difference (CD) of Nemenyi's test at 0.05."
    )
    left_out = dict.fromkeys(run.spec.dataset for run in runs if run.spec.dataset not in datasets)
    if left_out:
        yield f"Left out, since not every system has a run: {', '.join(left_out)}."


def _place_names(names: Sequence[str], ranking: Ranking) -> tuple[_Side, _Side]:
    """Return the better half, best first, and the other half, worst first."""
    order = np.argsort(ranking.means, kind="stable").tolist()
    half = -(-len(order) // 2)
    left, right = order[:half], order[half:][::-1]
    return _wrap_names(names, ranking, left), _wrap_names(names, ranking, right)


def _wrap_names(names: Sequence[str], ranking: Ranking, systems: list[int]) -> _Side:
    lines = [wrap(f"{names[k]}  {ranking.means[k]:.2f}", _SIZE, _WIDEST) for k in systems]
    widest = max((measure(line, _SIZE) for part in lines for line in part), default=0.0)
    return _Side(systems, lines, widest)


def _measure_height(sides: tuple[_Side, _Side], ranking: Ranking) -> float:
    rows = max(sum(_LINE * len(part) + _GAP for part in side.lines) for side in sides)
    return _TOP + _GROUP * (len(group_systems(ranking)) + 1) + rows + _GAP


def _draw_panel(panel: Axes, sides: tuple[_Side, _Side], ranking: Ranking) -> None:
    """Draw a ranking; the coordinates of the panel are inches from its top left."""
    figure = panel.get_figure()
    assert isinstance(figure, Figure)
    place, (across, down) = panel.get_position(), figure.get_size_inches()
    width, height = place.width * across, place.height * down
    panel.set(xlim=(0, width), ylim=(height, 0))
    panel.set_axis_off()
    count, start = len(ranking.means), (width - _AXIS) / 2
    inch = _AXIS / (count - 1)  # of a rank

    def find_x(rank: float) -> float:
        return float(start + (rank - 1) * inch)

    panel.plot([start, start + _AXIS], [_TOP, _TOP], color=_INK, linewidth=1.2)
    step = 1 if count <= 12 else 5
    for rank in sorted({1, *range(step, count + 1, step)}):
        panel.plot([find_x(rank)] * 2, [_TOP - 0.06, _TOP], color=_INK, linewidth=1.2)
        panel.text(find_x(rank), _TOP - 0.09, f"{rank}", ha="center", va="bottom", fontsize=_SIZE)
    _draw_ruler(panel, start, inch, ranking)
    for k, group in enumerate(group_systems(ranking)):
        y = _TOP + _GROUP * (k + 1)
        ends = [find_x(ranking.means[group[0]]) - 0.04, find_x(ranking.means[group[-1]]) + 0.04]
        panel.plot(ends, [y, y], color=_GROUP_INK, linewidth=3.5, solid_capstyle="butt")
    first = _TOP + _GROUP * (len(group_systems(ranking)) + 1)
    for side, edge, align in zip(sides, (start, start + _AXIS), ("right", "left"), strict=True):
        gap, y = (-_GAP if align == "right" else _GAP), first
        for k, lines in zip(side.systems, side.lines, strict=True):
            y += _LINE * len(lines) / 2 + _GAP / 2
            x = find_x(ranking.means[k])
            panel.plot([x, x, edge + gap / 2], [_TOP, y, y], color=_INK, linewidth=0.9)
            for n, line in enumerate(lines):
                middle = y + _LINE * (n - (len(lines) - 1) / 2)
                panel.text(edge + gap, middle, line, ha=align, va="center", fontsize=_SIZE)
            y += _LINE * len(lines) / 2 + _GAP / 2


def _draw_ruler(panel: Axes, start: float, inch: float, ranking: Ranking) -> None:
    """Draw the critical difference above the axis, as long as it is on the axis."""
    critical = ranking.critical_difference
    if critical != critical:
        text = "one block: no test"
        panel.text(start, 0.12, text, ha="left", va="center", fontsize=_SIZE)
        return
    shown = min(critical * inch, _AXIS)
    fits = critical * inch <= _AXIS
    panel.plot([start, start + shown], [0.26, 0.26], color=_INK, linewidth=1.2)
    for x in (start, start + shown)[: 1 + fits]:
        panel.plot([x, x], [0.22, 0.30], color=_INK, linewidth=1.2)
    text = f"CD = {critical:.2f}" + (
        "" if fits else ", longer than the axis: no two systems differ"
    )
    panel.text(start, 0.12, text, ha="left", va="center", fontsize=_SIZE)
