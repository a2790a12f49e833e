"""Runs as tables: one frame of figures, and views of it as sheets.

No files, no models. A figure that a run cannot give is blank, never 0.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from isbench import metrics
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.store import Run

NOC_TARGETS = (0.80, 0.85, 0.90)
NOF_TARGETS = (0.85, 0.90)
IOU_AT = (1, 3, 5, 10, 20)
FULL_GAMES = "IoU@k needs games that go on to their last click: play with --stop-iou 1.01"

LEGEND = (
    "NoC: mean clicks to the IoU [95 % interval over images]; NoF: objects that never reached it; "
    "NoF (RITM) counts those solved at the last click too"
)


@dataclass(frozen=True)
class Column:
    """A column of a view: its head, and a frame's row to its text ('' for a missing figure)."""

    head: str
    text: Callable[[Mapping[str, object]], str]
    figure: bool = True  # set flush right


def make_frame(runs: Sequence[Run], max_clicks: int = 20) -> pd.DataFrame:
    """Return a row a run with every figure, nan where the run cannot give it.

    Games longer than `max_clicks` count up to there; `budget` is the clicks that were allowed.
    Intervals are 95 % bootstrap ones over images.
    """
    table: pd.DataFrame = pd.DataFrame([compute_figures(run, max_clicks) for run in runs])
    table.insert(1, "label", make_labels(runs))
    return table


def compute_figures(run: Run, max_clicks: int = 20) -> dict[str, object]:
    """Return the figures of one run by name."""
    rules = run.spec.rules
    budget = min(max_clicks, rules.max_clicks)
    iou = metrics.curves(run.trajectories, budget)
    images = [metrics.image_of(trajectory.key) for trajectory in run.trajectories]
    clicks = [min(budget, len(trajectory.clicks)) for trajectory in run.trajectories]
    row: dict[str, object] = {
        "model": run.spec.model,
        "dataset": run.spec.dataset,
        "preset": run.spec.preset,
        "budget": budget,
        "objects": len(run.trajectories),
        "images": len(set(images)),
        **_noc(iou, images, rules.stop_iou),
    }
    for target in NOF_TARGETS:
        known = target <= rules.stop_iou
        never, late = metrics.find_failures(iou, target), metrics.find_failures_ritm(iou, target)
        row[f"nof@{_percent(target)}"] = never.sum() if known else np.nan
        row[f"nof_ritm@{_percent(target)}"] = late.sum() if known else np.nan
    for k in IOU_AT:
        known = has_full_games(run) and k <= budget
        row[f"iou@{k}"] = iou[:, k - 1].mean() if known else np.nan
    row["clicks"] = sum(clicks)
    row["seconds_per_click"] = seconds_per_click(run, budget)
    row["run"] = store.digest_of_path(run.path)
    return {**row, **_asked(run)}


def has_full_games(run: Run) -> bool:
    """Whether the games go on to their last click whatever the IoU, as IoU@k needs."""
    return run.spec.rules.stop_iou > 1


def seconds_per_click(run: Run, budget: int) -> float:
    """Return the mean seconds the first clicks took the model, nan where none was measured."""
    seconds = [
        second
        for trajectory in run.trajectories
        for second in run.seconds.get(trajectory.key, ())[: min(budget, len(trajectory.clicks))]
    ]
    return float(np.mean(seconds)) if seconds else float("nan")


def _asked(run: Run) -> dict[str, object]:
    """Return what was played under which rules, as columns that only csv shows."""
    spec = run.spec
    options = {f"option_{key}": value for key, value in spec.options.items()}
    facts = {
        name: getattr(spec, name)
        for name in (
            "version",
            "weights",
            "backend",
            "precision",
            "threads",
            "limit",
            "fingerprint",
            "decoder",
        )
    }
    libraries = {f"library_{name}": version for name, version in spec.libraries.items()}
    return {**asdict(spec.rules), **facts, **libraries, **options}


def make_labels(runs: Sequence[Run]) -> list[str]:
    """Return each run's model, with whatever tells it from the other runs on its data set.

    Rules that are not a preset's, a limit and options in which runs of a model differ are named.
    """
    names = []
    for run in runs:
        own = _settings(run)
        kin = [
            _settings(other)
            for other in runs
            if (other.spec.dataset, other.spec.model) == (run.spec.dataset, run.spec.model)
        ]
        told = [
            f"{key}={value}"
            for key, value in own.items()
            if value not in _USUAL.get(key, (value,))
            or (key, value) == ("weights", "random")  # never to be taken for the model's own
            or any(other.get(key) != value for other in kin)
        ]
        names.append(f"{run.spec.model} ({', '.join(told)})" if told else run.spec.model)
    return names


