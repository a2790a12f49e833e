"""Plots of runs as matplotlib figures, drawn without a display. No files, no models.

A plot with up to `MOST_CURVES` names has one panel per data set: each name has its colour and its
marker, and a legend is below the panels. With more, every run has a small panel of its own, with
the other runs in grey behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isbench import metrics
from isbench.errors import IsbenchError
from isbench.metrics import Floats
from isbench.protocol import has_full_games
from isbench.reporting.boundary_tables import with_boundary_iou
from isbench.reporting.labels import NO_LABELS, format_count, make_labels
from isbench.reporting.plot_canvas import Entry, Grid, draw_grid
from isbench.reporting.rank_plot import plot_critical_difference
from isbench.reporting.same_objects import check_same_objects
from isbench.storage.store import Run

MOST_CURVES = 8  # in one panel: more cannot be told apart
MOST_BARS = 3  # runs of a data set whose histograms fit in one panel; more are curves

# the palette of Okabe and Ito, which colour-blind readers can distinguish; markers tell in grey
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7A7A7A")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_BEHIND = "#C9C9C9"


class _Curve(NamedTuple):
    """A curve over clicks 1 to K: its values, and the 95 % interval if there is one."""

    run: Run
    label: str
    values: Floats  # (K,)
    interval: tuple[Floats, Floats] | None  # (K,) each

    @property
    def clicks(self) -> Floats:
        """Return the clicks, (K,)."""
        return np.arange(1.0, len(self.values) + 1)


class _Axis(NamedTuple):
    """What the curves show: the title of their axis, and notes below the plot."""

    title: str
    notes: tuple[str, ...] = ()


def plot_iou_k(
    runs: Sequence[Run], max_clicks: int, labels: Mapping[str, str] = NO_LABELS
) -> Figure:
    """Plot the mean IoU after each click: one panel per data set, one curve per run.

    Bands are 95 % bootstrap intervals over images. Objects without a scored pixel, which have no
    IoU, are left out. Curves of runs whose games stop early are dashed: they hold the last IoU,
    while the IoU of a full game may still rise or fall. `labels` are names of runs by digest.
    Raises IsbenchError for runs over different objects of a data set.
    """

    def compute(run: Run) -> tuple[Floats, list[str]]:
        budget = min(max_clicks, run.spec.rules.max_clicks)
        scored = [game for game in run.trajectories if metrics.has_scored_pixels(game)]
        images = [metrics.find_image(game.key) for game in scored]
        return metrics.curves(scored, budget), images

    return _draw_means(runs, compute, _Axis("mean IoU@k"), labels)


def plot_biou_k(
    runs: Sequence[Run], values: Sequence[Floats], labels: Mapping[str, str] = NO_LABELS
) -> Figure:
    """Plot the mean boundary IoU after each click like `iou_k`; `values` are (N, K) per run."""
    found = {id(run): value for run, value in zip(runs, values, strict=True)}

    def compute(run: Run) -> tuple[Floats, list[str]]:
        return with_boundary_iou(run, found[id(run)])

    return _draw_means(runs, compute, _Axis("mean boundary IoU@k"), labels)


def plot_noc_hist(
    runs: Sequence[Run], max_clicks: int, labels: Mapping[str, str] = NO_LABELS
) -> Figure:
    """Plot how many clicks objects need to the main target: one panel per data set.

    Up to `MOST_BARS` runs are histograms, whose last bar, right of the budget, counts the objects
    that never reach it. More runs are curves: the share of the objects that are solved after k
    clicks. Runs that stop below the target are counted at the IoU where they stop, and labelled.
    """
    check_same_objects(runs, "one plot compares them")
    names = [_add_target(run, name) for run, name in _name(runs, labels)]
    datasets = [run.spec.dataset for run in runs]
    if max(map(datasets.count, datasets)) <= MOST_BARS and len(set(names)) <= MOST_CURVES:
        return _draw_bars(runs, names, max_clicks)
    curves = []
    for run, name in zip(runs, names, strict=True):
        budget = min(max_clicks, run.spec.rules.max_clicks)
        target = metrics.limit_target(run.spec.rules.stop_iou)
        counts, _ = metrics.count_by_clicks(metrics.curves(run.trajectories, budget), target)
        curves.append(_Curve(run, name, np.cumsum(counts) / len(run.trajectories), None))
    title = f"share of objects at IoU {metrics.MAIN_TARGET:.2f}"
    return _draw_curves(
        curves, _Axis(title, ("A curve ends at the share of objects that are solved at all.",))
    )


PLOTS: Mapping[str, Callable[..., Figure]] = {
    "iou_k": plot_iou_k,
    "noc_hist": plot_noc_hist,
    "critical_difference": plot_critical_difference,
}
ALIASES = {"ioa_k": "iou_k"}  # an alternative spelling


def _name(runs: Sequence[Run], labels: Mapping[str, str]) -> list[tuple[Run, str]]:
    if not runs:
        raise IsbenchError("no run to plot; wanted at least 1")
    return list(zip(runs, make_labels(runs, labels), strict=True))


def _add_target(run: Run, label: str) -> str:
    target = metrics.limit_target(run.spec.rules.stop_iou)
    text = f"to IoU {target:g}"
    return label if target == metrics.MAIN_TARGET or text in label else f"{label}, {text}"


def _draw_means(
    runs: Sequence[Run],
    compute: Callable[[Run], tuple[Floats, list[str]]],
    axis: _Axis,
    labels: Mapping[str, str],
) -> Figure:
    """Draw the mean of `compute(run)`, (N, K) and N images, with its interval, for each run."""
    check_same_objects(runs, "one plot compares them")
    curves, notes = [], ["Bands: 95 % intervals over images."]
    for run, label in _name(runs, labels):
        values, images = compute(run)
        if left_out := len(run.trajectories) - len(values):
            notes.append(f"{label} on {run.spec.dataset}: {format_count(left_out, 'object')} "
                         "without a value left out.")  # fmt: skip
        if len(values):
            interval = metrics.bootstrap(values, images)
            curves.append(_Curve(run, label, values.mean(axis=0), interval))
    if not curves:
        raise IsbenchError("no object of these runs has a scored pixel; there is nothing to plot")
    if not all(has_full_games(curve.run.spec.rules) for curve in curves):
        notes.append("Dashed: games that stop at an IoU; the last value is held.")
    return _draw_curves(curves, axis._replace(notes=tuple(dict.fromkeys(notes))))


def _draw_curves(curves: Sequence[_Curve], axis: _Axis) -> Figure:
    names = list(dict.fromkeys(curve.label for curve in curves))
    draw = _draw_together if len(names) <= MOST_CURVES else _draw_apart
    return draw(curves, names, axis)


def _draw_together(curves: Sequence[_Curve], names: Sequence[str], axis: _Axis) -> Figure:
    """Draw the curves of a data set in one panel."""
    by_set = _group(curves)
    styles: dict[str, dict[str, Any]] = {
        name: {"color": colour, "marker": marker, "markersize": 4.5, "linewidth": 1.6}
        for name, colour, marker in zip(names, _COLOURS, _MARKERS, strict=False)
    }
    dashed = {c.label for c in curves if not has_full_games(c.run.spec.rules) and c.interval}
    size = (5.6, 3.9) if len(by_set) == 1 else (3.9, 2.9)
    titles = [_make_title(name, members) for name, members in by_set.items()]
    grid = Grid([("", titles)], columns=_count_columns(len(by_set)), size=size, inner_labels=True)
    entries = [
        Entry(name, {**styles[name], "linestyle": "--" if name in dashed else "-"})
        for name in names
    ]
    figure, panels = draw_grid(grid, entries, axis.notes)
    for panel, members in zip(panels, by_set.values(), strict=True):
        for curve in members:
            step = max(1, len(curve.values) // 7)
            first = names.index(curve.label) % step
            line = _choose_line_style(curve)
            panel.plot(
                curve.clicks, curve.values, line, markevery=(first, step), label=f" {curve.label}",
                **styles[curve.label],
            )  # fmt: skip
            _draw_band(panel, curve, styles[curve.label]["color"])
        _set_axes(panel, members, axis)
    return figure


def _draw_apart(curves: Sequence[_Curve], names: Sequence[str], axis: _Axis) -> Figure:
    """Draw each curve in a panel of its own, the others of its data set in grey behind it."""
    by_set = _group(curves)
    most = max(map(len, by_set.values()))
    columns = 3 if most <= 9 else 4 if most <= 16 else 5
    head = "" if len(by_set) == 1 else None
    sections = [
        (head if head is not None else _make_title(name, members), [one.label for one in members])
        for name, members in by_set.items()
    ]
    notes = ("Grey: the other runs on the data set.", *axis.notes)
    if len(by_set) == 1:
        (only,) = by_set
        notes = (f"{_make_title(only, by_set[only])}.", *notes)
    figure, panels = draw_grid(Grid(sections, columns, (2.3, 1.6)), notes=notes)
    places = [(members, k) for members in by_set.values() for k in range(len(members))]
    for panel, (members, k) in zip(panels, places, strict=True):
        for other in members:
            panel.plot(other.clicks, other.values, color=_BEHIND, linewidth=0.7)
        curve = members[k]
        panel.plot(
            curve.clicks, curve.values, _choose_line_style(curve), color=_COLOURS[0], linewidth=1.8,
            label=f" {curve.label}",
        )  # fmt: skip
        _draw_band(panel, curve, _COLOURS[0])
        _set_axes(panel, members, axis, sparse=True)
        if k % columns:
            panel.set(ylabel="")
            panel.tick_params(labelleft=False)
        if k + columns < len(members):
            panel.set(xlabel="")
            panel.tick_params(labelbottom=False)
    return figure


def _draw_bars(runs: Sequence[Run], names: Sequence[str], max_clicks: int) -> Figure:
    by_set: dict[str, list[tuple[Run, str]]] = {}
    for run, name in zip(runs, names, strict=True):
        by_set.setdefault(run.spec.dataset, []).append((run, name))
    colours = dict(zip(dict.fromkeys(names), _COLOURS, strict=False))
    entries = [
        Entry(name, {"color": colour, "marker": "s", "markersize": 8, "linestyle": "none"})
        for name, colour in colours.items()
    ]
    size = (5.6, 3.6) if len(by_set) == 1 else (3.9, 2.7)
    titles = [_make_title(name, [run for run, _ in members]) for name, members in by_set.items()]
    grid = Grid([("", titles)], columns=_count_columns(len(by_set)), size=size, inner_labels=True)
    figure, panels = draw_grid(grid, entries)
    for panel, members in zip(panels, by_set.values(), strict=True):
        longest = min(max_clicks, max(run.spec.rules.max_clicks for run, _ in members))
        width = 0.8 / len(members)
        for k, (run, name) in enumerate(members):
            budget = min(max_clicks, run.spec.rules.max_clicks)
            target = metrics.limit_target(run.spec.rules.stop_iou)
            iou = metrics.curves(run.trajectories, budget)
            heights, never = metrics.count_by_clicks(iou, target)
            places = np.append(np.arange(1, budget + 1), longest + 2) + (k + 0.5) * width - 0.4
            panel.bar(
                places, np.append(heights, never), width, color=colours[name], label=f" {name}"
            )
        step = max(1, longest // 10)
        ticks = [*(tick for tick in range(1, longest + 1, step) if tick <= longest - step // 2),
                 longest + 2]  # fmt: skip
        panel.set_xticks(ticks, [*map(str, ticks[:-1]), "never"])
        panel.set_xlabel(f"clicks to IoU {metrics.MAIN_TARGET:.2f}", fontsize=9)
        panel.set_ylabel("objects", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _count_columns(panels: int) -> int:
    """Return the number of columns that leaves few places of a grid empty."""
    return 2 if panels == 4 else min(3, panels)


def _group(curves: Sequence[_Curve]) -> dict[str, list[_Curve]]:
    found: dict[str, list[_Curve]] = {}
    for curve in curves:
        found.setdefault(curve.run.spec.dataset, []).append(curve)
    return found


def _make_title(dataset: str, members: Sequence[Any]) -> str:
    run = getattr(members[0], "run", members[0])
    return f"{dataset} ({format_count(len(run.trajectories), 'object')})"


def _choose_line_style(curve: _Curve) -> str:
    """Return the line style of a curve; games that stop early hold the last value."""
    return "-" if curve.interval is None or has_full_games(curve.run.spec.rules) else "--"


def _draw_band(panel: Axes, curve: _Curve, colour: str) -> None:
    if curve.interval is not None:
        panel.fill_between(curve.clicks, *curve.interval, color=colour, alpha=0.15, linewidth=0)


def _set_axes(panel: Axes, members: Sequence[_Curve], axis: _Axis, sparse: bool = False) -> None:
    longest = max(len(curve.values) for curve in members)
    step = 5 if longest <= 30 else 20
    step = 2 * step if sparse else step
    ticks = [1, *range(step, longest + 1, step)] if longest >= step else sorted({1, longest})
    panel.set_xticks(ticks, [*map(str, ticks)])
    panel.set(ylim=(0, 1.02), xlim=(0.5, longest + 0.5))
    if sparse:
        panel.set_yticks([0, 0.5, 1])
    panel.set_xlabel("clicks k", fontsize=9)
    panel.set_ylabel(axis.title, fontsize=8 if sparse else 9)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3)
