"""Laws of metrics: each against a slow definition, what is summarised how, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.metrics import (
    IOU_AT,
    METRICS,
    TARGETS,
    Games,
    Metric,
    compute_values,
    find_metric,
    make_games,
    summarise,
)
from isbench.types import Rules, Trajectory
from tests.support import toys

GAMES = st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=12), min_size=1, max_size=6)
BUDGET = st.integers(1, 12)
FULL = Rules(20, 1.01)


def trajectories(games: list[list[int]]) -> list[Trajectory]:
    """Return games with these IoUs in thousandths, two objects an image."""
    return [
        toys.trajectory(f"{k // 2}#{k}", [value / 1000 for value in game])
        for k, game in enumerate(games)
    ]


def make_toy(rules: Rules = FULL) -> Games:
    """Return three games on two images."""
    return make_games(
        [
            toys.trajectory("a#1", [0.5, 0.82, 0.96]),
            toys.trajectory("a#2", [0.91]),
            toys.trajectory("b#1", [0.2, 0.3, 0.4, 0.5]),
        ],
        rules,
        4,
        {"a#1": [1.0, 2.0, 3.0], "b#1": [4.0, 4.0, 4.0, 5.0]},
    )


@pytest.mark.parametrize(
    ("weigh", "said"),
    [
        (lambda games: 1 / 0, "metric heavy raised ZeroDivisionError"),
        (lambda games: [1.0], r"returned shape \(1,\) of float64; wanted \(3,\) .* as weights"),
        (lambda games: ["a", "b", "c"], "metric heavy returned shape"),
        (lambda games: [1, -1, 0], "wanted finite numbers of at least 0"),
        (lambda games: [1, math.nan, 0], "wanted finite numbers of at least 0"),
        (lambda games: None, "metric heavy returned weights None"),
    ],
)
def test_weights_are_checked_as_values_are(weigh: Any, said: str) -> None:
    heavy = Metric(
        "heavy", "heavy", lambda games: games.clicks, summary="weighted mean", weigh=weigh
    )
    with pytest.raises(IsbenchError, match=said):
        summarise([heavy], make_toy())


def values(key: str, games: Games) -> list[Any]:
    found = compute_values(find_metric(key), games)
    assert found is not None
    return list(found.tolist())


@given(GAMES, BUDGET)
def test_clicks_and_failures_are_counted_up_to_the_budget(
    games: list[list[int]], budget: int
) -> None:
    found = make_games(trajectories(games), FULL, budget)
    for target in TARGETS:
        percent = f"{100 * target:.0f}"
        reached = [
            next((k for k, one in enumerate(game[:budget], 1) if one >= 1000 * target), None)
            for game in games
        ]
        assert values(f"noc@{percent}", found) == [k or budget for k in reached]
        if target > 0.80:
            assert values(f"nof@{percent}", found) == [k is None for k in reached]
            assert values(f"nof_ritm@{percent}", found) == [k in (None, budget) for k in reached]
    assert values("clicks", found) == [min(budget, len(game)) for game in games]


@given(GAMES, BUDGET)
def test_the_iou_after_k_clicks_is_the_last_one_of_a_shorter_game(
    games: list[list[int]], budget: int
) -> None:
    found = make_games(trajectories(games), FULL, budget)
    for click in IOU_AT:
        if click <= budget:
            wanted = [game[:budget][min(click, len(game)) - 1] / 1000 for game in games]
            assert values(f"iou@{click}", found) == wanted
        else:
            assert compute_values(find_metric(f"iou@{click}"), found) is None


@given(GAMES, BUDGET)
def test_a_metric_sees_no_click_after_the_budget(games: list[list[int]], budget: int) -> None:
    found = make_games(trajectories(games), FULL, budget)
    seen = list(found.trajectories)
    assert [len(game.clicks) for game in seen] == found.clicks.tolist()
    assert [len(game.overlap) for game in seen] == found.clicks.tolist()
    assert [game.key.partition("#")[0] for game in seen] == list(found.images)


@pytest.mark.parametrize("stop", [0.5, 0.85, 0.90, 0.95, 1.0, 1.01])
def test_games_that_stop_say_nothing_about_what_comes_later(stop: float) -> None:
    figures = summarise(METRICS, make_toy(Rules(4, stop)))
    for target in TARGETS:
        assert (f"noc@{100 * target:.0f}" in figures) == (target <= stop)
    for target in TARGETS[1:]:
        assert (f"nof@{100 * target:.0f}" in figures) == (target <= stop)
        assert (f"nof_ritm@{100 * target:.0f}" in figures) == (target <= stop)
    for click in (1, 3):
        assert (f"iou@{click}" in figures) == (stop > 1)
    assert {"clicks", "seconds_per_click"} <= figures.keys()


def test_only_means_have_intervals() -> None:
    figures = summarise(METRICS, make_toy())
    for metric in METRICS:
        if metric.key not in figures:
            continue
        figure = figures[metric.key]
        if metric.has_interval:
            of_objects = compute_values(metric, make_toy())
            assert of_objects is not None
            assert figure.value == of_objects.mean()
            assert figure.low <= figure.value <= figure.high
            assert metric.columns == (metric.key, f"{metric.key}_low", f"{metric.key}_high")
        else:
            assert math.isnan(figure.low)
            assert math.isnan(figure.high)
            assert metric.columns == (metric.key,)
    assert {metric.summary for metric in METRICS if metric.has_interval} == {"mean with interval"}


@given(GAMES)
@settings(max_examples=20)
def test_a_figure_does_not_depend_on_the_other_metrics(games: list[list[int]]) -> None:
    found = make_games(trajectories(games), FULL, 12)
    together = summarise(METRICS, found)
    for metric in METRICS:
        for key, figure in summarise([metric], found).items():
            assert np.array_equal(figure, together[key], equal_nan=True)


def test_a_sum_counts_and_a_mean_over_clicks_weighs_by_clicks() -> None:
    figures = summarise(METRICS, make_toy())
    assert repr(figures["nof@85"].value) == "1"
    assert repr(figures["clicks"].value) == "8"
    assert figures["seconds_per_click"].value == pytest.approx((1 + 2 + 3 + 4 + 4 + 4 + 5) / 7)
    unmeasured = make_games([toys.trajectory("a#1", [0.5])], FULL, 4)
    assert "seconds_per_click" not in summarise(METRICS, unmeasured)


def test_no_metric_can_change_what_the_others_see() -> None:
    def change(games: Games) -> Any:
        games.iou[:] = 1

    with pytest.raises(IsbenchError, match="metric Vandal raised ValueError: assignment"):
        compute_values(Metric("Vandal", "vandal", change), make_toy())


def raise_key_error(games: Games) -> Any:
    raise KeyError("nothing")


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (raise_key_error, "metric Mine raised KeyError: 'nothing'; fix or uninstall the package"),
        (lambda games: games.iou, r"returned shape \(3, 4\) of float64; wanted \(3,\) of numbers"),
        (lambda games: 3.0, r"returned shape \(\) of float64; wanted \(3,\)"),
        (lambda games: ["a", "b", "c"], r"metric Mine returned shape \(3,\) of <U1"),
        (lambda games: [[1], [1, 2], [3]], "metric Mine raised ValueError"),
    ],
)
def test_a_metric_that_fails_is_named(compute: Any, message: str) -> None:
    with pytest.raises(IsbenchError, match=message):
        summarise([Metric("Mine", "mine", compute)], make_toy())


def test_numbers_of_any_kind_are_taken() -> None:
    for kind in (bool, np.uint8, int, np.float32, float):
        metric = Metric("Mine", "mine", lambda games, kind=kind: np.array([1, 0, 1], kind))  # type: ignore[misc]
        figure = summarise([metric], make_toy())["mine"]
        assert figure.value == pytest.approx(2 / 3)
        assert figure.low <= figure.value <= figure.high
        total = summarise([replace(metric, summary="sum")], make_toy())["mine"]
        assert total.value == 2


def test_an_object_without_a_value_leaves_no_mean_and_no_interval() -> None:
    metric = Metric("Mine", "mine", lambda games: np.array([1.0, np.nan, 2.0]))
    assert np.isnan(summarise([metric], make_toy())["mine"]).all()
    over_clicks = replace(metric, summary="mean over clicks")
    assert summarise([over_clicks], make_toy())["mine"].value == (3 * 1.0 + 4 * 2.0) / 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "metric '' has name ''; wanted a text on one line"),
        ({"key": "Clicks saved"}, "has key 'Clicks saved'; wanted lower-case letters"),
        ({"view": "3"}, "has view '3'; wanted a lower-case word"),
        ({"better": "bigger"}, "has better 'bigger'; wanted lower or higher"),
        ({"summary": "median"}, "has summary 'median'; wanted mean with interval, mean,"),
        ({"format": "nice"}, "has format 'nice' .*; wanted one such as .2f"),
    ],
)
def test_a_metric_that_cannot_be_printed_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(IsbenchError, match=message):
        replace(Metric("Mine", "mine", lambda games: games.clicks), **change)
