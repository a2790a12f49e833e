"""SimpleClick's squares: their size, the crops, and whole games against a plain reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from baselines.simpleclick.predictor import ZOOM
from isbench.evaluation.spec import with_dataset_defaults
from isbench.models.loading import load_model
from isbench.nn.inference.cascade import Cascade
from isbench.nn.inference.predictor import CropPredictor, InferenceConfig, answer_mask_guided
from isbench.nn.inference.zoom_in import Box, Zoom, box_iou
from isbench.testing import check_predictor
from isbench.types import Click, Image, Mask, Turn
from tests.baselines.test_simpleclick import tiny
from tests.support import toys
from tests.support.official_games import probe

Isbench = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(("data_sets", "side"), [(448, 448), (672, 672)])
def test_the_square_is_the_data_sets(data_sets: int, side: int) -> None:
    data = replace(toys.blobs(1), zoom_square=data_sets)
    model = with_dataset_defaults(load_model(tiny, weights="random", backend="eager"), data)
    assert model.options["zoom_square"] == side
    predictor = tiny.build(**model.options, runtime=model.runtime)
    assert predictor.config.zoom.choose_size(Box(0, 99, 0, 49)) == (side, side)  # type: ignore[attr-defined]


@pytest.mark.parametrize("side", [100, 450, -224, 4480])
def test_a_square_that_windows_do_not_tile_is_refused(
    side: int, isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    asked = ("--model", "simpleclick-vit-h", "--weights", "random", "--backend", "eager")
    code, _, said = isbench(
        "run", *asked, "--set", f"zoom_square={side}", "--dataset", f"folder:{folder_set}",
        "--out", tmp_path,
    )  # fmt: skip
    assert (code, said.count("\n")) == (2, 1)
    assert f"option zoom_square is {side}; wanted a multiple of 224 pixels" in said


def test_the_contract_of_predictors_is_kept() -> None:
    check_predictor(replace(tiny, options={**tiny.options, "zoom_square": 224}))


SHAPE = (60, 90)
MASK = st.builds(
    lambda top, left, rows, cols: np.pad(
        np.ones((rows, cols), bool), ((top, 20 - rows + 40 - top), (left, 30 - cols + 60 - left))
    ),
    st.integers(0, 40), st.integers(0, 60), st.integers(0, 20), st.integers(0, 30),
)  # fmt: skip
BOX = st.builds(
    lambda top, rows, left, cols: Box(top, top + rows, left, left + cols),
    st.integers(0, 29), st.integers(0, 30), st.integers(0, 44), st.integers(0, 45),
)  # fmt: skip
CLICKS = st.lists(
    st.builds(Click, st.integers(0, 59), st.integers(0, 89), st.booleans()), min_size=1, max_size=4
)


@given(MASK, CLICKS, st.none() | BOX)
def test_every_pass_sees_a_crop_and_that_of_the_whole_image_where_there_is_no_object(
    mask: Mask, clicks: list[Click], previous: Box | None
) -> None:
    zoom = Zoom(448, square=True, after=-1, least=10)
    whole = Box(0, 59, 0, 89)
    found = zoom.box(mask, clicks, previous)
    assert found is not None
    if mask.any():
        assert found == replace(zoom, square=False, after=0).box(mask, clicks, previous)
    elif previous is None or box_iou(whole, previous) < 0.5:
        assert found == whole
    else:
        assert found in (previous, whole)
    assert zoom.choose_size(found) == (448, 448)


class Step(NamedTuple):
    probability: Tensor  # (1, 1, H, W)
    box: tuple[int, int, int, int]


def play_plainly(image: Image, clicks: list[Click], side: int) -> list[Step]:
    """Play a game with the stand-in network as SimpleClick's code describes it, step by step."""
    rgb = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255
    height, width = image.shape[:2]
    previous, region = torch.zeros(1, 1, height, width), None
    steps = []
    for count in range(1, len(clicks) + 1):
        given = clicks[:count]
        inside = [(row, col) for row, col, positive in given if positive]
        new = (0, height - 1, 0, width - 1)
        if (previous > 0.5).any():
            rows, cols = (axis.tolist() for axis in torch.where(previous[0, 0] > 0.5))
            new = (
                *grow(
                    min(*rows, *(r for r, _ in inside)), max(*rows, *(r for r, _ in inside)), height
                ),
                *grow(
                    min(*cols, *(c for _, c in inside)), max(*cols, *(c for _, c in inside)), width
                ),
            )
        if (
            region is None
            or any(
                not (region[0] <= r < region[1] and region[2] <= c < region[3]) for r, c in inside
            )
            or box_iou(Box(*new), Box(*region)) < 0.5
        ):
            region = new
        top, bottom, left, right = region
        size = bottom - top + 1, right - left + 1
        crop = torch.cat([rgb, previous], 1)[:, :, top : bottom + 1, left : right + 1]
        crop = F.interpolate(crop, (side, side), mode="bilinear", align_corners=True)
        halves: list[list[list[float]]] = [[], []]
        for order, (row, col, positive) in enumerate(given):
            place = [side * (row - top) / size[0], side * (col - left) / size[1], float(order)]
            halves[0 if positive else 1].append(place)
        places = max(map(len, halves))
        table = torch.tensor(
            [[*half, *[[-1.0] * 3] * (places - len(half))] for half in halves], dtype=torch.float32
        ).reshape(1, -1, 3)
        mirror = table.clone()
        used = table[..., 2] >= 0
        mirror[..., 1] = torch.where(used, side - 1 - table[..., 1], table[..., 1])
        logits = (probe(crop, table)[0] + probe(crop.flip(3), mirror)[0].flip(3)) / 2
        answer = F.interpolate(logits.sigmoid(), size, mode="bilinear", align_corners=True)
        previous = torch.zeros(1, 1, height, width)
        previous[:, :, top : bottom + 1, left : right + 1] = answer
        steps.append(Step(previous, region))
    return steps


