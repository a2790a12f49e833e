"""Several systems compared over several data sets: figures, paired tests and mean ranks.

The first system is compared with each of the others. No files, no models; not here: two runs
object by object (`compare`), and tables of these values (`system_tables`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError, check_some, make_unknown_error
from isbench.metrics import (
    CORRECTIONS,
    MAIN_NOC,
    Difference,
    Floats,
    Metric,
    Ranking,
    compare_over_datasets,
    compare_paired,
    compute_values,
    make_games,
    rank_systems,
)
from isbench.reporting.compare import (
    list_notes,
    make_title,
    name_compared_figure,
    orient_wins,
    pair_games,
)
from isbench.reporting.same_objects import check_same_objects
from isbench.storage.store import Run
from isbench.types import MOST_CLICKS


@dataclass(frozen=True)
class System:
    """A name, and the run of a system on each data set, in the same order for all systems."""

    label: str
    runs: Mapping[str, Run]


class PairedTest(NamedTuple):
    """The first system against another one, by one figure."""

    other: int  # the number of the other system
    dataset: str  # "" for the mean over all data sets
    means: tuple[float, float]
    difference: Difference  # the first minus the other
    adjusted: float  # its p-value, corrected for the number of tests of its kind


@dataclass(frozen=True)
class FigureComparison:
    """A figure of K systems on D data sets."""

    metric: Metric
    name: str  # with the number of clicks
    means: Floats  # (D, K)
    tests: tuple[PairedTest, ...]  # on each data set
    overall: tuple[PairedTest, ...]  # of the mean over data sets; empty for one data set
    over_datasets: Ranking
    over_images: Ranking


@dataclass(frozen=True)
class SystemsComparison:
    """What several systems' runs say about each other."""

    systems: tuple[System, ...]
    datasets: tuple[str, ...]
    objects: tuple[int, ...]  # (D,): those that have the first figure in every run
    images: tuple[int, ...]  # (D,): of these objects
    figures: tuple[FigureComparison, ...]
    correction: str  # a key of CORRECTIONS
    notes: tuple[str, ...]


class _Values(NamedTuple):
    """A metric of the same objects of one data set, for each system."""

    name: str  # of the figure
    values: list[Floats]  # K of (N,)
    images: list[str]  # (N,)


def compare_systems(
    systems: Sequence[System],
    metrics: Sequence[Metric] = (MAIN_NOC,),
    correction: str = "holm",
) -> SystemsComparison:
    """Compare the first system with each of the others on the data sets that they share.

    Parameters
    ----------
    systems : sequence of System
        Two or more, each with a run on the same data sets.
    metrics : sequence of Metric
        The figures to compare.
    correction : str
        How p-values are corrected: "holm" bounds the chance of any false finding,
        "benjamini-hochberg" the share of false findings. The tests on single data sets are one
        family, over all systems, data sets and metrics; those of means over data sets another.

    Returns
    -------
    SystemsComparison
        Ranks, of the mean figures over data sets and of the figures over images, and paired tests.

    Raises
    ------
    IsbenchError
        For an unknown correction, less than two systems, runs over different objects or data, and
        a figure that a run cannot tell.
    """
    if correction not in CORRECTIONS:
        raise make_unknown_error("correction", correction, CORRECTIONS, "correction")
    check_some(metrics, "metric")
    datasets = find_shared_datasets(systems)
    values = [[_collect(systems, one, metric) for one in datasets] for metric in metrics]
    figures = [
        _compare_figure(metric, datasets, of_sets)
        for metric, of_sets in zip(metrics, values, strict=True)
    ]
    first = systems[0]
    notes = dict.fromkeys(
        f"{other.label} on {dataset}: {note}"
        for other in systems[1:]
        for dataset in datasets
        for note in list_notes(first.runs[dataset], other.runs[dataset])
    )
    for of_sets in values:
        for dataset, of_set in zip(datasets, of_sets, strict=True):
            every = len(first.runs[dataset].trajectories)
            if left_out := every - len(of_set.images):
                notes[
                    f"{left_out} of {every} objects of {dataset} are left out of {of_set.name}, "
                    "which not every run has for them"
                ] = None
    return SystemsComparison(
        tuple(systems),
        datasets,
        tuple(len(one.images) for one in values[0]),
        tuple(len(set(one.images)) for one in values[0]),
        tuple(_correct(figures, correction)),
        correction,
        tuple(notes),
    )


def find_shared_datasets(systems: Sequence[System]) -> tuple[str, ...]:
    """Return the data sets on which all systems have a run; raises IsbenchError for none."""
    if len(systems) < 2:
        raise IsbenchError(f"{len(systems)} systems to compare; wanted at least 2")
    shared = tuple(one for one in systems[0].runs if all(one in s.runs for s in systems))
    if not shared:
        has = "; ".join(f"{one.label} has {', '.join(one.runs)}" for one in systems)
        raise IsbenchError(f"no data set has a run of every system: {has}; name fewer systems")
    return shared


