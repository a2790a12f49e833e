"""Corrections for several tests, ranks of systems, and what a number of objects can tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.metrics import (
    CORRECTIONS,
    can_reject,
    compare_over_datasets,
    compare_paired,
    find_smallest_difference,
    group_systems,
    rank_systems,
)
from isbench.metrics.corrections import adjust_benjamini_hochberg, adjust_holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)


def test_holm_multiplies_the_smallest_by_the_number_of_tests_and_keeps_the_order() -> None:
    found = adjust_holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])  # worked out by hand


def test_benjamini_hochberg_divides_by_the_rank() -> None:
    found = adjust_benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found == pytest.approx([0.02, 0.04, 0.04, 0.02])  # worked out by hand


@given(P_VALUES)
def test_a_correction_only_raises_p_values_and_keeps_their_order(p_values: np.ndarray) -> None:
    for adjust in CORRECTIONS.values():
        found = adjust(p_values)
        assert (found >= p_values - 1e-12).all()
        assert (found <= 1).all()
        order = np.argsort(p_values, kind="stable")
        assert (np.diff(found[order]) >= -1e-12).all()
    assert (adjust_benjamini_hochberg(p_values) <= adjust_holm(p_values) + 1e-12).all()


def test_the_critical_difference_is_that_of_demsar() -> None:
    # section 3.2.4 of the paper: four systems on 14 data sets have a critical difference of 1.25
    values = np.random.default_rng(0).random((14, 4))
    assert rank_systems(values).critical_difference == pytest.approx(1.25, abs=0.005)


def test_rank_1_is_the_best_and_ties_share_their_ranks() -> None:
    values = np.array([[3.0, 1.0, 1.0], [5.0, 2.0, 4.0]])
    assert rank_systems(values).means.tolist() == [3.0, 1.25, 1.75]
    assert rank_systems(values, higher_is_better=True).means.tolist() == [1.0, 2.75, 2.25]
    assert rank_systems(np.ones((4, 3))).means.tolist() == [2.0, 2.0, 2.0]


def test_one_block_tells_nothing_apart() -> None:
    ranking = rank_systems(np.array([[1.0, 2.0, 3.0]]))
    assert np.isnan(ranking.critical_difference)
    assert np.isnan(ranking.p_value)
    assert group_systems(ranking) == []


def test_groups_are_the_longest_runs_of_mean_ranks_within_the_critical_difference() -> None:
    values = np.random.default_rng(0).random((14, 4))
    ranking = rank_systems(values)._replace(
        means=np.array([3.9, 1.0, 2.0, 2.9]), critical_difference=1.25
    )
    assert group_systems(ranking) == [(1, 2), (2, 3), (3, 0)]
    assert group_systems(ranking._replace(critical_difference=2.0)) == [(1, 2, 3), (2, 3, 0)]
    assert group_systems(ranking._replace(critical_difference=0.5)) == []


def test_the_smallest_difference_is_found_in_80_percent_of_studies() -> None:
    rng = np.random.default_rng(0)
    images = [f"i{n}" for n in range(25)]
    drawn = rng.normal(0.0, 2.0, (300, 25))
    smallest = np.mean([find_smallest_difference(one, images) for one in drawn])
    zeros = np.zeros(25)
    found = [
        compare_paired(one + smallest, zeros, images, draws=400).p_value < 0.05 for one in drawn
    ]
    assert np.mean(found) == pytest.approx(0.80, abs=0.05)


def test_objects_of_one_image_tell_no_more_than_one() -> None:
    difference = np.random.default_rng(1).normal(size=12)
    images = [f"i{n}" for n in range(12)]
    alone = find_smallest_difference(difference, images)
    assert find_smallest_difference(np.repeat(difference, 5), np.repeat(images, 5).tolist()) == (
        pytest.approx(alone)
    )
    assert np.isnan(find_smallest_difference(difference, ["one"] * 12))
    assert find_smallest_difference(np.full(12, 3.0), images) == 0


@pytest.mark.parametrize("images", range(1, 10))
def test_a_test_can_reject_from_six_images(images: int) -> None:
    names = [f"i{n}" for n in range(images)]
    found = compare_paired(np.ones(images), np.zeros(images), names)
    assert can_reject(images) == (found.p_value < 0.05) == (images >= 6)


def test_one_data_set_is_compared_as_a_paired_comparison() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(1, 21, (2, 40)).astype(float)
    images = [f"i{n // 2}" for n in range(40)]
    found = compare_over_datasets([a - b], [images])
    wanted = compare_paired(a, b, images)
    assert found._replace(p_value=0, mean=0) == wanted._replace(p_value=0, mean=0)
    assert found.mean == pytest.approx(wanted.mean)
    assert found.p_value == pytest.approx(wanted.p_value, abs=0.001)


def test_data_sets_weigh_the_same_whatever_their_size() -> None:
    small, large = np.full(4, 1.0), np.full(400, 3.0)
    images = [[f"{len(one)}-{n}" for n in range(len(one))] for one in (small, large)]
    found = compare_over_datasets([small, large], images)
    assert (found.mean, found.low, found.high) == (2.0, 2.0, 2.0)
    assert (found.wins, found.ties, found.losses) == (0, 0, 404)
    alone = compare_over_datasets([small, large], [["one"] * 4, images[1]])
    assert np.isnan(alone.low)
