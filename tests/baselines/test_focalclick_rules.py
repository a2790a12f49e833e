"""FocalClick's rules by unit vectors: its crops, its clicks, and merging into a given mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from baselines.focalclick.focus import find_component, find_focus
from isbench.errors import IsbenchError
from isbench.nn.inference.passes import compute_answers
from isbench.nn.inference.zoom_in import Box
from isbench.types import Click, Mask, Turn
from tests.support.focalclick import (
    Scripted,
    blank_image,
    build,
    build_tiny,
    fill_box,
    play_clicks,
)

GOLDEN = Path(__file__).parents[1] / "golden"
WHOLE = Box(0, 99, 0, 149)  # of the vectors' images


def draw(rows_cols: list[int] | None) -> Mask:
    mask = np.zeros((100, 150), bool)
    if rows_cols is not None:
        mask[rows_cols[0] : rows_cols[1], rows_cols[2] : rows_cols[3]] = True
    return mask


@pytest.mark.parametrize(
    "case",
    json.loads((GOLDEN / "networks" / "focalclick.json").read_text())["focus_crop"],
    ids=lambda case: case["name"],
)
def test_the_focus_crop_is_that_of_the_published_code(case: dict[str, Any]) -> None:
    found, previous = draw(case["pred_rows_cols"]), draw(case.get("prev_rows_cols"))
    row, col = case.get("click_yx", (0, 0))
    top, bottom, left, right = case.get("global_roi", (0, 100, 0, 150))
    target = Box(top, bottom - 1, left, right - 1)
    focus = find_focus(found, previous, Click(row, col, True), target)
    assert [focus.top, focus.bottom + 1, focus.left, focus.right + 1] == case["focus_roi"]


def test_a_mask_of_fewer_than_ten_pixels_has_the_box_of_the_whole_image() -> None:
    nine, ten, click = draw([40, 43, 60, 63]), draw([40, 42, 60, 65]), Click(41, 61, True)
    assert find_focus(nine, draw(None), click, WHOLE) == WHOLE
    # rows 40 and 41, columns 60 to 64, enlarged by 1.4 about their centres
    assert find_focus(ten, draw(None), click, WHOLE) == Box(39, 40, 58, 64)


def test_a_change_of_fewer_than_ten_pixels_is_refined_with_the_whole_image() -> None:
    before, click = draw([20, 60, 30, 90]), Click(70, 100, True)
    small, large = (before | draw([70, 73, 100, end]) for end in (103, 104))  # 9 and 12 pixels
    assert find_focus(small, before, click, WHOLE) == WHOLE
    # hd = 2 is below a third of the object's 52 rows: a window of 0.2 * 73 about the click
    reach = 0.2 * 73
    half = 1.4 * (2 * reach + 1) / 2
    assert find_focus(large, before, click, WHOLE) == Box(
        int(70 - half), int(70 + half) - 1, int(100 - half), int(100 + half) - 1
    )


MASK = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).random((12, 14)) < (seed % 10) / 9
)
PLACE = st.builds(Click, st.integers(0, 11), st.integers(0, 13), st.booleans())


@settings(max_examples=100)
@given(
    MASK, MASK, PLACE, st.tuples(*[st.integers(0, 11)] * 2), st.tuples(*[st.integers(0, 13)] * 2)
)
def test_the_focus_crop_is_a_part_of_the_target_crop(
    found: Mask, previous: Mask, click: Click, rows: tuple[int, int], cols: tuple[int, int]
) -> None:
    target = Box(min(rows), max(rows), min(cols), max(cols))
    focus = find_focus(found, previous, click, target)
    assert target.top <= focus.top <= focus.bottom <= target.bottom
    assert target.left <= focus.left <= focus.right <= target.right


@settings(max_examples=50)
@given(MASK, PLACE)
def test_a_component_is_what_a_flood_from_the_click_fills(mask: Mask, click: Click) -> None:
    component = find_component(mask, click)
    if not mask[click.row, click.col]:
        assert np.array_equal(component, ~mask)
        return
    filled = mask.astype(np.uint8)
    cv2.floodFill(filled, None, (click.col, click.row), (2,), flags=8)
    assert np.array_equal(component, filled == 2)


CENTRE = Click(32, 32, True)
NOTHING = torch.full((64, 64), -4.0)


def two_blocks(first: tuple[slice, slice], second: tuple[slice, slice]) -> Tensor:
    return torch.maximum(fill_box(*first, 64), fill_box(*second, 64))


def box_mask(*boxes: tuple[slice, slice]) -> Mask:
    mask = np.zeros((64, 64), bool)
    for box in boxes:
        mask[box] = True
    return mask


def test_the_target_crop_surrounds_probabilities_above_0_49() -> None:
    def find_crop(probability: float) -> Box | None:
        level = float(torch.logit(torch.tensor(probability)))
        script = Scripted([fill_box(slice(20, 40), slice(24, 44), 64, level), NOTHING])
        answers = play_clicks(
            build(script.networks(), 64), blank_image(64, 64), [CENTRE, Click(0, 0, False)]
        )
        assert not answers[0].mask.any()  # below the threshold of the mask, 0.50
        box: Box | None = answers[1].state.last.box
        return box

    assert find_crop(0.485) is None
    # rows 20 to 39 and columns 24 to 43, each enlarged to 28 about its centre
    assert find_crop(0.495) == Box(16, 44, 20, 48)


def test_the_first_click_and_a_game_without_an_object_see_the_whole_image() -> None:
    script = Scripted([fill_box(slice(20, 40), slice(24, 44), 64), NOTHING, -NOTHING])
    clicks = [CENTRE, Click(2, 3, False), Click(60, 60, False)]
    answers = play_clicks(build(script.networks(), 64), blank_image(64, 64), clicks)
    boxes = [answer.state.last.box for answer in answers]
    assert boxes[0] is None
    assert boxes[1] == boxes[2] == Box(16, 44, 20, 48)  # remembered, though nothing was left
    assert not answers[1].mask.any()
    assert np.array_equal(answers[2].mask, box_mask((slice(16, 45), slice(20, 49))))
    # the clicks of the third pass are those of the whole image, those of the second of the crop
    assert script.seen[2][1][0, 0, :2].tolist() == [32, 32]
    assert script.seen[1][1][0, 0, :2].tolist() == pytest.approx([16 * 64 / 29, 12 * 64 / 29])


def test_the_refiner_gets_every_click_and_colours_as_they_are() -> None:
    script = Scripted([fill_box(slice(20, 40), slice(24, 44), 64)] * 2)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    clicks = [CENTRE, Click(63, 0, False)]
    answers = play_clicks(build(script.networks(), 64), image, clicks)
    focus = answers[1].state.focus
    crop, points, features, logits = script.refined[1]
    assert crop.shape == (1, 3, 64, 64)
    assert float(crop.min()) >= 0
    assert float(crop.max()) <= 1
    assert features.shape == (1, 1, 16, 16)
    assert logits.shape == (1, 1, 64, 64)
    wanted = [[(c.row - focus.top) * 64 / focus.height, (c.col - focus.left) * 64 / focus.width]
              for c in clicks]  # fmt: skip
    assert points[0, :, :2].flatten().tolist() == pytest.approx([*wanted[0], *wanted[1]])
    assert not points[..., 3:].any()  # in single precision


@pytest.mark.parametrize(("count", "segmented"), [(10, True), (11, False)])
def test_from_click_11_on_only_the_focus_crop_changes(count: int, segmented: bool) -> None:
    # the first object spans the image, so every crop is the whole image
    frame = torch.maximum(
        fill_box(slice(0, 8), slice(0, 64), 64), fill_box(slice(56, 64), slice(0, 64), 64)
    )
    elsewhere, clicked = (slice(20, 30), slice(4, 24)), (slice(20, 44), slice(36, 60))
    script = Scripted(
        [frame] * (count - 1) + [torch.maximum(frame, two_blocks(elsewhere, clicked))]
    )
    clicks = [Click(2, 2 + k, True) for k in range(count - 1)] + [Click(30, 50, True)]
    last = play_clicks(build(script.networks(), 64), blank_image(64, 64), clicks)[-1]
    assert last.state.focus == Box(14, 47, 30, 63)
    assert last.mask[25:40, 40:55].all()
    assert last.mask[elsewhere].all() == last.mask[elsewhere].any() == segmented
    assert last.mask[:8].all()


def test_a_certain_answer_stays_one() -> None:
    script = Scripted([fill_box(slice(0, 64), slice(0, 64), 64, 200.0)])
    (answer,) = play_clicks(build(script.networks(), 64), blank_image(64, 64), [CENTRE])
    assert answer.mask.all()  # the logit of probability 1 is infinite


def test_weights_that_give_no_numbers_are_noticed() -> None:
    script = Scripted([NOTHING * float("nan")])
    with pytest.raises(IsbenchError, match="not a number"):
        play_clicks(build(script.networks(), 64), blank_image(64, 64), [CENTRE], np.eye(64) > 0)


def test_an_image_is_downscaled_and_its_mask_is_not() -> None:
    script = Scripted([fill_box(slice(16, 48), slice(16, 48), 64)])
    predictor = build(script.networks(), 64)
    small = replace(predictor, config=replace(predictor.config, longest_side=32))
    (answer,) = play_clicks(small, blank_image(64, 64), [CENTRE], np.eye(64) > 0)
    assert answer.mask.shape == (64, 64)
    assert answer.state.last.probability.shape == (1, 1, 32, 32)


LEFT, RIGHT = (slice(20, 40), slice(4, 24)), (slice(20, 40), slice(40, 60))
BESIDE = slice(20, 40), slice(24, 40)  # touches both


def answer_once(found: Tensor, initial: Mask | None, click: Click) -> Mask:
    script = Scripted([found])
    (answer,) = play_clicks(build(script.networks(), 64), blank_image(64, 64), [click], initial)
    return answer.mask


@pytest.mark.parametrize(
    ("given", "found", "click", "wanted"),
    [
        # of two additions the clicked one is kept
        ([(slice(0, 3), slice(0, 64))], [LEFT, RIGHT], Click(30, 50, True),
         [(slice(0, 3), slice(0, 64)), RIGHT]),
        # of two removals the clicked one is made
        ([LEFT, RIGHT], [], Click(30, 10, False), [RIGHT]),
        # an addition elsewhere does not come with a removal
        ([LEFT], [RIGHT], Click(30, 10, False), []),
        # of a removal beside an addition, what the click is on
        ([LEFT], [BESIDE], Click(30, 30, True), [LEFT, BESIDE]),
        ([LEFT, RIGHT], [BESIDE], Click(30, 10, False), []),
        # a click that changed nothing leaves everything as it is
        ([LEFT], [RIGHT], Click(60, 60, False), [LEFT]),
    ],
    ids=["added", "removed", "elsewhere", "shifted", "replaced", "unchanged"],
)  # fmt: skip
def test_only_the_clicked_change_of_a_given_mask_is_made(
    given: list[Any], found: list[Any], click: Click, wanted: list[Any]
) -> None:
    logits = torch.where(torch.from_numpy(box_mask(*found)), 4.0, -4.0)
    refined_everywhere = answer_once(logits, box_mask(*given), click)
    assert np.array_equal(refined_everywhere, box_mask(*wanted))


def test_without_a_mask_to_start_from_nothing_is_merged() -> None:
    found = two_blocks(LEFT, RIGHT)
    for initial in (None, np.zeros((64, 64), bool)):
        assert np.array_equal(
            answer_once(found, initial, Click(30, 50, True)), box_mask(LEFT, RIGHT)
        )


def test_the_next_pass_sees_the_merged_mask() -> None:
    script = Scripted([two_blocks(LEFT, RIGHT)] * 2)
    clicks = [Click(30, 50, True), Click(0, 0, False)]
    predictor = build(script.networks(), 64)
    first, _ = play_clicks(predictor, blank_image(64, 64), clicks, box_mask(LEFT))
    previous = first.state.last.probability[0, 0].numpy()
    assert np.array_equal(previous > 0.5, first.mask)
    assert script.seen[0][0][0, 3].max() == 1  # the given mask is certain
    crop = first.state.last.certain
    assert np.array_equal(crop, previous > 0.49)


@pytest.fixture(scope="module")
def tiny() -> Any:
    torch.set_num_threads(1)
    return build_tiny()


ROUGH = st.integers(0, 2**32 - 1).map(
    lambda seed: cv2.GaussianBlur(np.random.default_rng(seed).random((30, 40)), (0, 0), 2) > 0.5
)
SPOTS = st.lists(
    st.builds(Click, st.integers(0, 29), st.integers(0, 39), st.booleans()), min_size=1, max_size=4
)


def test_games_of_images_of_any_size_share_their_passes(tiny: Any) -> None:
    rng, turns = np.random.default_rng(2), []
    for rows, cols, initial in ((30, 40, None), (25, 60, None), (30, 40, np.eye(30, 40) > 0)):
        image = rng.integers(0, 256, (rows, cols, 3), dtype=np.uint8)
        clicks = (Click(rows // 2, cols // 2, True), Click(2, 3, False))
        (first,) = tiny.predict([Turn(tiny.start(tiny.begin(image), initial), clicks[:1])])
        turns.append(Turn(first.state, clicks))
    alone = tiny.predict(turns)
    with torch.inference_mode():  # as on a GPU
        stacked = compute_answers([tiny.passes(turn) for turn in turns], stack=True)
    for one, other in zip(alone, stacked, strict=True):
        assert one.state.focus == other.state.focus
        torch.testing.assert_close(
            one.state.last.probability, other.state.last.probability, rtol=0, atol=1e-3
        )


@settings(max_examples=15)
@given(ROUGH, SPOTS)
def test_a_click_adds_or_removes_one_component_of_a_given_mask(
    tiny: Any, initial: Mask, clicks: list[Click]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    state, before = tiny.start(tiny.begin(image), initial), initial
    for count, click in enumerate(clicks, start=1):
        shown = tuple(clicks[:count])
        (plain,) = tiny.predict([Turn(state._replace(merging=False), shown)])
        (merged,) = tiny.predict([Turn(state, shown)])
        changed, wanted = plain.mask ^ before, np.zeros_like(before)
        if changed[click.row, click.col]:
            same = before == before[click.row, click.col]  # all added, or all removed
            wanted = find_component(changed, click) & same
        assert np.array_equal(merged.mask ^ before, wanted)
        state, before = merged.state, merged.mask
