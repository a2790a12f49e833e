"""Conditions that a new run must not meet against a base run, and the verdict on each.

A condition such as "noc90 > +0.2" fails if the figure of the new run is worse than that of the base
by more than the limit, and a paired test over the same objects finds a difference. Not here: how
verdicts are printed (`gate_formats`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from isbench.errors import IsbenchError
from isbench.metrics import (
    METRICS,
    Floats,
    Metric,
    can_reject,
    compare_paired,
    compute_values,
    find_smallest_difference,
    match_metric,
)
from isbench.metrics.smallest_difference import ALPHA
from isbench.reporting.compare import make_title, name_compared_figure, pair_games
from isbench.storage.store import Run

Outcome: TypeAlias = Literal["PASS", "WARN", "INCONCLUSIVE", "FAIL"]
# of the command that prints the verdicts; 2 is bad input, as everywhere
EXIT_CODES: dict[Outcome, int] = {"PASS": 0, "WARN": 0, "INCONCLUSIVE": 3, "FAIL": 1}
_SEVERITY: tuple[Outcome, ...] = ("PASS", "WARN", "INCONCLUSIVE", "FAIL")
_FORM = re.compile(
    r"(?P<metric>[^<>=]+?)\s*(?P<sign>[<>])\s*(?P<limit>[+-]?([0-9]+\.?[0-9]*|\.[0-9]+))\s*(?P<percent>%?)"
)
_WANTED = 'wanted a metric, > or <, and a change, as in "noc90 > +0.2" or "iou@5 < -1%"'


@dataclass(frozen=True)
class Condition:
    """The change of a figure, new minus base, that is too bad."""

    text: str  # as it was written
    metric: Metric
    limit: float  # 0 or more: how much worse the figure may be
    relative: bool  # the limit is a share of the base's figure


class Measurement(NamedTuple):
    """The change of a figure from the base to the new run, over the same objects."""

    name: str  # of the figure
    dataset: str
    base: float
    new: float
    change: float  # new - base
    low: float  # 95 % interval of the change; nan for one image
    high: float
    p_value: float  # of the sign-flip test over images
    smallest: float  # the smallest change that these objects tell in 80 % of studies
    objects: int
    differing: int  # objects with another figure
    images: int


@dataclass(frozen=True)
class Verdict:
    """The outcome of a condition on a data set."""

    condition: Condition
    measured: Measurement
    limit: float  # in units of the figure, with the sign of a change for the worse
    outcome: Outcome
    reason: str


def parse_condition(text: str, metrics: Sequence[Metric] = METRICS) -> Condition:
    """Return the condition that a text such as "noc90 > +0.2" states.

    Parameters
    ----------
    text : str
        A metric, ">" or "<", and a change in units of the figure, or of the base's figure in %.
    metrics : sequence of Metric
        Those that can be named, by key or name; signs between letters and digits may be left out.

    Returns
    -------
    Condition
        A change for the worse: above its limit where lower is better, else below it.

    Raises
    ------
    IsbenchError
        For another text, an unknown metric, and a condition that an improvement would meet.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise IsbenchError(f"condition is {text!r}; {_WANTED}", setting="fail_if")
    try:
        metric = match_metric(found["metric"].strip(), metrics)
    except IsbenchError as error:
        raise IsbenchError(f"condition {text!r}: {error}", setting="fail_if") from error
    limit, relative = float(found["limit"]), bool(found["percent"])
    worse = ">" if metric.better == "lower" else "<"
    if found["sign"] != worse or (limit < 0 if worse == ">" else limit > 0):
        sign = "+" if worse == ">" else "-"
        raise IsbenchError(
            f"condition {text!r} would fail a better run: {metric.name} is better when "
            f"{metric.better}; wanted {metric.key} {worse} {sign}{abs(limit):g}"
            f"{found['percent']}",
            setting="fail_if",
        )
    return Condition(text.strip(), metric, abs(limit) / (100 if relative else 1), relative)


