"""Laws of the figures of studies and of backsliding, against slow and obvious definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isbench import metrics
from isbench.metrics import METRICS, make_games, summarise
from isbench.metrics.backsliding import BACKSLIDE, find_losses
from isbench.types import Rules
from tests.support import toys

VALUES = arrays.arrays(
    np.float64,
    arrays.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8),
    elements=st.floats(0.1, 20),
)


@given(VALUES)
def test_the_spread_is_that_of_an_object_over_its_seeds(values: np.ndarray) -> None:
    images = [str(k) for k in range(values.shape[1])]
    found = metrics.summarise_seeds(values, images)
    assert found.mean == pytest.approx(values.mean())
    assert found.std == pytest.approx(np.mean([np.std(column) for column in values.T]))
    shares = [np.std(column) / np.mean(column) for column in values.T]
    assert metrics.measure_sensitivity(values) == pytest.approx(100 * np.mean(shares))
    worst, best, gap = metrics.find_extremes(values)
    assert worst <= values.mean() + 1e-9
    assert values.mean() <= best + 1e-9
    assert gap == pytest.approx(np.mean([max(column) - min(column) for column in values.T]))


def test_equal_seeds_have_no_spread_and_zeros_are_insensitive() -> None:
    values = np.tile([3.0, 0.0, 7.0], (4, 1))
    assert metrics.measure_sensitivity(values) == 0
    assert metrics.find_extremes(values).gap == 0
    assert metrics.summarise_seeds(values, "abc").std == 0


def test_increases_are_means_of_the_objects_percentages() -> None:
    base = np.array([1.0, 2.0, 4.0])
    assert metrics.measure_increase(base * [1.5, 1.0, 2.0], base) == pytest.approx(50)
    groups = np.stack([base * (2 if number < 5 else 1) for number in range(10)])
    assert metrics.measure_half_increase(groups) == pytest.approx(100)


@settings(max_examples=20)
@given(VALUES, st.integers(0, 5))
def test_the_interval_is_repeatable_and_within_the_values(values: np.ndarray, seed: int) -> None:
    images = [str(k // 2) for k in range(values.shape[1])]
    low, high = metrics.bootstrap_two_levels(values, images, seed, draws=200)
    if len(set(images)) < 2:
        assert np.isnan([low, high]).all()
        return
    assert values.min() - 1e-9 <= low <= high <= values.max() + 1e-9
    assert (low, high) == metrics.bootstrap_two_levels(values, images, seed, draws=200)


def test_one_seed_has_the_interval_over_images() -> None:
    values = np.random.default_rng(0).normal(5, 1, (1, 60))
    images = [str(k // 2) for k in range(60)]
    low, high = metrics.bootstrap(values.T, images)
    assert metrics.bootstrap_two_levels(values, images) == pytest.approx(
        (low[0], high[0]), rel=0.02
    )


def test_the_interval_has_the_width_of_both_levels() -> None:
    rng = np.random.default_rng(0)
    images, seeds = 200, 10
    of_image, of_seed = rng.normal(0, 1, images), rng.normal(0, 3, (seeds, images))
    values = of_image + of_seed
    low, high = metrics.bootstrap_two_levels(values, [str(k) for k in range(images)])
    # variance of a drawn image's mean, and of its drawn seeds
    between, within = values.mean(axis=0).var(), (values.var(axis=0) / seeds).mean()
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt((between + within) / images), rel=0.06)


IOU = arrays.arrays(np.float64, (5, 7), elements=st.floats(0, 1))


@given(IOU)
def test_the_area_is_that_of_the_trapezoids(iou: np.ndarray) -> None:
    slow = [np.interp(np.linspace(0, 6, 6001), range(7), row).mean() for row in iou]
    assert metrics.compute_auc(iou) == pytest.approx(slow, abs=2e-3)
    assert metrics.compute_auc(iou[:, :1]).tolist() == iou[:, 0].tolist()


@given(IOU)
def test_a_backslide_loses_more_than_a_point(iou: np.ndarray) -> None:
    slow = [[before - after for before, after in pairwise(row)] for row in iou]
    wanted = [[loss if loss > BACKSLIDE else 0 for loss in row] for row in slow]
    assert find_losses(iou).tolist() == wanted
    counts = [sum(loss > BACKSLIDE for loss in row) for row in slow]
    assert metrics.count_backslides(iou).tolist() == counts


def test_backsliding_is_counted_over_all_clicks_after_the_first() -> None:
    trajectories = [
        toys.trajectory("a#1", [0.5, 0.4, 0.8, 0.5]),  # loses 0.1 and 0.3 in three clicks
        toys.trajectory("b#1", [0.9]),
        toys.trajectory("c#1", [0.5, 0.495, 0.6]),  # less than a point
        toys.trajectory("d#1", [0.7, 0.5]),
    ]
    figures = summarise(METRICS, make_games(trajectories, Rules(4, 0.9), 4))
    assert figures["backsliding"].value == pytest.approx(3 / 6)
    assert figures["mean_loss"].value == pytest.approx((0.1 + 0.3 + 0.2) / 3)
    assert figures["worst_loss"].value == pytest.approx(0.3)
    assert "auc" not in figures  # the games stop at an IoU
    figures = summarise(METRICS, make_games(trajectories, Rules(4, 0.9), 1))
    assert np.isnan([figures["backsliding"].value, figures["mean_loss"].value]).all()
    assert figures["worst_loss"].value == 0


def test_the_noc_of_long_games_is_there_for_every_budget_of_a_table() -> None:
    long = [toys.trajectory("a#1", [0.5] * 60 + [0.96]), toys.trajectory("b#1", [0.5] * 100)]
    for budget in (5, 20, 100):
        figures = summarise(METRICS, make_games(long, Rules(100, 0.95), budget))
        assert figures["noc_100@95"].value == (61 + 100) / 2
        assert figures["noc@95"].value == (min(budget, 61) + min(budget, 100)) / 2
    for rules in (Rules(99, 0.95), Rules(100, 0.9)):
        assert "noc_100@95" not in summarise(METRICS, make_games(long[1:], rules, 20))
