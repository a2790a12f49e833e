"""Tables of runs: one frame with every figure, and views of it as text tables.

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
FULL_GAMES = "IoU@k needs full games, which do not stop at an IoU: run with --stop-iou 1.01"

LEGEND = (
    "NoC: mean number of clicks to reach the IoU [95 % interval over images]; NoF: number of "
    "objects that never reach it; NoF (RITM) also counts objects that reach it at the last click"
)


@dataclass(frozen=True)
class Column:
    """A column of a view: its head, and its text for a row of the frame ('' if missing)."""

    head: str
    text: Callable[[Mapping[str, object]], str]
    figure: bool = True  # aligned right


def make_frame(runs: Sequence[Run], max_clicks: int = 20) -> pd.DataFrame:
    """Return one row per run with every figure, nan if the run cannot give it.

    Games count up to `max_clicks`; `budget` is the number of clicks allowed. Intervals are 95 %
    bootstrap intervals over images.
    """
    frame: pd.DataFrame = pd.DataFrame([compute_figures(run, max_clicks) for run in runs])
    frame.insert(1, "label", make_labels(runs))
    return frame


def compute_figures(run: Run, max_clicks: int = 20) -> dict[str, object]:
    """Return the figures of one run by name, nan if the run cannot give them."""
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
        **_compute_noc(iou, images, rules.stop_iou),
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
    return {**row, **_list_conditions(run)}


def has_full_games(run: Run) -> bool:
    """Whether the games continue to the last click at any IoU, as IoU@k needs."""
    return run.spec.rules.stop_iou > 1


def seconds_per_click(run: Run, budget: int) -> float:
    """Return the mean seconds per click over the first `budget` clicks, nan if not measured."""
    seconds = [
        second
        for trajectory in run.trajectories
        for second in run.seconds.get(trajectory.key, ())[: min(budget, len(trajectory.clicks))]
    ]
    return float(np.mean(seconds)) if seconds else float("nan")


def _list_conditions(run: Run) -> dict[str, object]:
    """Return the rules and the spec of a run as columns that only csv shows."""
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
            "clicker_version",
        )
    }
    libraries = {f"library_{name}": version for name, version in spec.libraries.items()}
    return {**asdict(spec.rules), **facts, **libraries, **options}


def make_labels(runs: Sequence[Run]) -> list[str]:
    """Return each run's model name, with the settings that distinguish runs on its data set.

    Settings are listed if they are not the usual ones, or if they differ between runs of the model.
    """
    labels = []
    for run in runs:
        settings = _list_settings(run)
        of_model = [
            _list_settings(other)
            for other in runs
            if (other.spec.dataset, other.spec.model) == (run.spec.dataset, run.spec.model)
        ]
        listed = [
            f"{key}={value}"
            for key, value in settings.items()
            if value not in _USUAL.get(key, (value,))
            or (key, value) == ("weights", "random")  # not to be mistaken for trained weights
            or any(other.get(key) != value for other in of_model)
        ]
        labels.append(f"{run.spec.model} ({', '.join(listed)})" if listed else run.spec.model)
    return labels


# values that need no mention; a custom preset shows by its clicker
_USUAL = {
    "preset": ("ritm-2021", "custom"),
    "clicker": ("centre",),
    "limit": (None,),
}


def _list_settings(run: Run) -> dict[str, object]:
    spec, rules = run.spec, run.spec.rules
    protocol = {"preset": spec.preset, "clicker": rules.clicker, "seed": rules.seed}
    ends = {"max_clicks": rules.max_clicks, "stop_iou": rules.stop_iou, "limit": spec.limit}
    versions = {"version": spec.version, "clicker_version": spec.clicker_version, **spec.libraries}
    network = {
        "weights": spec.weights and spec.weights[:12],
        "backend": spec.backend,
        "precision": spec.precision,
        "threads": spec.threads,
    }
    return {**protocol, **ends, **spec.options, **network, **versions, "decoder": spec.decoder}


def _compute_noc(iou: metrics.Floats, images: Sequence[str], stop_iou: float) -> dict[str, float]:
    noc = np.stack([metrics.clicks_to(iou, target) for target in NOC_TARGETS], axis=1)
    low, high = metrics.bootstrap(noc.astype(np.float64), images)
    row = {}
    for k, target in enumerate(NOC_TARGETS):
        known = target <= stop_iou  # a game that stops early says nothing about a higher target
        name = f"noc@{_percent(target)}"
        row[name] = float(noc[:, k].mean()) if known else np.nan
        row[f"{name}_low"] = float(low[k]) if known else np.nan
        row[f"{name}_high"] = float(high[k]) if known else np.nan
    return row


def _number_text(name: str, digits: int) -> Callable[[Mapping[str, object]], str]:
    def text(row: Mapping[str, object]) -> str:
        value = row[name]
        return "" if pd.isna(value) else f"{value:.{digits}f}"  # type: ignore[call-overload]

    return text


def _interval_text(name: str) -> Callable[[Mapping[str, object]], str]:
    def text(row: Mapping[str, object]) -> str:
        value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
        if pd.isna(value):  # type: ignore[call-overload]
            return ""
        interval = "" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]"  # type: ignore[call-overload]
        return f"{value:.2f}{interval}"

    return text


def _text(name: str) -> Callable[[Mapping[str, object]], str]:
    return lambda row: str(row[name])


def _percent(target: float) -> str:
    return f"{100 * target:.0f}"


_LABELS = (Column("Data set", _text("dataset"), False), Column("Model", _text("label"), False))
_SIZE = (Column("Objects", _number_text("objects", 0)), Column("Budget", _number_text("budget", 0)))
_RUN = (Column("Run", _text("run"), False),)
_NOC = tuple(Column(f"NoC@{p}", _interval_text(f"noc@{p}")) for p in map(_percent, NOC_TARGETS))
_NOF = tuple(Column(f"NoF@{p}", _number_text(f"nof@{p}", 0)) for p in map(_percent, NOF_TARGETS))
_NOF_RITM = tuple(
    Column(f"NoF@{p} (RITM)", _number_text(f"nof_ritm@{p}", 0)) for p in map(_percent, NOF_TARGETS)
)
_IOU = tuple(Column(f"IoU@{k}", _number_text(f"iou@{k}", 4)) for k in IOU_AT)
_TIME = (
    Column("Clicks", _number_text("clicks", 0)),
    Column("Seconds/click", _number_text("seconds_per_click", 4)),
)

VIEWS: Mapping[str, tuple[Column, ...]] = {
    "noc": (*_LABELS, *_SIZE, *_NOC, *_RUN),
    "nof": (*_LABELS, *_SIZE, *_NOF, *_NOF_RITM, *_RUN),
    "iou": (*_LABELS, *_SIZE, *_IOU, *_RUN),
    "time": (*_LABELS, *_SIZE, *_TIME, *_RUN),
    "all": (*_LABELS, *_SIZE, *_NOC, *_NOF, *_NOF_RITM, *_IOU, *_TIME, *_RUN),
}


def make_table(frame: pd.DataFrame, view: str) -> TextTable:
    """Return a view of a frame as a text table."""
    columns = VIEWS[view]
    records: list[dict[str, object]] = frame.to_dict("records")  # type: ignore[assignment]
    rows = tuple(tuple(column.text(record) for column in columns) for record in records)
    heads, figures = (tuple(column.head for column in columns), tuple(c.figure for c in columns))
    return TextTable(heads, rows, figures, transposed=view == "all")


def format_csv(frame: pd.DataFrame) -> str:
    """Return every figure at full precision, one row per run; missing figures are empty."""
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False)
    return buffer.getvalue()
