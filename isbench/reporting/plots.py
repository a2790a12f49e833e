"""Runs as pictures: matplotlib figures, drawn without a screen. No files, no models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isbench import metrics
from isbench.reporting.boundary_tables import with_boundary_iou
from isbench.reporting.qualitative import Scene, Side, make_caption
from isbench.reporting.tables import has_full_games, make_labels
from isbench.storage.store import Run

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def iou_k(runs: Sequence[Run], max_clicks: int) -> Figure:
    """Return the mean IoU after each click, a panel a data set, a curve a run.

    Bands are 95 % bootstrap intervals over images. Runs whose games stopped early are dashed and
    labelled: their last IoU is held, while a full game may go on to rise or to fall.
    """

    def draw(panel: Axes, run: Run, colour: str, label: str) -> None:
        budget = min(max_clicks, run.spec.rules.max_clicks)
        iou = metrics.curves(run.trajectories, budget)
        clicks = np.arange(1, budget + 1)
        images = [metrics.image_of(trajectory.key) for trajectory in run.trajectories]
        style, label = _ended(run, label, "IoU")
        low, high = metrics.bootstrap(iou, images)
        panel.plot(clicks, iou.mean(axis=0), style, color=colour, label=label)
        panel.fill_between(clicks, low, high, color=colour, alpha=0.15, linewidth=0)

    figure = _panels(runs, draw)
    longest = _longest(runs, max_clicks)
    step = 5 if longest <= 30 else 20
    for panel in figure.axes:
        panel.set_xticks([1, *range(step, longest + 1, step)])
        panel.set(xlabel="clicks k", ylabel="mean IoU@k", ylim=(0, 1))
        panel.grid(alpha=0.3)
        panel.legend(loc="lower right", fontsize=8, frameon=False)
    return figure


def biou_k(runs: Sequence[Run], values: Sequence[metrics.Floats]) -> Figure:
    """Return the mean boundary IoU after each click, (N, K) values a run, as `iou_k` draws IoU."""
    found = {id(run): value for run, value in zip(runs, values, strict=True)}

    def draw(panel: Axes, run: Run, colour: str, label: str) -> None:
        kept, images = with_boundary_iou(run, found[id(run)])
        clicks = np.arange(1, kept.shape[1] + 1)
        style, label = _ended(run, label, "mask")
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
    """Return how many objects needed how many clicks to IoU 0.90, a panel a data set.

    Objects that never got there stand apart, right of the budget. Runs stopped below 0.90 are
    counted at the IoU where they stopped, and labelled so.
    """
    places_taken: Counter[str] = Counter()
    counts = {}
    for run in runs:
        counts[run.path] = places_taken[run.spec.dataset]
        places_taken[run.spec.dataset] += 1
    rivals = max(places_taken.values())
    longest = _longest(runs, max_clicks)

    def draw(panel: Axes, run: Run, colour: str, label: str) -> None:
        budget = min(max_clicks, run.spec.rules.max_clicks)
        target = min(0.90, run.spec.rules.stop_iou)
        iou = metrics.curves(run.trajectories, budget)
        solved = metrics.clicks_to(iou, target)[~metrics.find_failures(iou, target)]
        heights = np.bincount(solved, minlength=budget + 1)[1:]
        width = 0.8 / rivals
        shift = (counts[run.path] + 0.5) * width - 0.4
        never = len(iou) - len(solved)
        places = np.append(np.arange(1, budget + 1), longest + 2) + shift
        label = label if target == 0.90 else f"{label}, to IoU {target:g}"
        panel.bar(places, np.append(heights, never), width, color=colour, label=label)
        ticks = [*range(1, longest + 1, max(1, longest // 10)), longest + 2]
        panel.set_xticks(ticks, [*map(str, ticks[:-1]), "never"])

    figure = _panels(runs, draw)
    for panel in figure.axes:
        panel.set(xlabel="clicks to IoU 0.90", ylabel="objects")
        panel.legend(loc="upper center", fontsize=8, frameon=False)
    return figure


PLOTS: Mapping[str, Callable[[Sequence[Run], int], Figure]] = {
    "iou_k": iou_k,
    "noc_hist": noc_hist,
}
ALIASES = {"ioa_k": "iou_k"}  # the design card's spelling


_INSIDE = np.array([0.0, 0.45, 0.70])  # the tint of a mask
_SIGNS = {True: _COLOURS[2], False: _COLOURS[1]}


def side_by_side(scenes: Sequence[Scene]) -> Figure:
    """Return a row a scene and a panel a model: mask, the truth's outline, and every click.

    A mask is tinted, the truth outlined in white; positive clicks are green, negative ones orange.
    The caption says whose clicks they are, and each model's mean figures over the scenes.
    """
    figure = Figure(figsize=(10.0, 3.6 * len(scenes)), layout="constrained")
    panels = figure.subplots(len(scenes), len(scenes[0].sides), squeeze=False)
    for scene, row in zip(scenes, panels, strict=True):
        for side, panel in zip(scene.sides, row, strict=True):
            _picture(panel, scene, side)
    figure.suptitle(make_caption(scenes), fontsize=9)
    return figure


def _picture(panel: Axes, scene: Scene, side: Side) -> None:
    shown = scene.image / 255
    shown[side.mask] = 0.45 * shown[side.mask] + 0.55 * _INSIDE
    panel.imshow(shown)
    if scene.truth.any() and not scene.truth.all():
        panel.contour(scene.truth, levels=[0.5], colors="white", linewidths=1.2)
    for click in scene.clicks:
        panel.plot(
            click.col, click.row, "o", markersize=5, markeredgecolor="white",
            color=_SIGNS[click.positive],
        )  # fmt: skip
    panel.set_title(
        f" {side.label} on {scene.key}\n{len(scene.clicks)} clicks, IoU {side.iou:.3f}, "
        f"boundary IoU {side.boundary_iou:.3f}{'' if side.exact else ' (not as recorded)'}",
        fontsize=8,
    )
    panel.set_axis_off()


def _ended(run: Run, label: str, held: str) -> tuple[str, str]:
    """Return the style and label of a curve: games that stopped early hold what they ended with."""
    if has_full_games(run):
        return "-", label
    return "--", f"{label}, stopped at {run.spec.rules.stop_iou:g}: last {held} held"


def _longest(runs: Sequence[Run], max_clicks: int) -> int:
    return min(max_clicks, max(run.spec.rules.max_clicks for run in runs))


def _panels(runs: Sequence[Run], draw: Callable[[Axes, Run, str, str], None]) -> Figure:
    """Return a figure of a panel a data set with every run drawn, one colour a model."""
    names = list(dict.fromkeys(run.spec.dataset for run in runs))
    models = list(dict.fromkeys(run.spec.model for run in runs))
    rows, columns = -(-len(names) // 3), min(3, len(names))
    figure = Figure(figsize=(1.0 + 4.2 * columns, 3.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for name, panel in zip(names, panels, strict=False):
        here = [run for run in runs if run.spec.dataset == name]
        shades = cycle(_COLOURS)
        colours = [shade for _, shade in zip(here, shades, strict=False)]
        if len({run.spec.model for run in here}) == len(here):  # a model's colour in every panel
            by_model = dict(zip(models, cycle(_COLOURS), strict=False))
            colours = [by_model[run.spec.model] for run in here]
        for run, label, colour in zip(here, make_labels(here), colours, strict=True):
            # matplotlib hides the label of what begins with a line
            draw(panel, run, colour, f" {label}" if label.startswith("_") else label)
        counts = sorted({len(run.trajectories) for run in here})
        panel.set_title(f"{name} ({' or '.join(map(str, counts))} objects)", fontsize=10)
    for spare in panels[len(names) :]:
        spare.remove()
    return figure
