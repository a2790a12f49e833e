"""Tables of runs: a row per run with every figure, and views of the rows as text tables.

No files, no models. A figure that a run cannot give is blank, never 0.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isbench.errors import IsbenchError, check_least
from isbench.metrics import METRICS, Figure, Games, Metric, make_games, summarise
from isbench.protocol import PROTOCOLS
from isbench.reporting.labels import NO_LABELS, format_count, make_labels
from isbench.reporting.machine_load import Load, find_load, format_load, warn_of_load
from isbench.reporting.text_table import TextTable, escape_csv
from isbench.storage import store
from isbench.storage.store import Run

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = Sequence[Mapping[str, Any]]  # figures of runs by csv column

FULL_GAMES = (
    "IoU@k needs full games, which do not stop at an IoU: play with stop_iou above 1 (`isbench run "
    "--stop-iou 1.01`)"
)

# what names of metrics stand for, by what such a name contains
_LEGEND: Mapping[str, str] = {
    "NoC@": "NoC: mean number of clicks to reach the IoU",
    "NoF@": "NoF: number of objects that never reach the IoU",
    "(RITM)": "NoF (RITM) also counts objects that reach it at the last click",
    "IoU@": "IoU@k: mean IoU after k clicks",
}


@dataclass(frozen=True)
class Column:
    """A column of a view: its head, and its text for a row of figures ('' if missing)."""

    head: str
    text: Callable[[Mapping[str, object]], str]
    figure: bool = True  # aligned right


def make_frame(
    runs: Sequence[Run],
    max_clicks: int = 20,
    metrics: Sequence[Metric] = METRICS,
    labels: Mapping[str, str] = NO_LABELS,
) -> pd.DataFrame:
    """Return one row per run with every figure, nan if the run cannot give it.

    Parameters
    ----------
    runs : sequence of Run
        Complete runs, over any data sets.
    max_clicks : int
        Games count up to this click.
    metrics : sequence of Metric
        The figures; `list_metrics` returns those of installed packages too.
    labels : mapping
        Names of runs by their digest, instead of those made from what differs.

    Returns
    -------
    DataFrame
        With the columns of `isbench report --format csv`; `budget` is the number of clicks allowed,
        and intervals are 95 % bootstrap intervals over images.

    Raises
    ------
    IsbenchError
        For a metric that fails, or whose csv column tables have already.
    """
    import pandas as pd  # only frames and csv need it, and it takes a third of a second

    frame: pd.DataFrame = pd.DataFrame(make_rows(runs, max_clicks, metrics, labels))
    return frame


def make_rows(
    runs: Sequence[Run],
    max_clicks: int = 20,
    metrics: Sequence[Metric] = METRICS,
    labels: Mapping[str, str] = NO_LABELS,
) -> Rows:
    """Return the rows of `make_frame`, each with the columns that its run has."""
    rows = [compute_figures(run, max_clicks, metrics) for run in runs]
    names = make_labels(runs, labels)
    return [
        {"model": row["model"], "label": name, **row} for row, name in zip(rows, names, strict=True)
    ]


def compute_figures(
    run: Run, max_clicks: int = 20, metrics: Sequence[Metric] = METRICS
) -> dict[str, object]:
    """Return the figures of one run by csv column, nan if the run cannot give them.

    Raises IsbenchError for a metric that fails, or whose csv column tables have already.
    """
    check_least("max_clicks", max_clicks, 1)
    budget = min(max_clicks, run.spec.rules.max_clicks)
    games = collect_games(run, budget)
    facts: dict[str, object] = {
        "model": run.spec.model,
        "dataset": run.spec.dataset,
        "preset": run.spec.preset,
        "budget": budget,
        "objects": len(games.images),
        "images": len(set(games.images)),
    }
    if not games.scored.all():
        facts[UNSCORED] = int(np.count_nonzero(~games.scored))
    conditions = {
        "run": store.parse_digest(run.path),
        **_list_conditions(run),
        **_list_load(run),
    }
    figures = summarise(metrics, games)
    row: dict[str, object] = {}
    for metric in metrics:
        if taken := {"label", *facts, *conditions}.intersection(metric.columns):
            raise IsbenchError(
                f"metric {metric.name} has the csv column {min(taken)!r}, which every run has; "
                "wanted another key"
            )
        figure = figures.get(metric.key, Figure(np.nan))
        row.update(zip(metric.columns, figure, strict=False))  # no ends without an interval
    return {**facts, **row, **conditions}


def collect_games(run: Run, budget: int) -> Games:
    """Return the games of a run up to `budget` clicks, as metrics get them."""
    return make_games(run.trajectories, run.spec.rules, budget, run.seconds)


def format_figure(metric: Metric, row: Mapping[str, Any]) -> str:
    """Return a metric in a row of figures as text, with its interval; '' if it is not known."""
    value, *ends = (row.get(column) for column in metric.columns)
    if is_missing(value):
        return ""
    interval = ", ".join(format(end, metric.format) for end in ends if not is_missing(end))
    return format(value, metric.format) + (f" [{interval}]" if interval else "")


def is_missing(value: object) -> bool:
    """Whether a value of a row is not known: None or nan."""
    return value is None or value != value


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
    if spec.initial is not None:
        facts["initial"] = spec.initial
    libraries = {f"library_{name}": version for name, version in spec.libraries.items()}
    return {**asdict(spec.rules), **facts, **libraries, **options}


def _list_load(run: Run) -> dict[str, object]:
    """Return how busy the machine was while times were measured, nan if that is not recorded."""
    load = find_load(run)
    return {name: np.nan if load is None else getattr(load, key) for key, name in _LOAD.items()}


def _read_load(row: Mapping[str, Any]) -> Load | None:
    busy, others, processors = (row.get(name, np.nan) for name in _LOAD.values())
    return None if is_missing(busy) else Load(busy, others, int(processors))


# columns of csv
_LOAD = {
    "busy": "busy_processors",
    "others": "processors_used_by_others",
    "processors": "processors",
}


def _format_objects(row: Mapping[str, Any]) -> str:
    unscored = _count_unscored(row)
    return f"{row['objects']}" + (f" ({unscored} unscored)" if unscored else "")


def _count_unscored(row: Mapping[str, Any]) -> int:
    """Return the number of objects without a scored pixel in a row."""
    count = row.get(UNSCORED, 0)
    return 0 if is_missing(count) else int(count)


def show_value(name: str) -> Callable[[Mapping[str, object]], str]:
    """Return a function that shows a value of a row as it is."""
    return lambda row: str(row[name])


def list_views(metrics: Sequence[Metric] = METRICS) -> tuple[str, ...]:
    """Return the names of the tables of these metrics and of protocols; "all" is the last."""
    views = (one.view for one in metrics if one.view != ALL)
    return (*dict.fromkeys((*views, *PROTOCOLS)), ALL)


def choose_metrics(view: str, metrics: Sequence[Metric] = METRICS) -> list[Metric]:
    """Return the metrics of a view, those of a protocol in its order."""
    figures = PROTOCOLS[view].figures if view in PROTOCOLS else ()
    rank = {key: number for number, key in enumerate(figures)}
    shown = [one for one in metrics if view in (ALL, one.view) or one.key in rank]
    return sorted(shown, key=lambda one: rank.get(one.key, len(rank)))


def make_table(
    rows: Rows, view: str, metrics: Sequence[Metric] = METRICS, layout: str = "runs"
) -> TextTable:
    """Return a view of rows of figures as a text table.

    Parameters
    ----------
    rows : sequence of mappings
        One row per run, as `make_rows` returns them.
    view : str
        One of `list_views`; "all" has every metric, except those that no run can tell.
    metrics : sequence of Metric
        The metrics of the rows.
    layout : str
        "runs": one row per run. "paper": one row per model, and one column per data set and metric,
        as papers print them.

    Returns
    -------
    TextTable
        Without the runs that can tell no figure of the view; a note counts them. Another note
        counts the objects without a scored pixel.
    """
    shown = choose_metrics(view, metrics)
    if view == ALL:
        shown = [one for one in shown if any(format_figure(one, row) for row in rows)]
    kept: list[Mapping[str, Any]] = []
    left_out: list[Mapping[str, Any]] = []
    for row in rows:
        (kept if any(format_figure(one, row) for one in shown) else left_out).append(row)
    notes = (*_list_notes(kept, left_out, shown), *_list_unscored(rows))
    if layout == "paper":
        return _make_paper_table(kept, shown, notes)
    columns = [*_LABELS, *(Column(one.name, partial(format_figure, one)) for one in shown)]
    if any(one.key == _TIME for one in shown) and any(_read_load(row) for row in kept):
        columns.append(Column("Busy processors", lambda row: format_load(_read_load(row))))
    columns.append(_RUN)
    texts = tuple(tuple(column.text(record) for column in columns) for record in kept)
    heads, figures = (tuple(column.head for column in columns), tuple(c.figure for c in columns))
    return TextTable(heads, texts, figures, transposed=view == ALL, notes=notes, conditions=_SHARED)


def _list_notes(
    kept: Sequence[Mapping[str, Any]],
    left_out: Sequence[Mapping[str, Any]],
    shown: Sequence[Metric],
) -> Iterator[str]:
    if left_out:
        several = len(left_out) > 1
        early = any(one.view == "iou" for one in shown) and all(
            row["stop_iou"] <= 1 for row in left_out
        )
        why = f" that {'stop' if several else 'stops'} at an IoU" if early else ""
        yield (
            f"{format_count(len(left_out), 'run')}{why} {'have' if several else 'has'} none of "
            f"these figures and {'are' if several else 'is'} left out."
        )
    if any(one.key == _TIME for one in shown):
        loads = [(row, load) for row in kept if (load := _read_load(row)) and load.is_doubtful]
        if loads:
            worst = max((load for _, load in loads), key=lambda load: load.others)
            digests = ", ".join(str(row["run"]) for row, _ in loads)
            yield f"Caution: {warn_of_load(worst)} (run{'s' * (len(loads) > 1)} {digests})."


def _list_unscored(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield how many objects of each data set have no scored pixel, if any."""
    counts = {(row["dataset"], row["objects"]): _count_unscored(row) for row in records}
    for (dataset, objects), count in counts.items():
        if count:
            yield (
                f"{dataset}: {count} of {objects} objects have no scored pixel; IoU@k leaves them "
                "out, NoC and NoF count them as never solved"
            )


