"""Two runs compared: which metrics, who wins, and which objects are listed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isbench.errors import IsbenchError
from isbench.metrics import METRICS, Games, Metric, Values
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.compare import compare
from isbench.storage.store import Run
from tests.test_docs import ROOT


@pytest.fixture(scope="module")
def pair() -> tuple[Run, Run]:
    """Return the committed runs of `nearest` and `grabcut` on the sample."""
    folder = ROOT / "results" / "sample"
    b, a = choose_runs(["c81fcec12a4b", "5f72784298d6"], folder).runs
    return a, b


def stop_at(run: Run, iou: float) -> Run:
    """Return the run as if its games had stopped at an IoU."""
    return replace(run, spec=replace(run.spec, rules=replace(run.spec.rules, stop_iou=iou)))


def last_iou(games: Games) -> Values:
    return games.iou[:, -1]


def test_nocs_that_both_runs_have_are_compared(pair: tuple[Run, Run]) -> None:
    a, b = pair
    names = [name for name, _, _ in compare(a, b).rows]
    assert names == ["NoC_20@80", "NoC_20@85", "NoC_20@90"]
    shorter = compare(stop_at(a, 0.85), b)
    assert [name for name, _, _ in shorter.rows] == ["NoC_20@80", "NoC_20@85"]
    assert shorter.listed == "NoC_20@85"
    with pytest.raises(IsbenchError, match=r"stopped at IoU 0\.7; wanted 0\.80 or more to compare"):
        compare(stop_at(a, 0.7), b)


def test_the_higher_iou_wins(pair: tuple[Run, Run]) -> None:
    last = Metric("Last IoU", "last_iou", last_iou, better="higher", view="noc")
    found = compare(*pair, metrics=(*METRICS, last))
    name, means, difference = found.rows[-1]
    values = [
        np.array([game.overlap[-1][0] / game.overlap[-1][1] for game in run.trajectories])
        for run in pair
    ]
    assert name == "Last IoU"
    assert means == pytest.approx([one.mean() for one in values])
    assert difference.mean == pytest.approx(means[0] - means[1])
    assert difference.wins == (values[0] > values[1]).sum()
    assert difference.losses == (values[0] < values[1]).sum()
    assert found.listed == "NoC_20@90"  # whatever packages add
    assert found.rows[:3] == compare(*pair).rows
    assert found.differing == compare(*pair).differing


def test_a_metric_of_packages_alone_is_listed_by_itself(pair: tuple[Run, Run]) -> None:
    last = Metric("Last IoU", "last_iou", last_iou, better="higher", view="noc")
    found = compare(*pair, metrics=[last])
    assert found.listed == "Last IoU"
    distances = [abs(a - b) for _, a, b in found.differing]
    assert distances == sorted(distances, reverse=True)
    assert all(a != b for _, a, b in found.differing)


def test_a_metric_without_a_value_for_every_object_is_not_compared(pair: tuple[Run, Run]) -> None:
    def compute(games: Games) -> Values:
        return np.where(games.iou[:, -1] > 0.5, games.iou[:, -1], np.nan)

    added = Metric("Partly", "partly", compute, view="noc")
    assert compare(*pair, metrics=(*METRICS, added)) == compare(*pair)
