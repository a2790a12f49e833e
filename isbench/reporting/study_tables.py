"""The table of studies: one row per clicker, with means over its seeds and their spread.

A figure that the runs cannot give is blank. Not here: which runs are a study (`studies`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from isbench.errors import check_least
from isbench.metrics import (
    TARGETS,
    Floats,
    Games,
    clicks_to,
    compute_auc,
    count_backslides,
    find_extremes,
    limit_target,
    measure_half_increase,
    measure_increase,
    measure_sensitivity,
    summarise_seeds,
)
from isbench.metrics.targets import format_percent
from isbench.reporting.labels import NO_LABELS, make_labels
from isbench.reporting.studies import Study, find_group
from isbench.reporting.tables import Column, Rows, collect_games, is_missing, show_value
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.store import Run

if TYPE_CHECKING:
    import pandas as pd

VIEW = "study"  # the name of the table
LEGEND = (
    "mean ± standard deviation over the runs of each object, averaged over objects [95 % interval "
    "of the mean over images and runs]; IoU-AuC: area under IoU@1 to the last click; NSR: spread "
    "of it in percent of its mean; dSB: clicks to IoU 0.90, or to the IoU at which games "
    "stop if that is lower, in "
    "percent above those with the clicker centre, averaged over objects; "
    "worst, best: lowest and highest IoU-AuC of each object; Backsliding: share of clicks that "
    "lose more than a point of IoU"
)
GROUPS_LEGEND = (
    "dGR: clicks of group 1 in percent above those of group 10; dHH: the same for groups 1 and 6 "
    "to 5 and 10"
)
_GROUPS = tuple(range(1, 11))
_MARKS = ("fallback", "missed", "slip")


def make_study_frame(
    studies: Sequence[Study],
    baselines: Sequence[Run | None],
    max_clicks: int = 20,
    labels: Mapping[str, str] = NO_LABELS,
) -> pd.DataFrame:
    """Return one row per study with every figure, nan if its runs cannot give it.

    Parameters
    ----------
    studies : sequence of Study
        As `group_runs` returns them.
    baselines : sequence of Run or None
        For each study the run with the clicker `centre`, which dSB needs.
    max_clicks : int
        Games count up to this click.
    labels : mapping
        Names of runs by their digest, for the first run of a study.

    Returns
    -------
    DataFrame
        The figures of `isbench report --table study --format csv`.
    """
    import pandas as pd  # only frames and csv need it, and it takes a third of a second

    frame: pd.DataFrame = pd.DataFrame(make_study_rows(studies, baselines, max_clicks, labels))
    return frame


def make_study_rows(
    studies: Sequence[Study],
    baselines: Sequence[Run | None],
    max_clicks: int = 20,
    labels: Mapping[str, str] = NO_LABELS,
) -> Rows:
    """Return the rows of `make_study_frame`."""
    check_least("max_clicks", max_clicks, 1)
    names = _make_labels(studies, labels)
    rows = (
        _compute_figures(study, baseline, max_clicks)
        for study, baseline in zip(studies, baselines, strict=True)
    )
    return [
        {"model": row["model"], "label": name, **row} for row, name in zip(rows, names, strict=True)
    ]


def _make_labels(studies: Sequence[Study], given: Mapping[str, str]) -> list[str]:
    """Return a short name of each study, unique among those of its clicker on a data set."""
    said = {"clicker": "", "seed": "", "preset": ""}  # the clicker has a column of its own
    labels: dict[str, str] = {}
    for clicker in {study.clicker for study in studies}:
        runs = [study.runs[0] for study in studies if study.clicker == clicker]
        named = make_labels(runs, given, said)
        labels |= {str(run.path): name for run, name in zip(runs, named, strict=True)}
    return [labels[str(study.runs[0].path)] for study in studies]


def _compute_figures(study: Study, baseline: Run | None, max_clicks: int) -> dict[str, object]:
    budget = min(max_clicks, study.spec.rules.max_clicks)
    played = [collect_games(run, budget) for run in study.runs]
    games = played[0]
    later = sum(int((one.clicks - 1).sum()) for one in played)
    slides = sum(int(count_backslides(one.iou).sum()) for one in played)
    return {
        "model": study.spec.model,
        "dataset": study.spec.dataset,
        "clicker": study.clicker,
        "runs": len(study.runs),
        "seeds": len(study.seeds),
        "groups": len(study.groups),
        "budget": budget,
        "objects": len(games.images),
        "images": len(set(games.images)),
        **_count_clicks(played),
        **_measure_areas(played),
        **_compare(study, played, baseline, budget),
        "backsliding": slides / later if later else np.nan,
        **{mark: _share_marked(study, played, mark) for mark in _MARKS},
        "run_digests": " ".join(store.parse_digest(run.path) for run in study.runs),
    }


def _count_clicks(played: Sequence[Games]) -> dict[str, float]:
    """Return the NoC at every target that the games reach, with its spread and interval."""
    figures: dict[str, float] = {}
    for target in TARGETS:
        values = _collect(played, target)
        figures.update(_describe(f"noc@{format_percent(target)}", values, played[0].images))
    return figures


def _collect(played: Sequence[Games], target: float) -> Floats | None:
    """Return the NoC, (S, N); None if the games end before the target."""
    if not all(games.continue_to(target) for games in played):
        return None
    return np.stack([clicks_to(games.iou, target) for games in played]).astype(np.float64)


def _measure_areas(played: Sequence[Games]) -> dict[str, float]:
    """Return the IoU-AuC and what is computed from it, over the objects with a scored pixel."""
    names = ("nsr", "worst", "best", "gap")
    if not all(games.are_full for games in played):
        return {**_describe("auc", None, ()), **dict.fromkeys(names, np.nan)}
    known = np.logical_and.reduce([games.scored for games in played])
    values = np.stack([compute_auc(games.iou)[known] for games in played])
    images = [image for image, scored in zip(played[0].images, known, strict=True) if scored]
    figures = _describe("auc", values if known.any() else None, images)
    if len(played) < 2 or not known.any():
        return {**figures, **dict.fromkeys(names, np.nan)}
    found = (measure_sensitivity(values), *find_extremes(values))
    return {**figures, **dict(zip(names, found, strict=True))}


def _describe(key: str, values: Floats | None, images: Sequence[str]) -> dict[str, float]:
    """Return the columns of a figure; one run has no spread."""
    keys = (key, f"{key}_std", f"{key}_low", f"{key}_high")
    if values is None:
        return dict.fromkeys(keys, np.nan)
    found = summarise_seeds(values, images)
    return dict(zip(keys, found if len(values) > 1 else found._replace(std=np.nan), strict=True))


def _compare(
    study: Study, played: Sequence[Games], baseline: Run | None, budget: int
) -> dict[str, float]:
    """Return dSB, dGR and dHH in percent, of the NoC at the main target."""
    target = limit_target(study.spec.rules.stop_iou)
    values = _collect(played, target)
    if values is None:
        return dict.fromkeys(("dsb", "dgr", "dhh"), np.nan)
    dsb = dgr = dhh = float("nan")
    if baseline is not None:
        base = clicks_to(collect_games(baseline, budget).iou, target)
        dsb = measure_increase(values.mean(axis=0), base.astype(np.float64))
    if study.groups == _GROUPS:
        of_runs = np.array([find_group(run.spec.rules) for run in study.runs])
        groups = np.stack([values[of_runs == group].mean(axis=0) for group in _GROUPS])
        dgr = measure_increase(groups[0], groups[-1])
        dhh = measure_half_increase(groups)
    return {"dsb": dsb, "dgr": dgr, "dhh": dhh}


def _share_marked(study: Study, played: Sequence[Games], mark: str) -> float:
    """Return the share of clicks with a mark, nan if no run has it."""
    counts = [count_marks(run, mark, played[0].budget) for run in study.runs]
    clicks = sum(int(games.clicks.sum()) for games in played)
    return sum(counts) / clicks if any(counts) else np.nan


def count_marks(run: Run, mark: str, budget: int) -> int:
    """Return the number of a run's clicks that its clicker marked, up to `budget` of a game."""
    ends = {game.key: min(budget, len(game.clicks)) for game in run.trajectories if run.marks}
    return sum(
        number <= ends.get(key, 0)
        for key, marks in run.marks.items()
        for number in marks.get(mark, ())
    )


