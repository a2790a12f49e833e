"""FocusCut's network, crops and focus views equal to the official ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.focuscut.crop import choose_crop
from baselines.focuscut.focus import Patch, choose_focus, rescale
from baselines.focuscut.network import FocusCutNetwork
from isbench.errors import IsbenchError
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.nn.inference.zoom_in import Box
from isbench.nn.stem import normalize
from isbench.training import Checks, recipes
from isbench.training.loop import take_steps
from isbench.training.settings import with_settings
from isbench.training.training_run import open_training
from isbench.types import Click, Mask
from tests.support.official_games import build_synthetic, describe_keys, read_golden
from tests.support.official_networks import check
from tests.support.synthetic import draw_picture

RULES = read_golden("networks/focuscut_rules")


@pytest.mark.parametrize("depth", [50, 101])
def test_the_keys_are_those_of_the_official_checkpoint(depth: int) -> None:
    wanted = read_golden("manifests/focuscut")[f"focuscut_resnet{depth}"]
    assert describe_keys(lambda: FocusCutNetwork(depth)) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("depth", [50, 101])
def test_the_network_answers_as_the_official_one(depth: int) -> None:
    network = build_synthetic(lambda: FocusCutNetwork(depth))
    entry = read_golden("networks/focuscut")[f"focuscut_resnet{depth}"]
    assert sum(one.numel() for one in network.parameters()) == entry["params"]
    with torch.inference_mode():
        check(network.segment(draw_picture(6, 64, 96)), entry["logits"])
        image, distances, previous = (
            draw_picture(3, 64, 96),
            draw_picture(2, 64, 96) * 40,
            draw_picture(1, 64, 96),
        )
        (logits,) = network(image, distances[:, :1], distances[:, 1:], previous)
        maps = torch.exp(-4 * np.log(2) * distances**2 / 10**2)
        stacked = torch.cat([normalize(image), maps, previous], dim=1)
        torch.testing.assert_close(logits, network.segment(stacked))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_network_is_trained_by_its_recipe(toy_pack: str, tmp_path: Path) -> None:
    plan = with_settings(recipes.FOCUSCUT, {"steps": "1", "batch": "2", "crops": "64x64"})
    plan = replace(plan, checks=Checks(validation=0))
    with open_training(load_card("focuscut-r50"), plan, toy_pack, tmp_path) as run:
        before = run.network.pred_decoder.pred_conv[0].weight.detach().clone()
        (report,) = take_steps(run)
        assert np.isfinite(report.loss)
        assert not torch.equal(run.network.pred_decoder.pred_conv[0].weight, before)


def fill(shape: Sequence[int], top: int, bottom: int, left: int, right: int) -> Mask:
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def describe(box: Box) -> list[int]:
    return [box.left, box.top, box.width, box.height]


@pytest.mark.parametrize("case", RULES["zoom"])
def test_crops_are_the_official_ones(case: dict[str, Any]) -> None:
    mask = fill(case["image_hw"], *case["pre_pred_y0y1x0x1"])
    assert describe(choose_crop(mask, (), None)) == case["crop_xywh"]


@pytest.mark.parametrize("case", RULES["expand_r"], ids=lambda case: case["name"])
def test_radii_are_the_official_ones(case: dict[str, Any]) -> None:
    last, found = (fill((100, 150), *case[name]) for name in ("prev", "pred_y0y1x0x1"))
    col, row, label = case["click_xy_label"]
    choice = choose_focus(Click(row, col, bool(label)), last, found)
    assert choice == (case["radius"], case["use_focus_view"])


@pytest.mark.parametrize("changed", [(slice(10, 30), slice(20, 50)), (10, 20)])
def test_scales_are_the_official_ones(changed: Any) -> None:
    before, (case, _) = np.zeros((65, 65), bool), RULES["ratio"]
    after = before.copy()
    after[changed] = True
    assert rescale(1.0, before, after) == case["ratio"]
    assert rescale(1.75, before, after) == 1.75 * case["ratio"]
    assert rescale(0.1, before, after) == 0.2


@st.composite
def masks_and_clicks(draw: st.DrawFn) -> tuple[Mask, list[Click]]:
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    places = [st.integers(0, length - 1) for length in shape]
    click = st.builds(Click, places[0], places[1], st.booleans())
    edges = [sorted(draw(st.tuples(place, place))) for place in places]
    mask = fill(shape, edges[0][0], edges[0][1] + 1, edges[1][0], edges[1][1] + 1)
    return mask, draw(st.lists(click, max_size=4))


@settings(max_examples=100)
@given(masks_and_clicks())
def test_a_crop_contains_the_object_and_stays_in_the_image(
    drawn: tuple[Mask, list[Click]],
) -> None:
    mask, clicks = drawn
    crop = choose_crop(mask, clicks, None)
    to_cover = mask.copy()
    for row, col, positive in clicks:
        to_cover[row, col] |= positive
    inside = np.zeros_like(mask)
    inside[crop.top : crop.bottom + 1, crop.left : crop.right + 1] = True
    assert not (to_cover & ~inside).any()
    assert min(crop.top, crop.left) >= 0
    assert crop.bottom < mask.shape[0]
    assert crop.right < mask.shape[1]


def test_a_crop_is_kept_while_it_overlaps_the_new_one_and_holds_the_clicks() -> None:
    mask, last = fill((100, 150), 20, 60, 30, 90), Box(0, 79, 20, 109)
    new = choose_crop(mask, (), None)
    inside, outside = Click(79, 20, True), Click(80, 20, True)
    assert choose_crop(mask, (inside,), last) == last
    assert choose_crop(mask, (outside,), last) != last
    assert choose_crop(mask, (outside._replace(positive=False),), last) == last
    assert choose_crop(mask, (), Box(0, 30, 0, 150)) == new
    nothing = np.zeros_like(mask)
    assert choose_crop(nothing, (inside,), last) == last
    assert choose_crop(nothing, (outside,), last) == Box(0, 99, 0, 149)


def test_a_click_without_an_edge_to_reach_to_gets_the_least_radius() -> None:
    nothing = np.zeros((40, 50), bool)
    assert choose_focus(Click(3, 4, False), nothing, nothing) == (5, True)


@settings(max_examples=50)
@given(masks_and_clicks(), st.integers(1, 40), st.data())
def test_a_patch_is_a_square_of_the_padded_image(
    drawn: tuple[Mask, list[Click]], reach: int, data: st.DataObject
) -> None:
    mask, clicks = drawn
    row, col = (data.draw(st.integers(0, length - 1)) for length in mask.shape)
    patch, padded = Patch(row, col, reach), np.pad(mask, reach)
    square = padded[row : row + patch.side, col : col + patch.side]
    assert np.array_equal(patch.cut(mask), square)
    marks = np.zeros_like(mask)
    for click in clicks:
        marks[click.row, click.col] = True
    inside = {(click.row, click.col) for click in patch.select(clicks)}
    assert inside == {(int(r), int(c)) for r, c in np.argwhere(patch.cut(marks))}
    pasted, covered = (np.zeros(mask.shape, np.float32) for _ in range(2))
    patch.paste(patch.cut(mask).astype(np.float32), pasted, covered)
    rows, cols = (slice(max(0, place - reach), place + reach + 1) for place in (row, col))
    wanted = np.zeros(mask.shape, np.float32)
    wanted[rows, cols] = 1
    assert np.array_equal(covered, wanted)
    assert np.array_equal(pasted, mask * covered)


@pytest.mark.slow
def test_weights_of_the_other_depth_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "focuscut-resnet50.pth"
    torch.save(FocusCutNetwork(50).state_dict(), path)
    build_predictor(load_model("focuscut-r50", weights=str(path), backend="eager"))
    with pytest.raises(IsbenchError, match=r"missing keys: backbone\.layers\.3\.6\.conv1\.weight"):
        build_predictor(load_model("focuscut-r101", weights=str(path), backend="eager"))
