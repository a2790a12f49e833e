"""Which run stands behind a cell: the one that fits, or none and why. Runs in, runs out.

A run fits a row and a question when it is of the row's model with the card's options but for those
the row changes, of weights that count for the row (never random ones), whole, by the rules of
`ritm-2021`, over the files that isbench knows, and long enough. Of runs that differ in nothing but
how long their games were, the longest counts; of any others none does, since nobody could tell
which is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

from isbench.datasets import is_known
from isbench.papers.candidates import Candidate
from isbench.papers.rows import Question
from isbench.reporting import tables
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Spec


class Found(NamedTuple):
    """The run behind a cell, or those that collide over it."""

    run: Run | None
    colliding: tuple[Run, ...] = ()


class Measured(NamedTuple):
    """A figure of a run, and the ends of its 95 % interval where it has one."""

    value: float
    low: float | None
    high: float | None


def select_run(runs: Iterable[Run], entrant: Candidate, question: Question) -> Found:
    """Return the run behind a cell."""
    fitting = [run for run in runs if fits(run, entrant, question)]
    if len({store.spec_digest(_as_if(run.spec)) for run in fitting}) > 1:
        return Found(None, tuple(fitting))
    return Found(max(fitting, key=_length, default=None))


def fits(run: Run, entrant: Candidate, question: Question) -> bool:
    """Whether a run is one of the row's model that can answer the question."""
    spec = run.spec
    return (
        (spec.model, spec.dataset) == (entrant.card.name, question.dataset)
        and (spec.limit, spec.preset) == (None, "ritm-2021")
        and spec.rules.max_clicks >= question.max_clicks
        and spec.rules.stop_iou >= question.target
        and dict(spec.options) == dict(entrant.options_on(question.dataset))
        and _counts(spec, entrant)
        and is_known(spec.dataset, spec.fingerprint)
    )


def measure(run: Run, question: Question) -> Measured:
    """Return what a run answers; failures are counted as RITM's evaluator does, and the paper's."""
    row = tables.compute_figures(run, question.max_clicks)
    name = question.metric.replace("nof@", "nof_ritm@")
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return Measured(_number(row[name]), _or_none(low), _or_none(high))


def list_differences(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return what colliding runs differ in, by the names of the spec's fields."""
    specs = [asdict(_as_if(run.spec)) for run in runs]
    return tuple(name for name in specs[0] if any(s[name] != specs[0][name] for s in specs))


def _counts(spec: Spec, entrant: Candidate) -> bool:
    if entrant.card.network is None:
        return spec.weights is None
    if entrant.any_trained:
        return spec.weights not in (None, "random")
    return spec.weights in {weights.digest for weights in entrant.weights}


def _as_if(spec: Spec) -> Spec:
    """Return the spec as if its games were of the usual length."""
    return replace(spec, rules=replace(spec.rules, max_clicks=20, stop_iou=0.90))


def _length(run: Run) -> tuple[int, float]:
    return run.spec.rules.max_clicks, run.spec.rules.stop_iou


def _number(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


def _or_none(value: object) -> float | None:
    """Return an end of an interval, None where there is none: nan, or a figure without one."""
    return None if value is None or _number(value) != _number(value) else _number(value)
