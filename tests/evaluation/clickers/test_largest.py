"""Laws of `largest`."""

from __future__ import annotations

import pytest
from hypothesis import given

from isbench.evaluation.clickers.largest import largest
from isbench.types import Click, ClickInput
from tests.support.click_inputs import click_inputs, draw_input, reference_largest


@given(click_inputs(longest=30))
def test_largest_is_the_centre_of_the_largest_component(click_input: ClickInput) -> None:
    assert largest(click_input) == reference_largest(click_input)


@pytest.mark.parametrize(
    ("click_input", "wanted"),
    [
        pytest.param(draw_input("..."), (0, 0, False), id="nothing is wrong"),
        pytest.param(
            draw_input("++++++++++. ........... .......---. .......---. .......---."),
            (0, 0, True),
            id="more pixels, less deep",
        ),
        pytest.param(
            draw_input("........+++ -------.+++ ........+++"),
            (1, 9, True),
            id="more pixels, deeper",
        ),
        pytest.param(draw_input("--.++"), (0, 3, True), id="equal sizes are positive"),
        pytest.param(
            draw_input("...++ ++..."), (0, 3, True), id="then the first in row-major order"
        ),
        pytest.param(draw_input("+... .+.. ..++"), (2, 2, True), id="corners do not connect"),
        pytest.param(draw_input("+++++.+++", (0, 2)), (0, 6, True), id="a click splits a part"),
    ],
)
def test_largest_by_hand(click_input: ClickInput, wanted: tuple[int, int, bool]) -> None:
    assert largest(click_input) == Click(*wanted)
