"""Networks as models: games that no sharding changes, odd images, CDNet's square."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from baselines import cdnet
from isbench.errors import IsbenchError
from isbench.evaluation.engine import play
from isbench.evaluation.runner import Silent, run
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.nn.clickmaps import mirror_points
from isbench.nn.inference.passes import compute_answers
from isbench.nn.inference.predictor import (
    CropPredictor,
    InferenceConfig,
    answer_mask_guided,
    crop_inputs,
)
from isbench.nn.inference.zoom_in import Box
from isbench.nn.stem import resize_bilinear
from isbench.types import Click, Rules, Turn
from tests.support import toys
from tests.support.networks import (
    SMALL,
    build_open_predictor,
    eager,
    load_small,
    make_object,
    masks,
)

Isbench = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini"])
def test_batches_never_change_a_trajectory(name: str) -> None:
    rules, samples = Rules(3, 1.01), [toys.blob(k) for k in range(6)]
    predictor = build_open_predictor(load_small(name))
    alone = [game.trajectory for game in play(predictor, samples, rules)]
    together = [game.trajectory for game in play(predictor, samples, rules, batch=4)]
    assert sorted(alone, key=lambda t: t.key) == sorted(together, key=lambda t: t.key)


def test_two_workers_play_what_one_plays(tmp_path: Path) -> None:
    card, rules = load_small("csfpn-mini"), Rules(3, 1.01)
    files = [
        run(card, toys.blobs(6), rules, out=tmp_path / str(n), workers=n, watch=Silent()).path
        for n in (1, 2)
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def compare_stacked(device: str) -> float:
    """Return the largest difference of probabilities between passes stacked and one by one."""
    predictor, turns = build_open_predictor(eager("csfpn-mini", device=device, **SMALL)), []
    for k in range(4):
        state = predictor.start(predictor.begin(toys.blob(k).image), None)
        turns.append(Turn(state, (Click(5, 5 + k, True), *[Click(1, k, False)] * (k % 3))))
    found = [
        [
            one.state.probability
            for one in compute_answers(list(map(predictor.passes, turns)), stack)
        ]
        for stack in (False, True)
    ]
    return max(float((one - at_once).abs().max()) for one, at_once in zip(*found, strict=True))


def test_stacked_passes_answer_as_single_ones() -> None:
    assert compare_stacked("cpu") < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_stacked_passes_answer_as_single_ones_on_a_gpu() -> None:
    difference = compare_stacked("cuda")
    print(f"stacked passes differ from single ones by {difference:.2g} in probability")
    assert difference < 1e-3


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini", "ritm-hrnet18s", "cdnet-r34"])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3, 5), (7, 33)])
def test_images_smaller_than_the_stride_are_answered(name: str, shape: tuple[int, int]) -> None:
    options = {"size": "48"} if name == "cdnet-r34" else SMALL
    (game,) = play(
        build_open_predictor(eager(name, **options)), [make_object(shape)], Rules(3, 1.01)
    )
    assert len(game.trajectory.clicks) == 3


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini", "baseline-lite-fdm"])
def test_a_game_of_a_hundred_clicks_is_played(name: str) -> None:
    (game,) = play(
        build_open_predictor(load_small(name)), [make_object((24, 32))], Rules(100, 1.01)
    )
    assert len(game.trajectory.clicks) == 100


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini", "cdnet-r34"])
def test_a_large_photograph_is_seen_smaller_and_answered_at_its_size(name: str) -> None:
    predictor = build_predictor(eager(name, longest_side=32))
    picture = predictor.begin(make_object((60, 90)).image)
    assert picture.pixels.shape == (1, 3, 21, 32)
    answer = predictor.predict([Turn(predictor.start(picture, None), (Click(59, 89, True),))])[0]
    assert answer.mask.shape == (60, 90)


def test_what_is_seen_smaller_stays_where_it_is() -> None:
    bands = np.zeros((512, 512, 3), np.uint8)
    bands[:, 8:120] = bands[:, 392:504] = 255

    def bright_ones(inputs: torch.Tensor, clicks: torch.Tensor) -> tuple[torch.Tensor]:
        return (20 * (inputs[:, :1] - 0.5),)

    predictor = CropPredictor(
        InferenceConfig(flip=False, longest_side=64), partial(answer_mask_guided, bright_ones)
    )
    state = predictor.start(predictor.begin(bands), None)
    mask = predictor.predict([Turn(state, (Click(9, 9, True),))])[0].mask
    ends = np.flatnonzero(np.diff(mask[256].astype(int)))
    assert np.abs(ends - [7, 119, 391, 503]).max() <= 1


def test_an_initial_mask_is_what_a_game_starts_from() -> None:
    sample = make_object((30, 40))
    predictor = build_predictor(load_small("ritm-mini"))
    state = predictor.start(predictor.begin(sample.image), sample.truth)
    assert (state.probability[0, 0].numpy() == sample.truth).all()


def test_cdnet_sees_a_square_and_diffuses_the_mean_of_both_mirror_images() -> None:
    predictor: Any = build_predictor(eager("cdnet-r34", size=48))
    networks = predictor.answer.args[0]
    state = predictor.start(predictor.begin(make_object((40, 60)).image), None)
    (answer,) = predictor.predict([Turn(state, (Click(20, 30, True),))])
    inputs, table = crop_inputs(
        state.picture.pixels, [Click(20, 30, True)], Box(0, 39, 0, 59), (48, 48)
    )
    with torch.inference_mode():
        (pair,) = networks["network"](
            torch.cat([inputs, inputs.flip(3)]), torch.cat([table, mirror_points(table, 48)])
        )
        mean = (pair[:1] + pair[1:].flip(3)) / 2
        (refined,) = networks["refinement"](inputs, table, mean)
        wanted = resize_bilinear(torch.sigmoid(refined), (40, 60))
    assert torch.allclose(answer.state.probability, wanted, atol=1e-5)
    assert (answer.mask == (wanted[0, 0] > 0.5).numpy()).all()
    assert predictor.config.threshold == 0.5


def test_cdnets_box_is_renewed_at_every_click_and_may_be_small() -> None:
    zoom = replace(cdnet.ZOOM, target=48)
    mask = np.zeros((200, 300), bool)
    mask[50:54, 60:64] = True
    clicks = (Click(51, 61, True), Click(52, 62, True))
    box = zoom.box(mask, clicks, None)
    assert box == Box(46, 56, 56, 66)  # 1.4 * 4 is below 10: 10 about 51.5 and 61.5, even rounding
    mask[50:54, 60:65] = True
    assert zoom.box(mask, clicks, box) != box  # RITM would keep it
    assert zoom.box(mask, clicks[:1], None) is None


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_the_precision_answers_too(precision: str) -> None:
    model = load_model("csfpn-mini", SMALL, "random", device="cpu", precision=precision)
    assert all(mask.shape == (24, 32) for mask in masks(model, make_object((24, 32))))


def test_the_threads_of_torch_are_given_back() -> None:
    before = torch.get_num_threads()
    masks(load_small("ritm-mini"), make_object((24, 32)), 1)
    assert torch.get_num_threads() == before


def test_a_picture_of_one_row_is_read_and_played(tmp_path: Path, isbench: Isbench) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "masks").mkdir()
    row = np.zeros((1, 50, 3), np.uint8)
    row[:, 10:30] = 200
    cv2.imwrite(str(tmp_path / "set" / "images" / "row.png"), row)
    cv2.imwrite(str(tmp_path / "set" / "masks" / "row.png"), row[..., 0])
    asked = ["--weights", "random", "--max-clicks", 3, "--out", tmp_path / "runs"]
    code, _, said = isbench(
        "run", "--model", "csfpn-mini", "--dataset", f"folder:{tmp_path / 'set'}", *asked
    )
    assert code == 0, said


def test_outputs_that_are_not_numbers_blame_the_weights() -> None:
    def nothing(*inputs: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.full_like(inputs[0][:, :1], torch.nan),)

    predictor = CropPredictor(InferenceConfig(flip=False), partial(answer_mask_guided, nothing))
    with pytest.raises(IsbenchError, match="output is not a number"):
        list(play(predictor, [make_object((24, 32))], Rules(2)))
