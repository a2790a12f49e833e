"""One line that a paper can quote about two runs, or two systems on several data sets."""

from __future__ import annotations

from isbench.metrics import Difference, Metric
from isbench.metrics.corrections import TITLES
from isbench.metrics.ranks import ALPHA
from isbench.reporting.labels import format_count
from isbench.reporting.systems import FigureComparison, SystemsComparison


def format_p(p_value: float) -> str:
    """Return a p-value as text: three digits, or "p < 0.001"."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def quote_systems(comparison: SystemsComparison) -> list[str]:
    """Return one line per figure and other system about how the first one differs from it."""
    return [
        _quote(comparison, figure, other)
        for figure in comparison.figures
        for other in range(1, len(comparison.systems))
    ]


def _quote(comparison: SystemsComparison, figure: FigureComparison, other: int) -> str:
    first, second = comparison.systems[0].label, comparison.systems[other].label
    tests = [test for test in figure.tests if test.other == other]
    corrected = len(figure.tests) * len(comparison.figures) > 1
    objects = format_count(sum(comparison.objects), "object")
    if not figure.overall:
        (test,) = tests
        where = f"on {comparison.datasets[0]} ({objects})"
        end = f"; {_format_corrected(comparison, test.adjusted)}" if corrected else ""
    else:
        (test,) = (one for one in figure.overall if one.other == other)
        where = f"as the mean of {len(tests)} data sets ({objects})"
        end = f"; {_count_better(comparison, figure, other, first)}"
    difference = _describe_difference(figure.metric, test.difference, sum(comparison.images))
    a, b = (format(mean, figure.metric.format) for mean in test.means)
    article = "an" if figure.name[0] in "AEIOU" else "a"  # "an IoU@5"
    return (
        f"{first} has {article} {figure.name} of {a} and {second} of {b} {where}: "
        f"{difference}{end}."
    )


def _describe_difference(metric: Metric, found: Difference, images: int) -> str:
    form = f"+{metric.format}"
    interval = (
        ""
        if found.low != found.low
        else f"95 % interval {found.low:{form}} to {found.high:{form}}; "
    )
    return (
        f"a difference of {found.mean:{form}} ({interval}paired sign-flip test over "
        f"{format_count(images, 'image')}, {format_p(found.p_value)})"
    )


def _format_corrected(comparison: SystemsComparison, adjusted: float) -> str:
    title = TITLES[comparison.correction]
    return f"{format_p(adjusted)} after {title}'s correction"


def _count_better(
    comparison: SystemsComparison, figure: FigureComparison, other: int, first: str
) -> str:
    sign = -1 if figure.metric.better == "lower" else 1
    tests = [test for test in figure.tests if test.other == other]
    better = [test for test in tests if sign * test.difference.mean > 0]
    worse = [test for test in tests if sign * test.difference.mean < 0]
    counts = [sum(test.adjusted < ALPHA for test in one) for one in (better, worse)]
    title = TITLES[comparison.correction]
    return (
        f"{first} is better on {len(better)} and worse on {len(worse)} of {len(tests)} data sets, "
        f"on {counts[0]} and {counts[1]} with p < {ALPHA:g} after {title}'s correction"
    )
