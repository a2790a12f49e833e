"""Games as a frame of one row per object and click, for pandas, R or a spreadsheet. No files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from isbench.metrics import find_image
from isbench.reporting.tables import format_csv
from isbench.storage.store import Run, find_digest

COLUMNS = (
    "run", "model", "dataset", "key", "image", "click", "row", "col", "positive",
    "intersection", "union", "iou", "seconds",
)  # fmt: skip


def make_click_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per object and click of all runs, in the order of the records.

    Parameters
    ----------
    runs : sequence of Run
        Runs over any data sets.

    Returns
    -------
    DataFrame
        With the columns run (its digest), model, dataset, key (of the object), image, click (from
        1), row, col, positive, intersection and union (pixels), iou (nan if the union is empty) and
        seconds (nan if not measured).
    """
    rows = [row for run in runs for row in _list_rows(run)]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame


def format_clicks_csv(runs: Sequence[Run]) -> str:
    """Return the frame as csv; missing figures are empty, and no cell is a formula."""
    return format_csv(make_click_frame(runs))


def format_clicks_json(runs: Sequence[Run]) -> str:
    """Return the frame as a JSON list of objects, one line per click; missing figures are null."""
    records = make_click_frame(runs).replace({np.nan: None}).to_dict("records")
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    return f"[\n{lines}\n]\n"


def _list_rows(run: Run) -> Iterator[tuple[object, ...]]:
    about = find_digest(run), run.spec.model, run.spec.dataset
    for game in run.trajectories:
        seconds = run.seconds.get(game.key, ())
        played = zip(game.clicks, game.overlap, strict=True)
        for number, (click, (intersection, union)) in enumerate(played, start=1):
            yield (
                *about, game.key, find_image(game.key), number, *click, intersection, union,
                intersection / union if union else float("nan"),
                seconds[number - 1] if number <= len(seconds) else float("nan"),
            )  # fmt: skip