# what goes without saying; a custom preset is told by the clicker that makes it one
_USUAL = {
    "preset": ("ritm-2021", "custom"),
    "clicker": ("centre",),
    "limit": (None,),
}


def _settings(run: Run) -> dict[str, object]:
    spec, rules = run.spec, run.spec.rules
    named = {"preset": spec.preset, "clicker": rules.clicker, "seed": rules.seed}
    ends = {"max_clicks": rules.max_clicks, "stop_iou": rules.stop_iou, "limit": spec.limit}
    versions = {"version": spec.version, **spec.libraries}
    network = {
        "weights": spec.weights and spec.weights[:12],
        "backend": spec.backend,
        "precision": spec.precision,
        "threads": spec.threads,
    }
    return {**named, **ends, **spec.options, **network, **versions, "decoder": spec.decoder}


def _noc(iou: metrics.Floats, images: Sequence[str], stop_iou: float) -> dict[str, float]:
    noc = np.stack([metrics.clicks_to(iou, target) for target in NOC_TARGETS], axis=1)
    low, high = metrics.bootstrap(noc.astype(np.float64), images)
    row = {}
    for k, target in enumerate(NOC_TARGETS):
        known = target <= stop_iou  # a game stopped early says nothing of a higher target
        name = f"noc@{_percent(target)}"
        row[name] = float(noc[:, k].mean()) if known else np.nan
        row[f"{name}_low"] = float(low[k]) if known else np.nan
        row[f"{name}_high"] = float(high[k]) if known else np.nan
    return row


def _number(name: str, digits: int) -> Callable[[Mapping[str, object]], str]:
    def text(row: Mapping[str, object]) -> str:
        value = row[name]
        return "" if pd.isna(value) else f"{value:.{digits}f}"  # type: ignore[call-overload]

    return text


def _interval(name: str) -> Callable[[Mapping[str, object]], str]:
    def text(row: Mapping[str, object]) -> str:
        value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
        if pd.isna(value):  # type: ignore[call-overload]
            return ""
        interval = "" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]"  # type: ignore[call-overload]
        return f"{value:.2f}{interval}"

    return text


def _word(name: str) -> Callable[[Mapping[str, object]], str]:
    return lambda row: str(row[name])


def _percent(target: float) -> str:
    return f"{100 * target:.0f}"


_WHO = (Column("Data set", _word("dataset"), False), Column("Model", _word("label"), False))
_SIZE = (Column("Objects", _number("objects", 0)), Column("Budget", _number("budget", 0)))
_RUN = (Column("Run", _word("run"), False),)
_NOC = tuple(Column(f"NoC@{p}", _interval(f"noc@{p}")) for p in map(_percent, NOC_TARGETS))
_NOF = tuple(Column(f"NoF@{p}", _number(f"nof@{p}", 0)) for p in map(_percent, NOF_TARGETS))
_NOF_RITM = tuple(
    Column(f"NoF@{p} (RITM)", _number(f"nof_ritm@{p}", 0)) for p in map(_percent, NOF_TARGETS)
)
_IOU = tuple(Column(f"IoU@{k}", _number(f"iou@{k}", 4)) for k in IOU_AT)
_TIME = (
    Column("Clicks", _number("clicks", 0)),
    Column("Seconds/click", _number("seconds_per_click", 4)),
)

VIEWS: Mapping[str, tuple[Column, ...]] = {
    "noc": (*_WHO, *_SIZE, *_NOC, *_RUN),
    "nof": (*_WHO, *_SIZE, *_NOF, *_NOF_RITM, *_RUN),
    "iou": (*_WHO, *_SIZE, *_IOU, *_RUN),
    "time": (*_WHO, *_SIZE, *_TIME, *_RUN),
    "all": (*_WHO, *_SIZE, *_NOC, *_NOF, *_NOF_RITM, *_IOU, *_TIME, *_RUN),
}


def make_table(table: pd.DataFrame, view: str) -> TextTable:
    """Return a view of a frame as text."""
    columns = VIEWS[view]
    records: list[dict[str, object]] = table.to_dict("records")  # type: ignore[assignment]
    rows = tuple(tuple(column.text(record) for column in columns) for record in records)
    heads, figures = (tuple(column.head for column in columns), tuple(c.figure for c in columns))
    return TextTable(heads, rows, figures, turned=view == "all")


def format_csv(table: pd.DataFrame) -> str:
    """Return every figure at full precision, one row a run; missing ones are empty."""
    buffer = io.StringIO()
    table.to_csv(buffer, index=False)
    return buffer.getvalue()
