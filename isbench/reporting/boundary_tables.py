"""Boundary IoU of whole runs: after each click, in tables and curves (Cheng et al. 2021).

Not here: the figure of one mask (`boundary`), and where masks come from (`answers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from isbench import metrics
from isbench.metrics import Floats
from isbench.reporting.tables import IOU_AT, has_full_games, make_labels
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.store import Run

NOTE = (
    "BIoU@k: mean boundary IoU after k clicks, within 2 % of the image's diagonal of an outline "
    "(Cheng et al. 2021), [95 % interval over images]; from full games only, as IoU@k"
)


def boundary_curves(games: Iterable[tuple[float, ...]], max_clicks: int) -> Floats:
    """Return the boundary IoU after each click, (N, max_clicks), the last one held to the end."""
    rows = []
    for game in games:
        row = np.array(game[:max_clicks], np.float64)
        rows.append(np.pad(row, (0, max_clicks - len(row)), mode="edge"))
    return np.stack(rows)


def make_table(runs: Sequence[Run], values: Sequence[Floats]) -> TextTable:
    """Return mean boundary IoU of runs at the clicks that tables of IoU have."""
    rows = []
    for run, label, found in zip(runs, make_labels(runs), values, strict=True):
        kept, images = with_boundary_iou(run, found)
        low, high = metrics.bootstrap(kept, images)
        cells = [
            f"{kept[:, k - 1].mean():.4f} [{low[k - 1]:.4f}, {high[k - 1]:.4f}]"
            if has_full_games(run) and k <= found.shape[1]
            else ""
            for k in IOU_AT
        ]
        told = (run.spec.dataset, label, str(len(kept)), *cells, store.digest_of_path(run.path))
        rows.append(told)
    heads = ("Data set", "Model", "Objects", *(f"BIoU@{k}" for k in IOU_AT), "Run")
    figures = (False, False, True, *[True] * len(IOU_AT), False)
    return TextTable(heads, tuple(rows), figures, notes=(NOTE,))


def with_boundary_iou(run: Run, values: Floats) -> tuple[Floats, list[str]]:
    """Return the rows of objects that have a boundary at every click, and their images."""
    there = np.flatnonzero(~np.isnan(values).any(axis=1))
    images = [metrics.image_of(game.key) for game in run.trajectories]
    return values[there], [images[k] for k in there]