def _make_paper_table(
    records: Sequence[Mapping[str, Any]], shown: Sequence[Metric], notes: tuple[str, ...]
) -> TextTable:
    """Return one row per model and one column per data set and metric, without intervals."""
    datasets = list(dict.fromkeys(str(row["dataset"]) for row in records))
    labels = [label for _, label in sorted({(row["model"], row["label"]) for row in records})]
    found = {(row["label"], row["dataset"]): row for row in records}
    columns = [
        (dataset, one)
        for dataset in datasets
        for one in shown
        if any(format_figure(one, row) for row in records if row["dataset"] == dataset)
    ]
    rows = tuple(
        (label, *(_format_value(one, found.get((label, dataset), {})) for dataset, one in columns))
        for label in labels
    )
    counts = {
        name: sorted({_format_objects(row) for row in records if row["dataset"] == name})
        for name in datasets
    }
    sizes = ", ".join(f"{name} {' or '.join(numbers)}" for name, numbers in counts.items())
    budgets = " or ".join(str(budget) for budget in sorted({row["budget"] for row in records}))
    notes = (f"Objects: {sizes}. Clicks per object: up to {budgets}.", *notes)
    heads = ("Model", *(f"{dataset} {one.name}" for dataset, one in columns))
    groups = ("", *(dataset for dataset, _ in columns))
    return TextTable(heads, rows, (False, *[True] * len(columns)), notes=notes, groups=groups)


