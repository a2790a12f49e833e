"""Plots of runs as matplotlib figures, drawn without a display. No files, no models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isbench import metrics
from isbench.protocol import has_full_games
from isbench.reporting.boundary_tables import with_boundary_iou
from isbench.reporting.qualitative import QualitativeExample, Side, make_caption
from isbench.reporting.tables import make_labels
from isbench.storage.store import Run

# The palette of Okabe and Ito, which colour-blind readers can distinguish.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def iou_k(runs: Sequence[Run], max_clicks: int) -> Figure:
    """Plot the mean IoU after each click: one panel per data set, one curve per run.

    Objects without a scored pixel, which have no IoU, are left out.

    Bands are 95 % bootstrap intervals over images. Curves of runs whose games stop early are dashed
    and labelled: they hold the last IoU, while the IoU of a full game may still rise or fall.
    """

    def draw(panel: Axes, run: Run, colour: str, label: str) -> None:
        budget = min(max_clicks, run.spec.rules.max_clicks)
        scored = [game for game in run.trajectories if metrics.has_scored_pixels(game)]
        if not scored:
            return  # no object has an IoU
        iou = metrics.curves(scored, budget)
        clicks = np.arange(1, budget + 1)
        images = [metrics.image_of(game.key) for game in scored]
        style, label = _style_curve(run, label, "IoU")
        low, high = metrics.bootstrap(iou, images)
        panel.plot(clicks, iou.mean(axis=0), style, color=colour, label=label)
        panel.fill_between(clicks, low, high, color=colour, alpha=0.15, linewidth=0)

    figure = _panels(runs, draw)
    longest = _longest_budget(runs, max_clicks)
    step = 5 if longest <= 30 else 20
    for panel in figure.axes:
        panel.set_xticks([1, *range(step, longest + 1, step)])
        panel.set(xlabel="clicks k", ylabel="mean IoU@k", ylim=(0, 1))
        panel.grid(alpha=0.3)
        panel.legend(loc="lower right", fontsize=8, frameon=False)
    return figure


def biou_k(runs: Sequence[Run], values: Sequence[metrics.Floats]) -> Figure:
    """Plot the mean boundary IoU after each click like `iou_k`; `values` are (N, K) per run."""
    found = {id(run): value for run, value in zip(runs, values, strict=True)}

    def draw(panel: Axes, run: Run, colour: str, label: str) -> None:
        kept, images = with_boundary_iou(run, found[id(run)])
        clicks = np.arange(1, kept.shape[1] + 1)
        style, label = _style_curve(run, label, "mask")
        low, high = metrics.bootstrap(kept, images)
        panel.plot(clicks, kept.mean(axis=0), style, color=colour, label=label)
        panel.fill_between(clicks, low, high, color=colour, alpha=0.15, linewidth=0)

    figure = _panels(runs, draw)
    for panel in figure.axes:
        panel.set(xlabel="clicks k", ylabel="mean boundary IoU@k", ylim=(0, 1))
        panel.grid(alpha=0.3)
        panel.legend(loc="lower right", fontsize=8, frameon=False)
    return figure


def noc_hist(runs: Sequence[Run], max_clicks: int) -> Figure:
    """Plot a histogram of clicks to the main target: one panel per data set.

    Objects that never reach it have a separate bar, right of the budget. Runs that stop below it
    are counted at the IoU where they stop, and labelled.
    """
    run_counts: Counter[str] = Counter()
    positions = {}
    for run in runs:
        positions[run.path] = run_counts[run.spec.dataset]
        run_counts[run.spec.dataset] += 1
    bars = max(run_counts.values())
    longest = _longest_budget(runs, max_clicks)

    def draw(panel: Axes, run: Run, colour: str, label: str) -> None:
        budget = min(max_clicks, run.spec.rules.max_clicks)
        target = metrics.reachable_target(run.spec.rules.stop_iou)
        iou = metrics.curves(run.trajectories, budget)
        heights, never = metrics.count_by_clicks(iou, target)
        width = 0.8 / bars
        shift = (positions[run.path] + 0.5) * width - 0.4
        places = np.append(np.arange(1, budget + 1), longest + 2) + shift
        label = label if target == metrics.MAIN_TARGET else f"{label}, to IoU {target:g}"
        panel.bar(places, np.append(heights, never), width, color=colour, label=label)
        ticks = [*range(1, longest + 1, max(1, longest // 10)), longest + 2]
        panel.set_xticks(ticks, [*map(str, ticks[:-1]), "never"])

    figure = _panels(runs, draw)
    for panel in figure.axes:
        panel.set(xlabel=f"clicks to IoU {metrics.MAIN_TARGET:.2f}", ylabel="objects")
        panel.legend(loc="upper center", fontsize=8, frameon=False)
    return figure


PLOTS: Mapping[str, Callable[[Sequence[Run], int], Figure]] = {
    "iou_k": iou_k,
    "noc_hist": noc_hist,
}
ALIASES = {"ioa_k": "iou_k"}  # an alternative spelling


_INSIDE = np.array([0.0, 0.45, 0.70])  # the tint of a mask
_SIGNS = {True: _COLOURS[2], False: _COLOURS[1]}


def side_by_side(examples: Sequence[QualitativeExample]) -> Figure:
    """Draw one row per example and one panel per model: image, mask, truth and clicks.

    The mask is tinted and the truth is outlined in white; positive clicks are green, negative ones
    orange. The caption names the run of the clicks and each model's mean figures over the examples.
    """
    figure = Figure(figsize=(10.0, 3.6 * len(examples)), layout="constrained")
    panels = figure.subplots(len(examples), len(examples[0].sides), squeeze=False)
    for example, row in zip(examples, panels, strict=True):
        for side, panel in zip(example.sides, row, strict=True):
            _draw_side(panel, example, side)
    figure.suptitle(make_caption(examples), fontsize=9)
    return figure


def _draw_side(panel: Axes, example: QualitativeExample, side: Side) -> None:
    image = example.image / 255
    image[side.mask] = 0.45 * image[side.mask] + 0.55 * _INSIDE
    panel.imshow(image)
    if example.truth.any() and not example.truth.all():
        panel.contour(example.truth, levels=[0.5], colors="white", linewidths=1.2)
    for click in example.clicks:
        panel.plot(
            click.col, click.row, "o", markersize=5, markeredgecolor="white",
            color=_SIGNS[click.positive],
        )  # fmt: skip
    panel.set_title(
        f" {side.label} on {example.key}\n{len(example.clicks)} clicks, IoU {side.iou:.3f}, "
        f"boundary IoU {side.boundary_iou:.3f}{'' if side.exact else ' (differs from the record)'}",
        fontsize=8,
    )
    panel.set_axis_off()


def _style_curve(run: Run, label: str, held: str) -> tuple[str, str]:
    """Return the line style and label of a curve; games that stop early hold the last value."""
    if has_full_games(run.spec.rules):
        return "-", label
    return "--", f"{label}, stopped at {run.spec.rules.stop_iou:g}: last {held} held"


def _longest_budget(runs: Sequence[Run], max_clicks: int) -> int:
    return min(max_clicks, max(run.spec.rules.max_clicks for run in runs))


def _panels(runs: Sequence[Run], draw: Callable[[Axes, Run, str, str], None]) -> Figure:
    """Return a figure with one panel per data set, every run drawn, and one colour per model."""
    names = list(dict.fromkeys(run.spec.dataset for run in runs))
    models = list(dict.fromkeys(run.spec.model for run in runs))
    rows, columns = -(-len(names) // 3), min(3, len(names))
    figure = Figure(figsize=(1.0 + 4.2 * columns, 3.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for name, panel in zip(names, panels, strict=False):
        members = [run for run in runs if run.spec.dataset == name]
        colours = [colour for _, colour in zip(members, cycle(_COLOURS), strict=False)]
        if len({run.spec.model for run in members}) == len(members):
            # a model has the same colour in every panel
            by_model = dict(zip(models, cycle(_COLOURS), strict=False))
            colours = [by_model[run.spec.model] for run in members]
        for run, label, colour in zip(members, make_labels(members), colours, strict=True):
            # matplotlib hides labels that start with an underscore
            draw(panel, run, colour, f" {label}" if label.startswith("_") else label)
        counts = sorted({len(run.trajectories) for run in members})
        panel.set_title(f"{name} ({' or '.join(map(str, counts))} objects)", fontsize=10)
    for spare in panels[len(names) :]:
        spare.remove()
    return figure
