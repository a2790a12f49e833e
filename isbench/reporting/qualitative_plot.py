"""Two models' masks of the same objects, as a matplotlib figure. No files, no models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isbench.reporting.labels import format_count
from isbench.reporting.plot_canvas import TITLE_SIZE, wrap
from isbench.reporting.qualitative import QualitativeExample, Side, make_caption
from isbench.types import Mask

_TINT = np.array([0.0, 0.45, 0.70])  # of a mask
_OUTLINE = "#56B4E9"  # of a mask
_SIGNS = {True: "#009E73", False: "#D55E00"}
_WIDTH, _HEIGHT = 5.0, 3.6  # of a panel, in inches


def plot_side_by_side(examples: Sequence[QualitativeExample]) -> Figure:
    """Draw one row per example and one panel per model: image, mask, truth and clicks.

    The mask is tinted and outlined in blue, the truth is outlined in white, both on a black line,
    so that they are seen on any background; positive clicks are green, negative ones orange. The
    caption names the run of the clicks and each model's mean figures over the examples.
    """
    sides = len(examples[0].sides)
    figure = Figure(figsize=(_WIDTH * sides, _HEIGHT * len(examples) + 0.6), layout="constrained")
    panels = figure.subplots(len(examples), sides, squeeze=False)
    for example, row in zip(examples, panels, strict=True):
        for side, panel in zip(example.sides, row, strict=True):
            _draw_side(panel, example, side)
    width = 0.95 * _WIDTH * sides
    lines = [line for part in make_caption(examples).split("\n") for line in wrap(part, 9, width)]
    figure.suptitle("\n".join(lines), fontsize=9)
    return figure


def _draw_side(panel: Axes, example: QualitativeExample, side: Side) -> None:
    image = example.image / 255
    image[side.mask] = 0.45 * image[side.mask] + 0.55 * _TINT
    panel.imshow(image)
    _draw_outline(panel, side.mask, _OUTLINE)
    _draw_outline(panel, example.truth, "white")
    for click in example.clicks:
        panel.plot(
            click.col, click.row, "o", markersize=5, markeredgecolor="white",
            color=_SIGNS[click.positive],
        )  # fmt: skip
    text = (
        f"{side.label} on {example.key}, {format_count(len(example.clicks), 'click')}, IoU "
        f"{side.iou:.3f}, boundary IoU {side.boundary_iou:.3f}"
        f"{'' if side.exact else ' (differs from the record)'}"
    )
    panel.set_title("\n".join(wrap(text, TITLE_SIZE - 1, 0.9 * _WIDTH)), fontsize=TITLE_SIZE - 1)
    panel.set_axis_off()


def _draw_outline(panel: Axes, mask: Mask, colour: str) -> None:
    """Draw the outline of a mask on a wider black line."""
    if mask.any() and not mask.all():
        for line_colour, width in (("black", 2.4), (colour, 1.0)):
            panel.contour(mask, levels=[0.5], colors=line_colour, linewidths=width)