def grow(first: int, last: int, length: int) -> tuple[int, int]:
    centre, half = (first + last) / 2, max(1.4 * (last - first + 1), 200) / 2
    return max(0, round(centre - half)), min(length - 1, round(centre + half))


def make_gradient(height: int, width: int) -> Image:
    rows, cols = np.mgrid[:height, :width]
    disk = (rows - height // 2) ** 2 + (cols - width // 2) ** 2 <= (height // 5) ** 2
    colours = (255 * cols // (width - 1), 255 * rows // (height - 1), np.where(disk, 220, 40))
    return np.stack(colours, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(300, 420), (500, 240)])
@pytest.mark.parametrize("side", [224, 448])
def test_a_game_is_that_of_a_plain_reading_of_the_rules(height: int, width: int, side: int) -> None:
    image = make_gradient(height, width)
    shares = [(50, 50, 1), (20, 25, 0), (40, 60, 1), (95, 70, 0), (99.9, 45, 1), (30, 80, 0)]
    clicks = [Click(int(height * a / 100), int(width * b / 100), p == 1) for a, b, p in shares]
    config = InferenceConfig(replace(ZOOM, target=side))
    predictor = CropPredictor(config, partial(answer_mask_guided, probe))
    state, boxes = predictor.start(predictor.begin(image), None), set()
    for count, step in enumerate(play_plainly(image, clicks, side), start=1):
        ((mask, state),) = predictor.predict([Turn(state, tuple(clicks[:count]))])
        assert state.box == step.box
        assert (state.probability - step.probability).abs().max().item() < 1e-5
        wanted = (step.probability[0, 0] > 0.49).numpy()
        assert np.count_nonzero(mask != wanted) <= 2
        assert mask.any()
        boxes.add(step.box)
    assert (0, height - 1, 0, width - 1) in boxes
    assert len(boxes) > 1


def test_a_cascade_zooms_in_on_its_own_answer_to_the_first_click() -> None:
    image, turn_clicks = make_gradient(400, 600), (Click(200, 300, True),)
    plain, cascade = (
        CropPredictor(
            InferenceConfig(replace(ZOOM, target=112), cascade=Cascade(steps)),
            partial(answer_mask_guided, probe),
        )
        for steps in (0, 1)
    )
    state = plain.start(plain.begin(image), None)
    for box in (Box(0, 399, 0, 599), None):
        wanted, state = plain.predict([Turn(state, turn_clicks)])[0]
        assert box is None or state.box == box
    mask, found = cascade.predict([Turn(cascade.start(plain.begin(image), None), turn_clicks)])[0]
    assert found.box == state.box != Box(0, 399, 0, 599)
    assert np.array_equal(mask, wanted)
    assert torch.equal(found.probability, state.probability)


def test_an_initial_mask_counts_as_an_answer() -> None:
    image, initial = make_gradient(400, 600), np.zeros((400, 600), bool)
    initial[300:340, 100:140] = True
    predictor = CropPredictor(InferenceConfig(ZOOM), partial(answer_mask_guided, probe))
    state = predictor.start(predictor.begin(image), initial)
    (answer,) = predictor.predict([Turn(state, (Click(320, 120, True),))])
    assert answer.state.box == Box(220, 399, 20, 220)
