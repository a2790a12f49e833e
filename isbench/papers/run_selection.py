"""Selects the run behind a cell: the one that fits, or none and why. Runs in, runs out.

A run fits a row and a question if it has the row's model, the card's options except those that the
row changes, weights that count for the row (never random ones), no limit, the rules of `ritm-2021`,
known files of the data set, and long enough games. Of runs that differ only in the length of their
games the longest counts. If they differ in anything else none does, since the choice would be
ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

from isbench.datasets import is_known
from isbench.metrics import find_metric, summarise
from isbench.papers.candidates import Candidate
from isbench.papers.rows import Question
from isbench.reporting import tables
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Spec


class Selection(NamedTuple):
    """The run behind a cell, or the conflicting runs."""

    run: Run | None
    colliding: tuple[Run, ...] = ()


class Measurement(NamedTuple):
    """A figure of a run, and its 95 % interval if it has one."""

    value: float
    low: float | None
    high: float | None


def select_run(runs: Iterable[Run], candidate: Candidate, question: Question) -> Selection:
    """Return the run behind a cell, or the conflicting ones."""
    matching = [run for run in runs if fits(run, candidate, question)]
    if len({store.digest_spec(_with_usual_length(run.spec)) for run in matching}) > 1:
        return Selection(None, tuple(matching))
    return Selection(max(matching, key=_make_length, default=None))


def fits(run: Run, candidate: Candidate, question: Question) -> bool:
    """Return whether a run fits the candidate and can answer the question."""
    spec = run.spec
    return (
        (spec.model, spec.dataset) == (candidate.card.name, question.dataset)
        and (spec.limit, spec.preset) == (None, "ritm-2021")
        and spec.rules.max_clicks >= question.max_clicks
        and spec.rules.stop_iou >= question.target
        and dict(spec.options) == dict(candidate.list_options(question.dataset))
        and _is_counted(spec, candidate)
        and is_known(spec.dataset, spec.fingerprint)
    )


def measure(run: Run, question: Question) -> Measurement:
    """Return the figure of a run; failures are counted as in RITM's evaluator and in papers.

    Raises IsbenchError for a metric that isbench does not compute.
    """
    metric = find_metric(question.metric.replace("nof@", "nof_ritm@"))
    figure = summarise([metric], tables.collect_games(run, question.max_clicks))[metric.key]
    return Measurement(float(figure.value), _drop_nan(figure.low), _drop_nan(figure.high))


def list_differences(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the names of the Spec fields in which conflicting runs differ."""
    specs = [asdict(_with_usual_length(run.spec)) for run in runs]
    return tuple(name for name in specs[0] if any(s[name] != specs[0][name] for s in specs))


def _is_counted(spec: Spec, candidate: Candidate) -> bool:
    if candidate.card.networks is None:
        return spec.weights is None
    if candidate.any_trained:
        return spec.weights not in (None, "random")
    return spec.weights in {weights.digest for weights in candidate.weights}


def _with_usual_length(spec: Spec) -> Spec:
    """Return the spec with the length of its games set to the usual one."""
    return replace(spec, rules=replace(spec.rules, max_clicks=20, stop_iou=0.90))


def _make_length(run: Run) -> tuple[int, float]:
    return run.spec.rules.max_clicks, run.spec.rules.stop_iou


def _drop_nan(value: float) -> float | None:
    """Return an end of an interval, None if it is nan."""
    return None if value != value else value
