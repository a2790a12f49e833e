"""FocalClick plays the games that its published predictor played, and games of correction."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.focalclick.cards import hrnet18s_s1, hrnet18s_s2, hrnet32_s2
from baselines.focalclick.predictor import FocalClick
from isbench.evaluation.engine import play
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.zoom_in import Box
from isbench.nn.stem import resize_bilinear
from isbench.storage.masks import decode_rle
from isbench.types import Click, Image, Rules, Sample
from tests.support.focalclick import build, play_clicks
from tests.support.official_games import draw_gradient, probe
from tests.support.synthetic import fill_state

GOLDEN = Path(__file__).parents[1] / "golden" / "games"
CARDS = {"hrnet18s_S1": hrnet18s_s1, "hrnet18s_S2": hrnet18s_s2, "hrnet32_S2": hrnet32_s2}
IMAGES = ("gradient", "GrabCut/106024", "DAVIS/000")
FILES = {"GrabCut/106024": "GrabCut/data_GT/106024.jpg", "DAVIS/000": "DAVIS/img/000.jpg"}
SLOW = pytest.mark.slow
# images made here are played with the fast tests, those of data sets with the slow ones
EVERY_IMAGE = [pytest.param(name, marks=[SLOW] * (name in FILES)) for name in IMAGES]


def read(name: str) -> Any:
    return json.loads((GOLDEN / f"focalclick_{name}.json").read_text())


@pytest.fixture
def image(name: str, request: pytest.FixtureRequest) -> Image:
    """Return the image of a game."""
    if name == "gradient":
        return draw_gradient()
    read_image = cv2.imread(str(request.getfixturevalue("real_data") / FILES[name]))
    assert read_image is not None
    return np.ascontiguousarray(read_image[:, :, ::-1])


def segment(inputs: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor]:
    """Answer without weights, see `probe`; the features are the logits, pooled."""
    (logits,) = probe(inputs, clicks)
    return logits, F.avg_pool2d(logits, 4)


def refine(image: Tensor, clicks: Tensor, features: Tensor, logits: Tensor) -> tuple[Tensor]:
    size = image.shape[2:]
    positive, negative = draw_disks(clicks, (size[0], size[1]), 5).chunk(2, dim=1)
    light = image.mean(dim=1, keepdim=True) - 0.5
    raised = resize_bilinear(features, size)
    return (0.7 * logits + 0.3 * raised + 3 * positive - 3 * negative + light,)


def make_networks(name: str) -> dict[str, torch.nn.Module]:
    """Return the networks with synthetic weights, scaled so that masks are of some size."""
    card = CARDS[name]
    assert card.networks is not None
    made = {}
    for key, network in card.networks(**card.options).items():
        state = fill_state(network.state_dict())
        for weight, (change, value) in read(name)["tweak"].items():
            if weight in state:
                state[weight] = (
                    state[weight] * value if change == "mul" else state[weight] * 0 + value
                )
        network.load_state_dict(state)
        made[key] = network.requires_grad_(False).eval()
    return made


def find_edges(box: Box) -> list[int]:
    """Return the edges of a box, as the records have them."""
    return [box.top, box.bottom + 1, box.left, box.right + 1]


def check_game(
    predictor: FocalClick, game: dict[str, Any], image: Image, largest: list[float], pixels: float
) -> None:
    """Compare with a recorded game; `largest` is a tolerance of probabilities for each click."""
    assert zlib.crc32(image.tobytes()) == game["rgb_crc32"], "another decoder: games will differ"
    rows, cols = image.shape[:2]
    steps = game["steps"][: len(largest)]
    clicks = [Click(row, col, bool(positive)) for row, col, positive in (s["click"] for s in steps)]
    answers = play_clicks(predictor, image, clicks)
    for step, answer, tolerance in zip(steps, answers, largest, strict=True):
        last, focus = answer.state.last, answer.state.focus
        assert find_edges(last.box or Box(0, rows - 1, 0, cols - 1)) == step["global_roi"]
        assert find_edges(focus) == step["focus_roi"]
        grid = last.probability[0, 0][(2 * torch.arange(8) + 1) * rows // 16, :][
            :, (2 * torch.arange(8) + 1) * cols // 16
        ]
        wanted = torch.tensor(step["prob_grid"]).reshape(8, 8)
        torch.testing.assert_close(grid, wanted, rtol=0, atol=tolerance)
        mean = float(last.probability.double().mean())
        assert mean == pytest.approx(step["prob_mean"], rel=0, abs=tolerance)
        assert abs(int(answer.mask.sum()) - step["mask_pixels"]) <= pixels


@pytest.mark.parametrize("name", EVERY_IMAGE)
@pytest.mark.parametrize("file", ["probe", "probe_2"])
def test_the_predictor_plays_as_the_published_one(file: str, name: str, image: Image) -> None:
    predictor = build({"segmentor": segment, "refiner": refine}, 256)
    (game,) = (game for game in read(file)["games"] if game["image"] == name)
    check_game(predictor, game, image, [2e-6] * 12, 1)


# Synthetic weights multiply rounding by about eight a click: games computed by other instructions
# (AVX2, AVX-512, SSE) part from each other as far as from the recorded ones. Clicks beyond these
# say nothing.
LARGEST = {
    "hrnet18s_S1": [5e-3] * 6,
    "hrnet18s_S2": [5e-3] * 3 + [2e-2],
    "hrnet32_S2": [5e-3, 1e-2, 5e-2],
}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        pytest.param(file, name, marks=[SLOW] * ((file, name) != ("hrnet18s_S1", "gradient")))
        for file in CARDS
        for name in IMAGES
    ],
)
def test_the_networks_play_as_the_published_ones(file: str, name: str, image: Image) -> None:
    predictor = build(make_networks(file), 256)
    (game,) = (game for game in read(file)["games"] if game["image"] == name)
    pixels = 1e-3 * image.shape[0] * image.shape[1]
    check_game(predictor, game, image, LARGEST[file], pixels)


def test_a_correction_adds_to_the_given_mask_or_removes_from_it() -> None:
    image, none = draw_gradient(), np.zeros((180, 240), bool)
    truth, given = image[:, :, 2] == 220, none.copy()
    given[40:100, 60:150] = True
    sample = Sample("disk#1", image, truth, none, given)
    predictor = build({"segmentor": segment, "refiner": refine}, 256)
    (game,) = play(predictor, [sample], Rules(8, stop_iou=1.01), keep_masks=True)
    before, changes = given, 0
    for click, packed in zip(game.trajectory.clicks, game.masks, strict=True):
        mask = decode_rle(packed)
        changed = mask ^ before
        if changed.any():
            # all added, or all removed, as the click says
            assert changed[click.row, click.col]
            assert (before[changed] == before[click.row, click.col]).all()
            changes += 1
        before = mask
    assert changes > 2
    both, either = game.trajectory.overlap[-1]
    assert both / either > (given & truth).sum() / (given | truth).sum()