def judge(base: Run, new: Run, conditions: Sequence[Condition]) -> list[Verdict]:
    """Return the verdict on each condition for two runs over the same objects.

    FAIL: worse by more than the limit, and the paired test finds a difference (p < 0.05). WARN: the
    test finds that it is worse, but not by more than the limit. PASS: no object differs, or the
    95 % interval excludes that it is worse by more than the limit. INCONCLUSIVE: anything else.

    Parameters
    ----------
    base, new : Run
        The stored run, and the one that is judged.
    conditions : sequence of Condition
        As `parse_condition` returns them.

    Returns
    -------
    list of Verdict
        One for each condition.

    Raises
    ------
    IsbenchError
        For runs over different objects or data, and for a figure that a run cannot tell.
    """
    return [_judge(condition, measure(base, new, condition.metric)) for condition in conditions]


def find_outcome(verdicts: Iterable[Verdict]) -> Outcome:
    """Return the worst outcome: FAIL, then INCONCLUSIVE, then WARN, then PASS."""
    return max((one.outcome for one in verdicts), key=_SEVERITY.index, default="PASS")


def measure(base: Run, new: Run, metric: Metric) -> Measurement:
    """Return the paired change of a figure.

    Objects without a value in either run are left out. A figure that is a sum, such as NoF, changes
    by a number of objects; any other is the mean over objects.
    """
    games = pair_games(base, new)
    of_base, of_new = compute_values(metric, games.a), compute_values(metric, games.b)
    for run, values in ((base, of_base), (new, of_new)):
        if values is None or not np.isfinite(values.astype(np.float64)).any():
            raise IsbenchError(
                f"run {make_title(run)} cannot tell {metric.name}: its games end at IoU "
                f"{run.spec.rules.stop_iou:g} or after {run.spec.rules.max_clicks} clicks, or it "
                "was not measured; wanted another metric, or a longer run",
                setting="fail_if",
            )
    assert of_base is not None
    assert of_new is not None
    a, b = of_base.astype(np.float64), of_new.astype(np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    images = [image for image, kept in zip(games.a.images, known, strict=True) if kept]
    if not images:
        raise IsbenchError(f"no object has {metric.name} in both runs; wanted another metric")
    return _measure_values(
        name_compared_figure(metric, games.a.budget), base.spec.dataset, metric,
        (a[known], b[known]), images,
    )  # fmt: skip


def _measure_values(
    name: str, dataset: str, metric: Metric, values: tuple[Floats, Floats], images: Sequence[str]
) -> Measurement:
    base, new = values
    difference = compare_paired(new, base, images)
    scale = len(base) if metric.summary == "sum" else 1
    return Measurement(
        name=name,
        dataset=dataset,
        base=float(base.mean()) * scale,
        new=float(new.mean()) * scale,
        change=difference.mean * scale,
        low=difference.low * scale,
        high=difference.high * scale,
        p_value=difference.p_value,
        smallest=find_smallest_difference(new - base, images) * scale,
        objects=len(base),
        differing=difference.wins + difference.losses,
        images=len(set(images)),
    )


def _judge(condition: Condition, found: Measurement) -> Verdict:
    sign = 1 if condition.metric.better == "lower" else -1
    limit = condition.limit * (abs(found.base) if condition.relative else 1)
    worse, most = sign * found.change, found.high if sign > 0 else -found.low
    significant = found.p_value < ALPHA
    outcome: Outcome
    if worse > limit and significant:
        outcome, reason = "FAIL", "worse by more than the limit, and more than chance explains"
    elif worse > 0 and significant:
        outcome, reason = "WARN", "worse than chance explains, but not by more than the limit"
    elif not found.differing:
        outcome, reason = "PASS", "no object differs"
    elif can_reject(found.images) and most <= limit:
        outcome, reason = "PASS", "the interval excludes a change beyond the limit"
    else:
        outcome, reason = "INCONCLUSIVE", _explain_doubt(found)
    return Verdict(condition, found, sign * limit, outcome, reason)


def _explain_doubt(found: Measurement) -> str:
    if not can_reject(found.images):
        return f"a test over {found.images} images finds no difference; wanted 6 or more"
    return (
        f"{found.objects} objects tell a change of {found.smallest:.2g} or more; more objects tell "
        "a smaller one"
    )
