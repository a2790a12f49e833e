"""Laws of `random`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isbench.evaluation.clickers.random import random
from isbench.types import Click, ClickInput
from tests.support.click_inputs import click_inputs, draw_input, find_false, find_missing


@given(click_inputs(longest=30), st.integers(0, 2**32))
def test_random_clicks_a_wrong_pixel_of_its_sign(click_input: ClickInput, seed: int) -> None:
    click = random(replace(click_input, rng=np.random.default_rng(seed)))
    if (find_missing(click_input) | find_false(click_input)).any():
        error = find_missing(click_input) if click.positive else find_false(click_input)
        assert error[click.row, click.col]
    else:
        assert click == Click(0, 0, False)


def test_random_gives_every_wrong_pixel_an_equal_chance() -> None:
    click_input = draw_input("+.- .+x")
    clicks = [random(click_input) for _ in range(3000)]
    counts = [clicks.count(Click(*place)) for place in [(0, 0, True), (0, 2, False), (1, 1, True)]]
    assert sum(counts) == 3000
    assert min(counts) > 900  # 1000 are expected, with a standard deviation of 26
