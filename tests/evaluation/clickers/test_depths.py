"""Laws of depths and draws, against slow and obvious definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.clickers.depths import (
    draw_weighted,
    find_deeper_side,
    measure_side,
    weigh_depths,
)
from isbench.types import ClickInput
from tests.support.click_inputs import click_inputs, find_false, find_missing, measure_depth


@settings(max_examples=50)
@given(click_inputs(longest=40))
def test_a_side_has_the_depths_of_the_whole_frame(click_input: ClickInput) -> None:
    for error, positive in ((find_missing(click_input), True), (find_false(click_input), False)):
        side = measure_side(error, click_input.clicks, positive)
        whole = np.zeros(error.shape, np.int64)
        rows, cols = side.depths.shape
        whole[side.row : side.row + rows, side.col : side.col + cols] = side.depths
        assert np.array_equal(whole, measure_depth(error, click_input.clicks))


@settings(max_examples=50)
@given(click_inputs(longest=40))
def test_the_deeper_side_is_that_of_centre(click_input: ClickInput) -> None:
    side, click = find_deeper_side(click_input), centre(click_input)
    assert side.positive == click.positive
    if side.deepest:
        assert side.click_at(int(side.depths.argmax())) == click


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.floats(0, 20))
def test_deeper_pixels_are_never_less_likely(depths: list[int], alpha: float) -> None:
    squared = np.sort(np.array(depths))
    weights = weigh_depths(squared, alpha)
    assert (np.diff(weights) >= 0).all()
    assert ((weights == 0) >= (squared == 0)).all()
    assert weights[-1] == (squared[-1] > 0)


def test_an_exponent_of_0_makes_all_pixels_equally_likely() -> None:
    assert weigh_depths(np.array([0, 1, 4, 900]), 0).tolist() == [0, 1, 1, 1]


@given(
    st.lists(st.sampled_from([0.0, 1e-300, 0.25, 1.0, 1e6]), min_size=1, max_size=9).filter(any),
    st.integers(0, 2**32),
)
def test_only_elements_with_a_weight_are_drawn(weights: list[float], seed: int) -> None:
    drawn = draw_weighted(np.array(weights), np.random.default_rng(seed))
    assert weights[drawn] > 0


def test_elements_are_drawn_in_proportion_to_their_weights() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([[1.0, 0.0], [3.0, 6.0]])
    counts = np.bincount([draw_weighted(weights, rng) for _ in range(5000)], minlength=4)
    # the largest standard deviation of a count is 35
    assert np.abs(counts - 5000 * weights.ravel() / 10).max() < 4 * 35
