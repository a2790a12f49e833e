"""All metrics: those of isbench in one table, then those that packages add by entry point.

An entry point in the group `isbench.metrics` is a Metric or a tuple of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import numpy as np

from isbench.errors import IsbenchError, make_unknown_error
from isbench.extensions import Group, list_names, load_extension
from isbench.metrics.backsliding import average_loss, count_backslides, find_worst_loss
from isbench.metrics.clicks import (
    clicks_to,
    compute_auc,
    find_failures,
    find_failures_ritm,
)
from isbench.metrics.metric import Games, Metric, Values
from isbench.metrics.targets import (
    FAILURE_TARGETS,
    IOU_AT,
    LONG_BUDGET,
    LONG_TARGET,
    MAIN_TARGET,
    TARGETS,
    USUAL_TARGETS,
    format_percent,
)

ADDED = Group("isbench.metrics", "metric", object)


def _count_clicks(games: Games, target: float) -> Values | None:
    return clicks_to(games.iou, target) if games.continue_to(target) else None


def _find_failures(games: Games, target: float) -> Values | None:
    return find_failures(games.iou, target) if games.continue_to(target) else None


def _find_failures_ritm(games: Games, target: float) -> Values | None:
    return find_failures_ritm(games.iou, target) if games.continue_to(target) else None


def _take_iou(games: Games, click: int) -> Values | None:
    if not games.are_full or click > games.budget:
        return None
    return np.where(games.scored, games.iou[:, click - 1], np.nan)


def _count_long(games: Games) -> Values | None:
    """Return the NoC of long games, whatever the budget of the table."""
    if games.rules.max_clicks < LONG_BUDGET or not games.continue_to(LONG_TARGET):
        return None
    enough = games if games.budget >= LONG_BUDGET else games.with_budget(LONG_BUDGET)
    return clicks_to(enough.iou[:, :LONG_BUDGET], LONG_TARGET)


def _measure_area(games: Games) -> Values | None:
    if not games.are_full:
        return None
    return np.where(games.scored, compute_auc(games.iou), np.nan)


def _count_later_clicks(games: Games) -> Values:
    return games.clicks - 1


def _share_backslides(games: Games) -> Values:
    later = _count_later_clicks(games)
    return np.where(later > 0, count_backslides(games.iou) / np.maximum(later, 1), np.nan)


def _average_seconds(games: Games) -> Values | None:
    measured = np.isfinite(games.seconds)
    counts = measured.sum(axis=1)
    if not counts.any():
        return None
    sums = np.where(measured, games.seconds, 0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _view(name: str, target: float) -> str:
    """Return the view of a metric at a target: that of the name has the usual targets only."""
    return name if target in USUAL_TARGETS else "all"


METRICS: tuple[Metric, ...] = (
    *(
        Metric(
            name=f"NoC@{format_percent(target)}",
            key=f"noc@{format_percent(target)}",
            compute=partial(_count_clicks, target=target),
            view=_view("noc", target),
        )
        for target in TARGETS
    ),
    *(
        Metric(
            name=f"NoF@{format_percent(target)}{suffix}",
            key=f"{key}@{format_percent(target)}",
            compute=partial(find, target=target),
            format=".0f",
            summary="sum",
            view=_view("nof", target),
            item=f"NoF@{format_percent(target)}{meaning}",
        )
        for key, suffix, meaning, find in (
            ("nof", "", ", never reached", _find_failures),
            ("nof_ritm", " (RITM)", " as RITM counts", _find_failures_ritm),
        )
        for target in FAILURE_TARGETS
    ),
    *(
        Metric(
            name=f"IoU@{click}",
            key=f"iou@{click}",
            compute=partial(_take_iou, click=click),
            format=".4f",
            better="higher",
            summary="mean",
            view="iou",
            item="",
        )
        for click in IOU_AT
    ),
    Metric(
        name=f"NoC_{LONG_BUDGET}@{format_percent(LONG_TARGET)}",
        key=f"noc_{LONG_BUDGET}@{format_percent(LONG_TARGET)}",
        compute=_count_long,
        item="",
    ),
    Metric(
        name="IoU-AuC",
        key="auc",
        compute=_measure_area,
        format=".4f",
        better="higher",
        summary="mean",
        view="stability",
        item="",
    ),
    Metric(
        name="Backsliding",
        key="backsliding",
        compute=_share_backslides,
        format=".1%",
        summary="weighted mean",
        weigh=_count_later_clicks,
        view="stability",
        item="",
    ),
    Metric(
        name="Mean loss",
        key="mean_loss",
        compute=lambda games: average_loss(games.iou),
        format=".4f",
        summary="weighted mean",
        weigh=lambda games: count_backslides(games.iou),
        view="stability",
        item="",
    ),
    Metric(
        name="Worst loss",
        key="worst_loss",
        compute=lambda games: find_worst_loss(games.iou),
        format=".4f",
        summary="maximum",
        view="stability",
        item="",
    ),
    Metric(
        name="Clicks",
        key="clicks",
        compute=lambda games: games.clicks,
        format=".0f",
        summary="sum",
        view="time",
        item="",
    ),
    Metric(
        name="Seconds/click",
        key="seconds_per_click",
        compute=_average_seconds,
        format=".4f",
        summary="mean over clicks",
        view="time",
        item="seconds per click",
    ),
)


def list_metrics() -> tuple[Metric, ...]:
    """Return the metrics of isbench, then those of installed packages.

    Raises IsbenchError for a package that cannot be imported or adds something else, and for a
    name or key that two metrics have.
    """
    found = list(METRICS)
    for name in list_names(ADDED):
        loaded = load_extension(ADDED, name)
        for metric in loaded if isinstance(loaded, tuple) else (loaded,):
            if not isinstance(metric, Metric):
                raise IsbenchError(
                    f"metric {name!r} of a package is a {type(metric).__name__}; wanted an "
                    "isbench.Metric or a tuple of them"
                )
            found.append(metric)
    check_distinct(found)
    return tuple(found)


def check_distinct(metrics: Sequence[Metric]) -> None:
    """Raise IsbenchError if two metrics have the same name or a csv column in common."""
    names: dict[str, Metric] = {}
    columns: dict[str, Metric] = {}
    for metric in metrics:
        if metric.name in names:
            raise IsbenchError(
                f"two metrics are named {metric.name!r}; rename one or uninstall its package"
            )
        names[metric.name] = metric
        for column in metric.columns:
            if column in columns:
                raise IsbenchError(
                    f"metrics {columns[column].name} and {metric.name} both have the csv column "
                    f"{column!r}; rename one key or uninstall its package"
                )
            columns[column] = metric


def find_metric(key: str) -> Metric:
    """Return a metric of isbench by its key; raises IsbenchError with the nearest one."""
    for metric in METRICS:
        if metric.key == key:
            return metric
    raise make_unknown_error("metric", key, [metric.key for metric in METRICS])


def match_metric(name: str, metrics: Sequence[Metric]) -> Metric:
    """Return the metric that a person names: "noc90", "NoC@90" and "NoC_20@90" are the same.

    Raises IsbenchError with the nearest one for another name.
    """
    for metric in metrics:
        if name in (metric.key, metric.name):
            return metric
    for metric in metrics:
        if _simplify(name) in (_simplify(metric.key), _simplify(metric.name)):
            return metric
    raise make_unknown_error("metric", name, [metric.key for metric in metrics])


def _simplify(name: str) -> str:
    """Return a name without signs, spaces and the number of clicks, in lower case."""
    return re.sub(r"_\d+(?=@)|[^a-z0-9.+-]", "", name.lower())


MAIN_NOC = find_metric(f"noc@{format_percent(MAIN_TARGET)}")  # of pages