def describe_marks(run: Run, budget: int) -> str:
    """Return a sentence on the clicks that fell back to `centre`, or "" if none did."""
    count = count_marks(run, "fallback", budget)
    if not count:
        return ""
    clicks = sum(min(budget, len(game.clicks)) for game in run.trajectories)
    return (
        f"{run.spec.model} on {run.spec.dataset}: {count} of {clicks} clicks are those of centre, "
        f"since {run.spec.rules.clicker} found no pixel"
    )


def make_study_table(rows: Rows) -> TextTable:
    """Return the table of rows that `make_study_rows` returned; blank columns are left out."""
    columns = [
        *_LABELS,
        *(
            one
            for one in (*_list_figures(), _RUN)
            if one is _RUN or any(one.text(row) for row in rows)
        ),
    ]
    return TextTable(
        tuple(column.head for column in columns),
        tuple(tuple(column.text(row) for column in columns) for row in rows),
        tuple(column.figure for column in columns),
        transposed=True,
        notes=tuple(_list_notes(rows)),
        conditions=("Objects", "Budget"),
    )


def _list_notes(rows: Rows) -> Iterator[str]:
    yield LEGEND
    if any(row["groups"] for row in rows):
        yield GROUPS_LEGEND
    if any(row["runs"] == 1 for row in rows):
        yield "One run has no spread; play a stochastic clicker with `isbench run --seeds 10`"


