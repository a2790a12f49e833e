"""A metric: a figure of a run, computed from its games, and how it is summarised and printed.

Not here: which metrics there are (`registry`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError, describe_exception
from isbench.metrics.clicks import Floats, bootstrap, curves, find_image, has_scored_pixels
from isbench.protocol import has_full_games
from isbench.types import Rules, Trajectory

Values = NDArray[Any]  # (N,) numbers or bools, one per object
Better = Literal["lower", "higher"]
Summary = Literal[
    "mean with interval", "mean", "mean over clicks", "weighted mean", "maximum", "sum"
]
_KEY, _VIEW = r"[a-z0-9_@.+-]+", r"[a-z][a-z0-9_-]*"


@dataclass(frozen=True, eq=False)
class Games:
    """The games of a run as a metric gets them: N objects, up to `budget` = K clicks each."""

    rules: Rules  # the games were played by these
    budget: int  # later clicks do not count
    iou: Floats  # (N, K) after each click, the last one repeated; nan: no IoU; read-only
    clicks: NDArray[np.int64]  # (N,) clicks played
    images: tuple[str, ...]  # (N,) the image of each object
    seconds: Floats  # (N, K) that `predict` took for each click; nan: not measured or not played
    scored: NDArray[np.bool_]  # (N,) whether the object has a scored pixel; others have no IoU@k
    _whole: Sequence[Trajectory]

    @property
    def trajectories(self) -> Iterator[Trajectory]:
        """Yield each object's clicks and overlaps, N in all."""
        for game in self._whole:
            yield Trajectory(game.key, game.clicks[: self.budget], game.overlap[: self.budget])

    @property
    def are_full(self) -> bool:
        """Whether games continue to the last click at any IoU, as the IoU after k clicks needs."""
        return has_full_games(self.rules) or self.budget == 1

    def continue_to(self, target: float) -> bool:
        """Whether games continue until this IoU, so that the clicks to it can be counted."""
        return target <= self.rules.stop_iou

    def with_budget(self, budget: int) -> Games:
        """Return the same games up to another budget, without their times."""
        return make_games(self._whole, self.rules, budget)


@dataclass(frozen=True)
class Metric:
    """A figure of a run. Tables, csv, the checklist, pages and comparisons show every metric.

    Parameters
    ----------
    name : str
        Head of its column, such as "NoC@90".
    key : str
        Its column in csv, such as "noc@90".
    compute : callable
        From Games to one number per object, (N,); None if these games cannot tell.
    format : str
        Format of the printed number.
    better : str
        "lower" or "higher"; comparisons count wins by it.
    summary : str
        How the objects are summarised: "mean with interval" (a 95 % bootstrap interval over
        images), "mean" (nan is left out for objects without a scored pixel), "mean over clicks"
        (objects weigh as many as their clicks, nan is left out), "weighted mean" (objects weigh as
        `weigh` says, nan is left out), "maximum" or "sum".
    view : str
        The table that has its column, next to the table "all": "noc", "nof", "iou", "time" or
        another name, which `isbench report --table` then prints. Metrics of "noc" are compared.
    item : str or None
        Its row in the checklist; None: as the name, "": no row.
    weigh : callable or None
        From Games to the weight of each object, (N,), for the summary "weighted mean".
    """

    name: str
    key: str
    compute: Callable[[Games], Values | None]
    format: str = ".2f"
    better: Better = "lower"
    summary: Summary = "mean with interval"
    view: str = "all"
    item: str | None = None
    weigh: Callable[[Games], Values] | None = None

    def __post_init__(self) -> None:
        """Raise IsbenchError for a metric that cannot be printed."""
        for field, found, wanted, known in (
            ("name", self.name, "a text on one line", ".+"),
            ("key", self.key, "lower-case letters, digits and any of _@.+-", _KEY),
            ("view", self.view, "a lower-case word", _VIEW),
            ("better", self.better, " or ".join(get_args(Better)), "|".join(get_args(Better))),
            ("summary", self.summary, ", ".join(get_args(Summary)), "|".join(get_args(Summary))),
        ):
            if not isinstance(found, str) or not re.fullmatch(known, found):
                raise IsbenchError(f"metric {self.name!r} has {field} {found!r}; wanted {wanted}")
        if (self.weigh is None) == (self.summary == "weighted mean"):
            raise IsbenchError(
                f"metric {self.name!r} has summary {self.summary!r} and "
                f"{'no ' * (self.weigh is None)}weigh; wanted weigh with 'weighted mean' only"
            )
        try:
            format(0.5, self.format)
        except (TypeError, ValueError) as error:
            raise IsbenchError(
                f"metric {self.name!r} has format {self.format!r} ({error}); wanted one such as .2f"
            ) from error

    @property
    def has_interval(self) -> bool:
        """Whether its figure comes with a 95 % interval."""
        return self.summary == "mean with interval"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of its columns in csv."""
        ends = (f"{self.key}_low", f"{self.key}_high") if self.has_interval else ()
        return (self.key, *ends)


class Figure(NamedTuple):
    """A metric over all objects, and its 95 % interval; nan: not known, or no interval."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def make_games(
    trajectories: Sequence[Trajectory],
    rules: Rules,
    budget: int,
    seconds: Mapping[str, Sequence[float]] | None = None,
) -> Games:
    """Return the games up to `budget` clicks.

    `rules` are those they were played by; `seconds` are those of each click by object key.
    """
    iou, times = (np.full((len(trajectories), budget), np.nan) for _ in range(2))
    clicks, images = np.zeros(len(trajectories), np.int64), []
    scored = np.ones(len(trajectories), dtype=bool)
    for number, game in enumerate(trajectories):
        iou[number] = curves([game], budget)[0]
        clicks[number] = min(budget, len(game.clicks))
        images.append(find_image(game.key))
        scored[number] = has_scored_pixels(game)
        measured = (seconds or {}).get(game.key, ())[: clicks[number]]
        times[number, : len(measured)] = measured
    for array in (iou, times, clicks, scored):
        array.flags.writeable = False  # every metric gets the same arrays
    return Games(rules, budget, iou, clicks, tuple(images), times, scored, trajectories)