def _format_value(metric: Metric, row: Mapping[str, Any]) -> str:
    value = row.get(metric.key, np.nan)
    return "" if is_missing(value) else format(value, metric.format)


def make_legend(metrics: Sequence[Metric]) -> str:
    """Return what the names of metrics stand for, as far as that needs words."""
    parts = [
        text for part, text in _LEGEND.items() if any(part in metric.name for metric in metrics)
    ]
    if any(metric.has_interval for metric in metrics):
        parts.append("[...]: 95 % interval over images")
    return "; ".join(parts)


def format_csv(frame: pd.DataFrame) -> str:
    """Return every figure at full precision, one row per run; missing figures are empty."""
    import pandas as pd

    buffer = io.StringIO()
    safe = frame.rename(columns=escape_csv)
    for at, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            safe.isetitem(at, frame.iloc[:, at].map(escape_csv))
    safe.to_csv(buffer, index=False)
    return buffer.getvalue()


ALL = "all"  # the view of every metric
UNSCORED = "unscored"  # the column of objects without a scored pixel, if there are any
_LABELS = (
    Column("Data set", show_value("dataset"), False),
    Column("Model", show_value("label"), False),
    Column("Objects", _format_objects),
    Column("Budget", show_value("budget")),
)
_SHARED = ("Objects", "Budget")  # what runs over a data set usually have in common
_TIME = "seconds_per_click"
_RUN = Column("Run", show_value("run"), False)
