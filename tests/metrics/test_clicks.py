"""Laws of the figures, against slow and obvious definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isbench import metrics
from tests.support import toys

IOU = arrays.arrays(
    np.float64,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(0, 1, allow_nan=False),
)
TARGET = st.sampled_from([0.5, 0.8, 0.85, 0.9, 1.0])


@given(IOU, TARGET)
def test_noc_is_the_first_click_that_reaches_the_target(iou: np.ndarray, target: float) -> None:
    slow = [
        next((k for k, value in enumerate(row, start=1) if value >= target), len(row))
        for row in iou
    ]
    assert metrics.clicks_to(iou, target).tolist() == slow


@given(IOU, TARGET)
def test_ritm_counts_the_failed_and_those_solved_at_the_last_click(
    iou: np.ndarray, target: float
) -> None:
    never, ritm = metrics.find_failures(iou, target), metrics.find_failures_ritm(iou, target)
    at_last = (iou[:, -1] >= target) & ~(iou[:, :-1] >= target).any(axis=1)
    assert (ritm == (never | at_last)).all()
    assert not (never & at_last).any()


@given(IOU, TARGET, TARGET)
def test_a_higher_target_never_needs_fewer_clicks(
    iou: np.ndarray, one: float, other: float
) -> None:
    low, high = sorted([one, other])
    assert (metrics.clicks_to(iou, low) <= metrics.clicks_to(iou, high)).all()
    assert (metrics.find_failures(iou, low) <= metrics.find_failures(iou, high)).all()


@given(IOU, TARGET, st.data())
def test_a_prefix_gives_the_noc_of_a_smaller_budget(
    iou: np.ndarray, target: float, data: st.DataObject
) -> None:
    budget = data.draw(st.integers(1, iou.shape[1]))
    full = metrics.clicks_to(iou, target)
    assert (metrics.clicks_to(iou[:, :budget], target) == np.minimum(full, budget)).all()


def test_curves_hold_the_last_iou_and_are_nan_without_a_union() -> None:
    games = [toys.trajectory("a#1", [0.25, 0.5]), toys.trajectory("b#1", [0.0], scale=0)]
    iou = metrics.curves(games, 4)
    assert iou[0].tolist() == [0.25, 0.5, 0.5, 0.5]
    assert np.isnan(iou[1]).all()
    assert metrics.find_failures(iou, 0.1).tolist() == [False, True]
    assert metrics.clicks_to(iou, 0.1).tolist() == [1, 4]


@given(IOU)
def test_the_area_lies_between_the_lowest_and_the_highest_iou(iou: np.ndarray) -> None:
    area = metrics.compute_auc(iou)
    assert (area >= iou.min(axis=1) - 1e-9).all()
    assert (area <= iou.max(axis=1) + 1e-9).all()


@settings(max_examples=25)
@given(st.lists(st.integers(1, 20), min_size=4, max_size=40), st.integers(0, 5))
def test_the_interval_is_repeatable_and_within_the_values(values: list[int], seed: int) -> None:
    column = np.array(values, dtype=float)[:, None]
    clusters = [str(k // 2) for k in range(len(values))]
    low, high = metrics.bootstrap(column, clusters, seed)
    assert min(values) <= low[0] <= high[0] <= max(values)
    again = metrics.bootstrap(column, clusters, seed)
    assert (low[0], high[0]) == (again[0][0], again[1][0])


def test_the_interval_is_the_same_whether_its_draws_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, images = np.random.default_rng(1).random((700, 3)), [f"i{k // 2}" for k in range(700)]
    first, again = (metrics.bootstrap(values, images) for _ in range(2))
    monkeypatch.setattr("isbench.metrics.clicks._KEPT", 0)
    drawn = metrics.bootstrap(values, images)
    for low, high in (again, drawn):
        assert (low.tolist(), high.tolist()) == (first[0].tolist(), first[1].tolist())


def test_the_interval_has_the_width_that_statistics_know() -> None:
    values = np.random.default_rng(1).normal(0, 1, (400, 1))
    low, high = metrics.bootstrap(values, [str(k) for k in range(400)], draws=4000)
    assert (high - low)[0] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_objects_of_one_image_count_as_one_draw() -> None:
    values = np.random.default_rng(1).normal(0, 1, (100, 1))
    alone = metrics.bootstrap(values, [str(k) for k in range(100)])
    copies = np.repeat(values, 5, axis=0)
    together = metrics.bootstrap(copies, [str(k // 5) for k in range(500)])
    assert together[0][0] == pytest.approx(alone[0][0])
    assert together[1][0] == pytest.approx(alone[1][0])


def test_one_image_gives_no_interval() -> None:
    low, high = metrics.bootstrap(np.ones((3, 2)), ["a", "a", "a"])
    assert np.isnan([*low, *high]).all()


def test_the_same_runs_do_not_differ() -> None:
    noc = np.array([1.0, 5, 20, 3])
    same = metrics.compare_paired(noc, noc, list("abcd"))
    assert (same.mean, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    assert (same.wins, same.ties, same.losses) == (0, 4, 0)


def test_the_p_value_is_that_of_all_sign_flips() -> None:
    a, b = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 4, 6, 8, 10])
    difference = metrics.compare_paired(a, b, list("abcde"))
    assert difference.p_value == pytest.approx(2 / 32, abs=0.01)  # only all + and all - are as far
    assert difference.mean == -3
    assert (difference.wins, difference.losses) == (5, 0)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=2, max_size=12))
@settings(max_examples=20)
def test_swapping_the_runs_swaps_the_comparison(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=float).T
    clusters = [str(k) for k in range(len(pairs))]
    one, other = metrics.compare_paired(a, b, clusters), metrics.compare_paired(b, a, clusters)
    assert one.mean == -other.mean
    assert one.p_value == other.p_value
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
