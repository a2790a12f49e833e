"""Laws of the clickers that draw a pixel of the deeper error: depth, human, group and inner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.datasets import load_dataset
from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.clickers.depths import FALLBACK, measure_side, weigh_depths
from isbench.evaluation.clickers.group import GROUPS, keep_group
from isbench.evaluation.clickers.registry import make_clicker
from isbench.types import Click, ClickInput, Proposal
from tests.support.click_inputs import (
    click_inputs,
    draw_input,
    drop_clicked,
    find_false,
    find_missing,
    measure_depth,
)

DEPTH = ["depth:0", "depth:1", "human", "group:1/10", "group:7/10", "inner:1.7", "inner:-1"]


def ask(text: str, click_input: ClickInput, seed: int = 0) -> Proposal:
    return make_clicker(text)(replace(click_input, rng=np.random.default_rng(seed)))


def depth_of(click_input: ClickInput, click: Click) -> int:
    error = find_missing(click_input) if click.positive else find_false(click_input)
    return int(measure_depth(error, click_input.clicks)[click.row, click.col])


@pytest.mark.parametrize("text", DEPTH)
@settings(max_examples=25)
@given(click_input=click_inputs(longest=30), seed=st.integers(0, 2**32))
def test_the_click_is_on_the_deeper_error_and_not_on_an_old_click(
    text: str, click_input: ClickInput, seed: int
) -> None:
    (click,), _, mark = ask(text, click_input, seed)
    assert click.positive == centre(click_input).positive
    missing, false = (
        drop_clicked(click_input, find(click_input)) for find in (find_missing, find_false)
    )
    if (missing | false).any():
        assert (missing if click.positive else false)[click.row, click.col]
        assert mark == ""
    else:
        assert click == Click(0, 0, False)
        was_wrong = (find_missing(click_input) | find_false(click_input)).any()
        assert mark == (FALLBACK if was_wrong else "")


@settings(max_examples=25)
@given(click_inputs(longest=30), st.integers(0, 2**32))
def test_a_large_exponent_clicks_as_deep_as_centre(click_input: ClickInput, seed: int) -> None:
    for text in ("depth:1e6", "inner:1"):
        (click,), _, _ = ask(text, click_input, seed)
        wanted = centre(click_input)
        assert click.positive == wanted.positive
        assert depth_of(click_input, click) == depth_of(click_input, wanted)


@settings(max_examples=25)
@given(click_inputs(longest=30), st.integers(0, 2**32))
def test_human_is_depth_4(click_input: ClickInput, seed: int) -> None:
    assert ask("human", click_input, seed) == ask("depth:4", click_input, seed)


@settings(max_examples=25)
@given(click_inputs(longest=30), st.integers(0, 2**32))
def test_an_exponent_of_0_and_the_whole_inside_have_equal_chances(
    click_input: ClickInput, seed: int
) -> None:
    error = find_missing(click_input) if centre(click_input).positive else find_false(click_input)
    side = measure_side(error, click_input.clicks, True)
    assert np.array_equal(weigh_depths(side.depths, 0), side.depths > 0)


def test_an_exponent_of_0_clicks_every_pixel_of_the_deeper_side_alike() -> None:
    click_input = draw_input("++.-")  # the missing pixels are not deeper: negative
    assert ask("depth:0", click_input).clicks == (Click(0, 3, False),)
    click_input = draw_input("+++.- +++.. +++..", (0, 1))
    clicks = [ask("depth:0", click_input, seed).clicks[0] for seed in range(1600)]
    counts = [clicks.count(one) for one in set(clicks)]
    assert len(counts) == 8  # nine missing pixels, one of them clicked before
    assert min(counts) > 200 - 4 * 14  # of 200 expected, with a standard deviation of 13.2


@settings(max_examples=25)
@given(click_inputs(longest=30), st.integers(0, 2**32))
def test_a_miss_lands_beside_the_object_and_is_positive_on_the_first_click_only(
    click_input: ClickInput, seed: int
) -> None:
    (click,), _, mark = ask("human:miss=1", click_input, seed)
    near = [
        (rows, cols)
        for rows, cols in np.argwhere(click_input.truth)
        if (rows - click.row) ** 2 + (cols - click.col) ** 2 <= 25
    ]
    if mark == "slip":
        assert not click_input.clicks
        assert click.positive
        assert near
        assert not click_input.truth[click.row, click.col]
        assert not click_input.ignore[click.row, click.col]
    elif click_input.clicks:
        assert click == ask("human", click_input, seed).clicks[0]


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=60))
def test_groups_cover_the_map_from_the_least_likely_to_the_likeliest(chances: list[float]) -> None:
    values = np.array(chances)
    kept = [keep_group(values, number) for number in range(1, GROUPS + 1)]
    assert (np.sum(kept, axis=0) > 0).all()
    assert kept[0][values.argmin()] > 0
    assert kept[-1][values.argmax()] > 0
    lowest = [one[one > 0].min() for one in kept]
    highest = [one.max() for one in kept]
    assert lowest == sorted(lowest)
    assert highest == sorted(highest)
    for number, one in enumerate(kept):
        assert one.sum() >= values.sum() / GROUPS - 1e-9
        below, above = values[values < lowest[number]].sum(), values[values > highest[number]].sum()
        assert below <= values.sum() * number / GROUPS + 1e-9
        assert above <= values.sum() * (GROUPS - number - 1) / GROUPS + 1e-9


@settings(max_examples=25)
@given(click_inputs(longest=30), st.integers(0, 2**32), st.floats(1.05, 4))
def test_inner_clicks_are_deeper_than_a_share_of_the_deepest(
    click_input: ClickInput, seed: int, k: float
) -> None:
    (click,), _, mark = ask(f"inner:{k}", click_input, seed)
    deepest = depth_of(click_input, centre(click_input))
    if deepest and not mark:
        assert depth_of(click_input, click) * k**2 > deepest


@settings(max_examples=25)
@given(click_inputs(longest=30), st.integers(0, 2**32))
def test_inner_before_measures_depths_without_the_old_clicks(
    click_input: ClickInput, seed: int
) -> None:
    (click,), _, mark = ask("inner:1,before", click_input, seed)
    depths = {
        positive: measure_depth(drop_clicked(click_input, find(click_input)), ())
        for positive, find in ((True, find_missing), (False, find_false))
    }
    if not mark and any(one.any() for one in depths.values()):
        assert click.positive == (depths[True].max() > depths[False].max())
        assert depths[click.positive][click.row, click.col] == depths[click.positive].max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "wanted", "off"), [(4, 0.73, 0.01), (3, 0.68, 0.01), (1, 0.51, 0.01), (0, 0.34, 0.01)]
)
def test_first_clicks_on_grabcut_are_as_deep_as_stated(
    real_data: Path, alpha: float, wanted: float, off: float
) -> None:
    """The expectation over all pixels, not a sample; people's clicks have 0.69."""
    dataset = load_dataset("grabcut", real_data)
    means = []
    for key in dataset.keys:
        side = measure_side(dataset.load(key).truth, (), True)
        weights = weigh_depths(side.depths, alpha)
        means.append((weights * np.sqrt(side.depths / side.deepest)).sum() / weights.sum())
    assert np.mean(means) == pytest.approx(wanted, abs=off)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("depth:-1", "wanted an alpha of 0 or more"),
        ("human:2", "wanted a miss from 0 to 1"),
        ("group:0/10", "wanted a group from 1/10 to 10/10"),
        ("group:3", "wanted a group from 1/10 to 10/10"),
        ("group:3/10,0", "wanted an alpha above 0"),
        ("inner:0.5", "wanted a k of 1 or more"),
        ("spread:-1", "wanted a radius of 0 or more"),
        ("jitter:-1", "wanted a sigma and a percentage of 0 or more"),
        ("slip:1.5", "wanted a chance from 0 to 1"),
        ("boundary:0", "wanted a width of 1 or more"),
        ("worst:0", "wanted a k from 1 to 100"),
        ("best:101", "wanted a k from 1 to 100"),
    ],
)
def test_impossible_parameters_are_refused(text: str, said: str) -> None:
    with pytest.raises(Exception, match=f"cannot be made: {said}"):
        make_clicker(text)