def compute_rankings(
    systems: Sequence[System], metric: Metric = MAIN_NOC, max_clicks: int = MOST_CLICKS
) -> tuple[Ranking, Ranking]:
    """Return the mean ranks of systems over the data sets they share, and over the images."""
    datasets = find_shared_datasets(systems)
    return _rank(metric, [_collect(systems, one, metric, max_clicks) for one in datasets])


def _collect(
    systems: Sequence[System], dataset: str, metric: Metric, max_clicks: int = MOST_CLICKS
) -> _Values:
    runs = [one.runs[dataset] for one in systems]
    check_same_objects(runs, "they are compared object by object")
    for run in runs[1:]:
        pair_games(runs[0], run)  # raises for other data
    budget = min(max_clicks, *(run.spec.rules.max_clicks for run in runs))
    columns, images = [], []
    for run in runs:
        games = sorted(run.trajectories, key=lambda game: game.key)
        made = make_games(games, run.spec.rules, budget, run.seconds)
        found = compute_values(metric, made)
        if found is None:
            raise IsbenchError(
                f"run {make_title(run)} cannot tell {metric.name}: its games end at IoU "
                f"{run.spec.rules.stop_iou:g} or after {budget} clicks, or it was not measured; "
                "wanted another metric, or a longer run",
                setting="metric",
            )
        columns.append(found.astype(np.float64))
        images = list(made.images)
    known: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(one) for one in columns])
    if not known.any():
        raise IsbenchError(
            f"no object of {dataset} has {metric.name} in every run; wanted another metric",
            setting="metric",
        )
    kept = [image for image, one in zip(images, known, strict=True) if one]
    scale = len(kept) if metric.summary == "sum" else 1  # so that the mean is the sum
    values = [scale * one[known] for one in columns]
    return _Values(name_compared_figure(metric, budget), values, kept)


def _compare_figure(
    metric: Metric, datasets: Sequence[str], collected: Sequence[_Values]
) -> FigureComparison:
    count = len(collected[0].values)
    tests = [
        _test(metric, other, dataset, of_set)
        for other in range(1, count)
        for dataset, of_set in zip(datasets, collected, strict=True)
    ]
    overall = []
    means = _average(metric, collected)
    for other in range(1, count) if len(datasets) > 1 else ():
        difference = compare_over_datasets(
            [of_set.values[0] - of_set.values[other] for of_set in collected],
            [of_set.images for of_set in collected],
        )
        pair = (float(means[:, 0].mean()), float(means[:, other].mean()))
        overall.append(PairedTest(other, "", pair, orient_wins(metric, difference), np.nan))
    return FigureComparison(
        metric, collected[0].name, means, tuple(tests), tuple(overall), *_rank(metric, collected)
    )


def _test(metric: Metric, other: int, dataset: str, of_set: _Values) -> PairedTest:
    a, b = of_set.values[0], of_set.values[other]
    difference = compare_paired(a, b, of_set.images)
    return PairedTest(
        other, dataset, (float(a.mean()), float(b.mean())), orient_wins(metric, difference), np.nan
    )


def _average(metric: Metric, collected: Sequence[_Values]) -> Floats:
    return np.array([[column.mean() for column in of_set.values] for of_set in collected])


def _rank(metric: Metric, collected: Sequence[_Values]) -> tuple[Ranking, Ranking]:
    higher = metric.better == "higher"
    blocks = []
    for of_set in collected:
        _, inverse = np.unique(np.asarray(of_set.images), return_inverse=True)
        sizes = np.bincount(inverse)
        blocks.append(
            np.stack([np.bincount(inverse, weights=one) / sizes for one in of_set.values], axis=1)
        )
    return (
        rank_systems(_average(metric, collected), higher),
        rank_systems(np.concatenate(blocks), higher),
    )


def _correct(figures: Sequence[FigureComparison], correction: str) -> Iterator[FigureComparison]:
    """Yield the comparisons with the p-values of each family corrected together."""
    adjust = CORRECTIONS[correction]
    families = []
    for family in ([one.tests for one in figures], [one.overall for one in figures]):
        p_values = np.array([test.difference.p_value for test in chain(*family)])
        families.append(iter(adjust(p_values).tolist() if len(p_values) else []))
    for figure in figures:
        tests, overall = (
            tuple(test._replace(adjusted=next(adjusted)) for test in family)
            for family, adjusted in zip((figure.tests, figure.overall), families, strict=True)
        )
        yield FigureComparison(
            figure.metric, figure.name, figure.means, tests, overall, figure.over_datasets,
            figure.over_images,
        )  # fmt: skip