def compute_values(metric: Metric, games: Games) -> Values | None:
    """Return a metric of each object, (N,); None if these games cannot tell.

    Raises IsbenchError, which names the metric, if it raises or returns anything else.
    """
    return _call(metric, metric.compute, games, "or None")


def _call(
    metric: Metric, function: Callable[[Games], Values | None], games: Games, otherwise: str
) -> Values | None:
    """Return what a metric's function gives for games, checked."""
    try:
        found = function(games)
        values = None if found is None else np.asarray(found)
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        raise IsbenchError(
            f"metric {metric.name} raised {describe_exception(error)}; fix or uninstall the "
            "package that adds it"
        ) from error
    wanted = games.clicks.shape
    if values is not None and (values.shape != wanted or values.dtype.kind not in "biuf"):
        raise IsbenchError(
            f"metric {metric.name} returned shape {values.shape} of {values.dtype}; wanted "
            f"{wanted} of numbers, one per object, {otherwise}"
        )
    return values


def summarise(metrics: Sequence[Metric], games: Games) -> dict[str, Figure]:
    """Return the figure of each metric by key, without those that these games cannot tell."""
    known = [(one, values) for one in metrics if (values := compute_values(one, games)) is not None]
    figures = {one.key: Figure(_summarise_one(one, values, games)) for one, values in known}
    columns = {
        one.key: values.astype(np.float64)
        for one, values in known
        if one.has_interval and np.isfinite(values).all()
    }
    if columns:  # in one call, since drawing the images takes the time
        intervals = bootstrap(np.stack([*columns.values()], axis=1), games.images)
        for key, low, high in zip(columns, *intervals, strict=True):
            figures[key] = Figure(figures[key].value, float(low), float(high))
    return figures


def _summarise_one(metric: Metric, values: Values, games: Games) -> float:
    """Return a metric over all objects."""
    if metric.weigh is not None:
        weights = _call(metric, metric.weigh, games, "as weights")
        if weights is None or not ((weights >= 0) & np.isfinite(weights)).all():
            raise IsbenchError(
                f"metric {metric.name} returned weights {weights}; wanted finite numbers of at "
                "least 0, one per object"
            )
        return _compute_weighted_mean(values, weights)
    return _SUMMARIES[metric.summary](values, games)


def _compute_mean(values: Values, games: Games) -> float:
    """Return the mean; an object without a scored pixel is left out where it has no value."""
    known = values[games.scored | ~np.isnan(values.astype(np.float64))]
    return float(known.mean()) if len(known) else float("nan")


def _compute_mean_over_clicks(values: Values, games: Games) -> float:
    return _compute_weighted_mean(values, games.clicks)


def _compute_weighted_mean(values: Values, weights: Values) -> float:
    known = ~np.isnan(values)
    if not weights[known].any():
        return float("nan")
    return float(np.average(values[known], weights=weights[known]))


def _find_maximum(values: Values, games: Games) -> float:
    known = values[~np.isnan(values.astype(np.float64))]
    return float(known.max()) if len(known) else float("nan")


def _sum(values: Values, games: Games) -> float:
    total: float = values.sum().item()  # a count stays a whole number
    return total


_SUMMARIES: Mapping[str, Callable[[Values, Games], float]] = {
    "mean with interval": _compute_mean,
    "mean": _compute_mean,
    "mean over clicks": _compute_mean_over_clicks,
    "maximum": _find_maximum,
    "sum": _sum,
}
