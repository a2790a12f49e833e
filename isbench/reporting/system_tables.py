"""Tables of systems that are compared over several data sets, and the same as values for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from isbench.metrics import Difference, Ranking, group_systems
from isbench.metrics.corrections import TITLES
from isbench.reporting.labels import format_count
from isbench.reporting.quotes import format_p, quote_systems
from isbench.reporting.systems import FigureComparison, PairedTest, SystemsComparison
from isbench.reporting.text_table import TextTable
from isbench.storage.store import parse_digest


def make_means_table(comparison: SystemsComparison) -> TextTable:
    """Return one row per system: its figures, their mean and its mean ranks."""
    several = len(comparison.datasets) > 1
    heads, columns = ["System"], [[one.label for one in comparison.systems]]
    for figure in comparison.figures:
        form = figure.metric.format
        for dataset, means in zip(comparison.datasets, figure.means, strict=True):
            heads.append(f"{dataset} {figure.name}")
            columns.append([format(mean, form) for mean in means])
        if several:
            heads += [f"mean {figure.name}", "rank (data sets)"]
            columns.append([format(mean, form) for mean in figure.means.mean(axis=0)])
            columns.append([f"{rank:.2f}" for rank in figure.over_datasets.means])
        heads.append("rank (images)")
        columns.append([f"{rank:.2f}" for rank in figure.over_images.means])
    notes = [note for figure in comparison.figures for note in _list_rank_notes(comparison, figure)]
    figures = (False, *[True] * (len(heads) - 1))
    return TextTable(tuple(heads), tuple(zip(*columns, strict=True)), figures, notes=tuple(notes))


def make_tests_table(comparison: SystemsComparison) -> TextTable:
    """Return one row per paired test of the first system, A, against another one, B."""
    title = TITLES[comparison.correction]
    heads = (
        "B", "Figure", "Data set", "A", "B's", "A - B", "95 % interval", "p", f"p ({title})",
        "A wins", "Ties", "B wins",
    )  # fmt: skip
    rows = [
        (
            comparison.systems[test.other].label,
            figure.name,
            test.dataset or "mean of all",
            *_format_test(figure, test),
        )
        for other in range(1, len(comparison.systems))
        for figure in comparison.figures
        for test in (*figure.tests, *figure.overall)
        if test.other == other
    ]
    count = format_count(sum(len(figure.tests) for figure in comparison.figures), "test")
    notes = (
        f"A: {comparison.systems[0].label}. p: share of random sign flips of the images' "
        f"differences that are at least as large; corrected for {count} on data sets.",
    )
    return TextTable(heads, tuple(rows), (False, False, False, *[True] * 9), notes=notes)


def _format_test(figure: FigureComparison, test: PairedTest) -> tuple[str, ...]:
    form, found = figure.metric.format, test.difference
    interval = "" if found.low != found.low else f"[{found.low:+{form}}, {found.high:+{form}}]"
    return (
        *(format(mean, form) for mean in test.means),
        f"{found.mean:+{form}}",
        interval,
        f"{found.p_value:.4f}",
        f"{test.adjusted:.4f}",
        *map(str, (found.wins, found.ties, found.losses)),
    )


def _list_rank_notes(comparison: SystemsComparison, figure: FigureComparison) -> Iterator[str]:
    several = len(comparison.datasets) > 1
    units = [("images", figure.over_images)]
    if several:
        units.insert(0, ("data sets", figure.over_datasets))
    for unit, ranking in units:
        ranked = describe_ranking(comparison, ranking)
        yield f"{figure.name} over {ranking.blocks} {unit}: {ranked}."


def describe_ranking(comparison: SystemsComparison, ranking: Ranking) -> str:
    """Return what Friedman's and Nemenyi's tests say about a ranking, in words."""
    if ranking.critical_difference != ranking.critical_difference:
        return "one block has no critical difference"
    groups = [
        " = ".join(comparison.systems[k].label for k in group) for group in group_systems(ranking)
    ]
    friedman = (
        "" if ranking.p_value != ranking.p_value else f"Friedman {format_p(ranking.p_value)}; "
    )
    differing = f"no difference within {'; '.join(groups)}" if groups else "all systems differ"
    critical = f"critical difference {ranking.critical_difference:.2f} (Nemenyi, 0.05)"
    return f"{friedman}{critical}, {differing}"


def collect_systems(comparison: SystemsComparison) -> dict[str, Any]:
    """Return a comparison of systems as values that JSON can hold; nan becomes None."""
    return {
        "systems": [
            {
                "label": one.label,
                "runs": {name: parse_digest(run.path) for name, run in one.runs.items()},
            }
            for one in comparison.systems
        ],
        "datasets": [
            {"name": name, "objects": objects, "images": images}
            for name, objects, images in zip(
                comparison.datasets, comparison.objects, comparison.images, strict=True
            )
        ],
        "correction": comparison.correction,
        "figures": [_collect_figure(comparison, one) for one in comparison.figures],
        "quotes": quote_systems(comparison),
        "notes": list(comparison.notes),
    }


def _collect_figure(comparison: SystemsComparison, figure: FigureComparison) -> dict[str, Any]:
    return {
        "metric": figure.metric.key,
        "name": figure.name,
        "means": [list(map(float, means)) for means in figure.means],
        "tests": [
            {
                "other": comparison.systems[test.other].label,
                "dataset": test.dataset or None,
                "a": test.means[0],
                "b": test.means[1],
                "difference": collect_difference(test.difference),
                "adjusted_p_value": test.adjusted,
            }
            for test in (*figure.tests, *figure.overall)
        ],
        "ranks": {
            unit: {
                "means": ranking.means.tolist(),
                "blocks": ranking.blocks,
                "critical_difference": _drop_nan(ranking.critical_difference),
                "friedman_p_value": _drop_nan(ranking.p_value),
            }
            for unit, ranking in (
                ("datasets", figure.over_datasets),
                ("images", figure.over_images),
            )
        },
    }


def collect_difference(difference: Difference) -> dict[str, float | None]:
    """Return a paired difference as values that JSON can hold; nan becomes None."""
    return {name: _drop_nan(value) for name, value in difference._asdict().items()}


def _drop_nan(value: float) -> float | None:
    return None if np.isnan(value) else value
