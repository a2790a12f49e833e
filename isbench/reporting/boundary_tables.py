"""Boundary IoU of whole runs after each click, as tables and curves (Cheng et al. 2021).

Not here: the boundary IoU of one mask (`metrics.boundary`) and the masks (`recorded_masks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isbench import metrics
from isbench.metrics import IOU_AT, Floats
from isbench.models.registry import NONE_TRUSTED, Trusted
from isbench.protocol import has_full_games
from isbench.reporting.labels import NO_LABELS, make_labels
from isbench.reporting.recorded_masks import (
    Track,
    recompute_masks,
    track_silently,
)
from isbench.reporting.run_datasets import load_dataset_of
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.store import Run

if TYPE_CHECKING:
    import pandas as pd

_ENDS = ("", "_low", "_high")  # of the csv columns of a figure and its interval
NOTE = (
    "BIoU@k: mean boundary IoU after k clicks, for pixels within 2 % of the image diagonal of an "
    "outline (Cheng et al. 2021), [95 % interval over images]; needs full games, like IoU@k"
)


def compute_boundaries(
    run: Run,
    max_clicks: int,
    data: Path | None = None,
    track: Track = track_silently,
    *,
    place: str | None = None,
    trusted: Trusted = NONE_TRUSTED,
) -> Floats:
    """Return the boundary IoU of a run after each click, (objects, clicks), for up to `max_clicks`.

    `place` is where the files are, as for `load_dataset_of`, and `trusted` holds models that are
    not installed (see `load_trusted_cards`). After the end of a game, its last value is repeated.
    Raises IsbenchError if the data, the model or its weights are missing.
    """
    clicks = min(max_clicks, run.spec.rules.max_clicks)
    keys = [game.key for game in run.trajectories]
    games = recompute_masks(run, load_dataset_of(run, data, place), keys, clicks, trusted)
    rows = []
    for one in track(games, len(keys), f"boundaries of {run.spec.model} on {run.spec.dataset}"):
        row = np.array(one.boundary, np.float64)
        rows.append(np.pad(row, (0, clicks - len(row)), mode="edge"))
    return np.stack(rows)


def make_table(
    runs: Sequence[Run], values: Sequence[Floats], labels: Mapping[str, str] = NO_LABELS
) -> TextTable:
    """Return the mean boundary IoU of runs at the clicks `IOU_AT`; `values` are (N, K) per run.

    A click that no run has a figure for has no column.
    """
    rows = _make_rows(runs, values, labels)
    shown = [k for k in IOU_AT if any(f"biou@{k}" in row for row in rows)]
    heads = ("Data set", "Model", "Objects", *(f"BIoU@{k}" for k in shown), "Run")
    figures = (False, False, True, *[True] * len(shown), False)
    cells = tuple(
        (
            str(row["dataset"]), str(row["label"]), str(row["objects"]),
            *(_format_figure(row, k) for k in shown), str(row["run"]),
        )
        for row in rows
    )  # fmt: skip
    return TextTable(heads, cells, figures, notes=(NOTE,))


def make_frame(
    runs: Sequence[Run], values: Sequence[Floats], labels: Mapping[str, str] = NO_LABELS
) -> pd.DataFrame:
    """Return the figures of `make_table` with the ends of their intervals, in columns."""
    import pandas as pd  # only csv needs it, and it takes a third of a second

    figures = (f"biou@{k}{end}" for k in IOU_AT for end in _ENDS)
    columns = ("model", "label", "dataset", "objects", *figures, "run")
    frame: pd.DataFrame = pd.DataFrame(_make_rows(runs, values, labels), columns=columns)
    return frame


def _make_rows(
    runs: Sequence[Run], values: Sequence[Floats], labels: Mapping[str, str]
) -> list[dict[str, object]]:
    """Return the figures of each run by csv column, without those that it cannot give."""
    rows = []
    for run, label, found in zip(runs, make_labels(runs, labels), values, strict=True):
        kept, images = with_boundary_iou(run, found)
        row: dict[str, object] = {
            "model": run.spec.model, "label": label, "dataset": run.spec.dataset,
            "objects": len(kept),
        }  # fmt: skip
        if len(kept) and has_full_games(run.spec.rules):
            low, high = metrics.bootstrap(kept, images)
            for k in (k for k in IOU_AT if k <= found.shape[1]):
                figures = kept[:, k - 1].mean(), low[k - 1], high[k - 1]
                columns = (f"biou@{k}{end}" for end in _ENDS)
                row.update(zip(columns, map(float, figures), strict=True))
        rows.append({**row, "run": store.parse_digest(run.path)})
    return rows


def _format_figure(row: Mapping[str, Any], k: int) -> str:
    """Return the boundary IoU at a click, with its interval if there is one; "" if not known."""
    if f"biou@{k}" not in row:
        return ""
    low, high = row[f"biou@{k}_low"], row[f"biou@{k}_high"]
    interval = "" if np.isnan([low, high]).any() else f" [{low:.4f}, {high:.4f}]"
    return f"{row[f'biou@{k}']:.4f}{interval}"


def with_boundary_iou(run: Run, values: Floats) -> tuple[Floats, list[str]]:
    """Return the rows of the objects that have a boundary IoU at every click, and their images."""
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    images = [metrics.find_image(game.key) for game in run.trajectories]
    return values[known], [images[k] for k in known]
