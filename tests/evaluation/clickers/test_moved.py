"""Laws of the clickers that move or spoil the centre: spread, jitter, slip and boundary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.clickers.depths import FALLBACK
from isbench.evaluation.clickers.registry import make_clicker, parse_clicker
from isbench.types import Click, ClickInput, Mask, Proposal
from tests.support.click_inputs import (
    click_inputs,
    draw_input,
    find_false,
    find_missing,
    make_input,
    measure_depth,
)

INPUTS, SEEDS = click_inputs(longest=30), st.integers(0, 2**32)


def ask(text: str, click_input: ClickInput, seed: int = 0) -> Proposal:
    return make_clicker(text)(replace(click_input, rng=np.random.default_rng(seed)))


def find_wrong(click_input: ClickInput) -> Mask:
    return find_missing(click_input) | find_false(click_input)


@settings(max_examples=40)
@given(INPUTS, st.integers(0, 8))
def test_spread_clicks_the_deepest_pixel_outside_all_disks(
    click_input: ClickInput, radius: int
) -> None:
    (click,), _, mark = ask(f"spread:{radius}", click_input)
    rows, cols = np.indices(click_input.truth.shape)
    near = np.zeros_like(click_input.truth)
    for old in click_input.clicks:
        near |= (rows - old.row) ** 2 + (cols - old.col) ** 2 <= radius**2
    missing, false = (
        np.where(near, 0, measure_depth(find(click_input), ()))
        for find in (find_missing, find_false)
    )
    deepest = max(missing.max(), false.max())
    if deepest:
        positive = bool(missing.max() > false.max())
        depths = missing if positive else false
        row, col = np.unravel_index(int(depths.argmax()), depths.shape)
        assert (click, mark) == (Click(int(row), int(col), positive), "")
    else:
        assert click == centre(click_input)
        assert mark == (FALLBACK if find_wrong(click_input).any() else "")


@settings(max_examples=25)
@given(INPUTS, SEEDS)
def test_what_never_moves_or_slips_is_centre(click_input: ClickInput, seed: int) -> None:
    for text in ("jitter:0,first", "slip:0", "spread:0"):
        assert ask(text, click_input, seed).clicks == (centre(click_input),)


@settings(max_examples=25)
@given(INPUTS, SEEDS, st.sampled_from(["jitter:3", "jitter:3,first", "jitter:10%,first"]))
def test_a_moved_click_has_the_sign_of_its_pixel_and_says_whether_it_missed(
    click_input: ClickInput, seed: int, text: str
) -> None:
    (click,), _, mark = ask(text, click_input, seed)
    start = centre(click_input)
    moves = "first" in text or bool(click_input.clicks)
    error = find_missing(click_input) if start.positive else find_false(click_input)
    if not moves or not error[start.row, start.col]:
        assert (click, mark) == (start, "")
        return
    assert click.positive == click_input.truth[click.row, click.col]
    assert (mark == "missed") == (not find_wrong(click_input)[click.row, click.col])


def test_jitter_moves_by_a_normal_number_in_both_directions() -> None:
    truth = np.ones((201, 201), bool)
    click_input = make_input(~truth, truth, ~truth)
    start = centre(click_input)
    moves = np.array(
        [np.subtract(ask("jitter:5,first", click_input, k).clicks[0][:2], start[:2])
         for k in range(600)]
    )  # fmt: skip
    assert np.abs(moves.mean(axis=0)).max() < 4 * 5 / np.sqrt(600)
    assert moves.std(axis=0) == pytest.approx([5, 5], rel=0.12)


def test_a_percentage_moves_at_most_that_far() -> None:
    truth = np.ones((120, 120), bool)
    mask = truth.copy()
    mask[10:110, 10:110] = False  # 4,400 pixels: a disk with a radius of 37.4
    click_input = make_input(mask, truth, ~truth)
    start = centre(click_input)
    moves = [np.subtract(ask("jitter:50%,first", click_input, k).clicks[0][:2], start[:2])
             for k in range(300)]  # fmt: skip
    distances = np.hypot(*np.transpose(moves))
    assert distances.max() <= 0.5 * np.sqrt(4400 / np.pi) + np.sqrt(0.5)
    assert distances.mean() == pytest.approx(0.25 * np.sqrt(4400 / np.pi), rel=0.15)
    small = ask("jitter:1%,first", make_input(~truth, truth, ~truth), 3).clicks[0]
    assert np.hypot(*np.subtract(small[:2], (59, 59))) <= 2 + np.sqrt(2)


def test_a_percentage_leaves_no_trace_of_a_sigma() -> None:
    assert parse_clicker("jitter:3,10%").text == parse_clicker("jitter:percent=10").text
    assert parse_clicker("jitter:10%").text == "jitter:sigma=0.0,first=off,percent=10.0"


@settings(max_examples=25)
@given(INPUTS, SEEDS)
def test_a_slip_is_the_centre_with_the_other_sign(click_input: ClickInput, seed: int) -> None:
    (click,), _, mark = ask("slip:1", click_input, seed)
    right = centre(click_input)
    assert click[:2] == right[:2]
    assert (click.positive != right.positive) == find_wrong(click_input).any() == (mark == "slip")


def test_slips_have_their_chance() -> None:
    click_input = draw_input("++. ++.")
    slips = sum(not ask("slip:0.25", click_input, seed).clicks[0].positive for seed in range(1000))
    assert abs(slips - 250) < 4 * 13.7


@settings(max_examples=40)
@given(INPUTS, SEEDS, st.integers(1, 5))
def test_boundary_clicks_near_the_outline_on_the_side_of_centre(
    click_input: ClickInput, seed: int, width: int
) -> None:
    (click,), _, mark = ask(f"boundary:{width}", click_input, seed)
    square, mask = np.ones((3, 3), bool), click_input.mask
    grown = ndimage.binary_dilation(mask, square, width)
    shrunk = ndimage.binary_erosion(mask, square, width, border_value=1)
    right = centre(click_input)
    error = find_missing(click_input) if right.positive else find_false(click_input)
    near = (measure_depth(error, click_input.clicks) > 0) & grown & ~shrunk
    if near.any():
        assert mark == ""
        assert click.positive == right.positive
        assert near[click.row, click.col]
    else:
        assert click == right
        assert mark == (FALLBACK if find_wrong(click_input).any() else "")
