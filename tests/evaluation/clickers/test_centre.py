"""Laws of `centre`, against a slow reference and the original evaluator's games."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from baselines.nearest import Nearest
from isbench.datasets import load_dataset
from isbench.evaluation.clickers.centre import centre
from isbench.types import Click, ClickInput, Mask, Turn
from tests.support.click_inputs import (
    blobs,
    boxes,
    click_inputs,
    draw_input,
    drop_clicked,
    find_false,
    find_missing,
    make_input,
    measure_depth,
    noise,
    reference,
)


@settings(max_examples=300)
@given(click_inputs())
def test_centre_is_the_reference(click_input: ClickInput) -> None:
    assert centre(click_input) == reference(click_input)


@pytest.mark.parametrize(
    "kind", [blobs, boxes, noise(1.0), noise(0.9999)], ids=["blobs", "boxes", "full", "pierced"]
)
def test_centre_is_the_reference_where_the_error_is_wide(
    kind: Callable[[tuple[int, int], np.random.Generator], Mask],
) -> None:
    shape = 300, 420
    for seed in range(4):
        truth, empty = kind(shape, np.random.default_rng(seed)), np.zeros(shape, bool)
        click_input = make_input(empty, truth, empty)
        for _ in range(3):
            click = centre(click_input)
            assert click == reference(click_input)
            click_input = replace(click_input, clicks=(*click_input.clicks, click))


def band(slope: tuple[int, int], half_width: float) -> Mask:
    """Return a straight band across a square frame, its normal in the direction of the slope."""
    rows, cols = np.indices((161, 161)) - 80
    return abs(rows * slope[0] + cols * slope[1]) / np.hypot(*slope) < half_width


@pytest.mark.parametrize("missing_slope", [(0, 1), (1, 5), (1, 2), (1, 1)])
@pytest.mark.parametrize("false_slope", [(0, 1), (1, 5), (1, 2), (1, 1)])
def test_centre_finds_the_deeper_of_two_bands_in_any_directions(
    missing_slope: tuple[int, int], false_slope: tuple[int, int]
) -> None:
    # a path of steps on the grid is longest for the line it stands for at 1:5, shortest at 1:2
    nothing = np.zeros((161, 161), bool)
    for more in (-1.0, -0.5, 0.0, 0.5, 1.0):
        truth = np.hstack([band(missing_slope, 40), nothing])
        mask = np.hstack([nothing, band(false_slope, 40 + more)])
        click_input = make_input(mask, truth, np.zeros_like(truth))
        assert centre(click_input) == reference(click_input)


@given(click_inputs(longest=30))
def test_a_click_is_on_a_wrong_pixel_of_its_sign_or_first_and_negative(
    click_input: ClickInput,
) -> None:
    click = centre(click_input)
    left = (
        drop_clicked(click_input, find_missing(click_input)),
        drop_clicked(click_input, find_false(click_input)),
    )
    if (left[0] | left[1]).any():
        assert left[0 if click.positive else 1][click.row, click.col]
    else:
        assert click == Click(0, 0, False)


@given(click_inputs(longest=30))
def test_the_roles_exchanged_turn_the_sign_unless_both_parts_are_equally_deep(
    click_input: ClickInput,
) -> None:
    click = centre(click_input)
    exchanged = centre(replace(click_input, mask=click_input.truth, truth=click_input.mask))
    if click.positive or exchanged.positive:
        assert exchanged == click._replace(positive=not click.positive)
    else:  # a tie is negative both ways
        errors = find_missing(click_input), find_false(click_input)
        depth = [measure_depth(error, click_input.clicks).max() for error in errors]
        assert depth[0] == depth[1]


@pytest.mark.parametrize(
    ("click_input", "wanted"),
    [
        pytest.param(draw_input("... ... ..."), (0, 0, False), id="nothing is wrong"),
        pytest.param(draw_input("xxx xxx xxx"), (0, 0, False), id="nothing is scored"),
        pytest.param(draw_input("..+", (0, 2)), (0, 0, False), id="all that is wrong was clicked"),
        pytest.param(draw_input("+"), (0, 0, True), id="a frame of one pixel"),
        pytest.param(draw_input("+.-"), (0, 2, False), id="equal depths are negative"),
        pytest.param(draw_input(".++ .++ ..-"), (2, 2, False), id="width without depth is a tie"),
        pytest.param(draw_input("+++- +++. +++."), (1, 1, True), id="deeper is positive"),
        pytest.param(draw_input("---+ ---. ---."), (1, 1, False), id="deeper is negative"),
        pytest.param(draw_input(".+. ... +.+"), (0, 1, True), id="the first row"),
        pytest.param(draw_input("... .+. +.+"), (1, 1, True), id="a row before a column"),
        pytest.param(draw_input("+++++ +++++ +++++"), (1, 1, True), id="the first column of a row"),
        pytest.param(
            draw_input("++.. ++.. .... ...."), (0, 0, True), id="outside the image, corner"
        ),
        pytest.param(
            draw_input("+++. +++. +++. ...."), (1, 1, True), id="outside the image, edges"
        ),
        pytest.param(draw_input("+++x+++ +++x+++ +++x+++"), (1, 1, True), id="ignored is outside"),
        pytest.param(draw_input("+.++", (0, 0)), (0, 2, True), id="a click is not repeated"),
        pytest.param(draw_input("+.++", (0, 0), (0, 0)), (0, 2, True), id="a click counts once"),
        pytest.param(
            draw_input("+.--", (0, 2), (0, 3)), (0, 0, True), id="a clicked part is shallow"
        ),
        pytest.param(
            # the ring about the centre is 3 deep; were the centre outside, (1, 1) were the deepest
            draw_input("+++++++ " * 7, (3, 3)),
            (2, 2, True),
            id="a clicked pixel is still inside the error",
        ),
    ],
)
def test_centre_by_hand(click_input: ClickInput, wanted: tuple[int, int, bool]) -> None:
    assert centre(click_input) == Click(*wanted)
    assert reference(click_input) == Click(*wanted)


def test_centre_is_not_stochastic() -> None:
    click_input = draw_input("++. ++. ..-")
    before = click_input.rng.bit_generator.state
    centre(click_input)
    assert click_input.rng.bit_generator.state == before


def test_the_originals_games_are_replayed_click_by_click(
    real_data: Path, golden: Callable[[str], Any]
) -> None:
    games = {game["id"]: game["clicks"] for game in golden("nearest_GrabCut_20.json")["objects"]}
    dataset, predictor = load_dataset("grabcut", real_data), Nearest()
    assert {key.partition("#")[0] for key in dataset.keys} == set(games)
    for key in dataset.keys:
        sample = dataset.load(key)
        state = predictor.start(predictor.begin(sample.image), None)
        mask, clicks = np.zeros_like(sample.truth), ()
        for row, col, positive in games[key.partition("#")[0]]:
            wanted = Click(row, col, bool(positive))
            click = centre(make_input(mask, sample.truth, sample.ignore, clicks))
            assert click == wanted, key
            clicks = (*clicks, wanted)
            ((mask, state),) = predictor.predict([Turn(state, clicks)])