def _list_figures() -> Iterator[Column]:
    for target in TARGETS:
        key = f"noc@{format_percent(target)}"
        yield Column(f"NoC@{format_percent(target)}", partial(_format_spread, key, ".2f"))
    yield Column("IoU-AuC", partial(_format_spread, "auc", ".4f"))
    for head, key in (("NSR %", "nsr"), ("dSB %", "dsb"), ("dGR %", "dgr"), ("dHH %", "dhh")):
        yield Column(head, partial(_format, key, ".1f"))
    for head in ("Worst", "Best", "Gap"):
        yield Column(head, partial(_format, head.lower(), ".4f"))
    for head, key in (
        ("Backsliding", "backsliding"),
        ("Fall-backs", "fallback"),
        ("Missed", "missed"),
        ("Slips", "slip"),
    ):
        yield Column(head, partial(_format, key, ".1%"))


def _format(key: str, form: str, row: Mapping[str, Any]) -> str:
    return "" if is_missing(row[key]) else format(row[key], form)


def _format_spread(key: str, form: str, row: Mapping[str, Any]) -> str:
    """Return a figure with its spread and its interval, as far as they are known."""
    value, std, low, high = (
        _format(name, form, row) for name in (key, f"{key}_std", f"{key}_low", f"{key}_high")
    )
    return f"{value}{std and f' ± {std}'}{low and f' [{low}, {high}]'}"


def _format_runs(row: Mapping[str, Any]) -> str:
    parts = [f"{row['groups']} groups"] if row["groups"] > 1 else []
    if row["seeds"] > 1 or not parts:
        parts.append(f"{row['seeds']} seed{'s' * (row['seeds'] > 1)}")
    return " x ".join(parts)


_LABELS = (
    Column("Data set", show_value("dataset"), False),
    Column("Model", show_value("label"), False),
    Column("Clicker", show_value("clicker"), False),
    Column("Played", _format_runs, False),
    Column("Objects", show_value("objects")),
    Column("Budget", show_value("budget")),
)
_RUN = Column("First run", lambda row: str(row["run_digests"]).partition(" ")[0], False)
