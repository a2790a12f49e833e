"""FCA-Net equal to the official network and predictor; laws of its clicks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from baselines.fcanet.network import FcaNetwork
from baselines.fcanet.predictor import FcaNet, State
from baselines.views import scale_to_short_side
from isbench.errors import IsbenchError
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.nn.backbones.deeplab16 import Block
from isbench.nn.backbones.res2net import Res2Block
from isbench.nn.backbones.resnet import Bottleneck
from isbench.testing import check_predictor
from isbench.types import Click, Mask, ModelCard, Runtime, Turn
from tests.support.official_games import (
    GRADIENT,
    build_synthetic,
    check_probabilities,
    describe_keys,
    find_game,
    list_turns,
    load_image,
    read_golden,
)
from tests.support.official_networks import check
from tests.support.synthetic import draw_picture

BLOCKS: dict[str, Block] = {"fcanet_resnet": Bottleneck, "fcanet_res2net": Res2Block}


def probe(image: Tensor, positive: Tensor, negative: Tensor, first: Tensor) -> tuple[Tensor]:
    """Answer without weights, as in the official games."""
    near = 5 * torch.exp(-(positive**2) / (2 * 60**2)) + 3 * torch.exp(-(first**2) / (2 * 90**2))
    far = 6 * torch.exp(-(negative**2) / (2 * 30**2))
    return (near - far - 4 + 3 * image.mean(dim=1, keepdim=True),)


def make_predictor(size: int = 512, sis: bool = False, network: Any = probe) -> FcaNet:
    return FcaNet(network, Runtime(), size, 0.5, sis)


def answer(predictor: FcaNet, image: Any, clicks: tuple[Click, ...], initial: Mask | None) -> Mask:
    state = predictor.start(predictor.begin(image), initial)
    return predictor.predict([Turn(state, clicks)])[0].mask


@pytest.mark.parametrize("name", BLOCKS)
def test_the_keys_are_those_of_the_official_checkpoint(name: str) -> None:
    assert describe_keys(partial(FcaNetwork, BLOCKS[name])) == read_golden("manifests/fcanet")[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_the_network_answers_as_the_official_one(name: str) -> None:
    network = build_synthetic(partial(FcaNetwork, BLOCKS[name]))
    entry = read_golden("networks/fcanet")[name]
    assert sum(one.numel() for one in network.parameters()) == entry["params"]
    distances = [draw_picture(1, 64, 96, k) * (80 if k == 3 else 40) for k in (1, 2, 3)]
    with torch.inference_mode():
        (logits,) = network(draw_picture(3, 64, 96), *distances)
    check(logits, entry["logits"])


def play_official_game(name: str, data: Path | None) -> None:
    game = find_game("fcanet_probe", name)
    image = load_image(game, data)
    plain, selecting = make_predictor(), make_predictor(sis=True)
    state = plain.start(plain.begin(image), None)
    for clicks, wanted in list_turns(game):
        ((mask, state),) = plain.predict([Turn(state, clicks)])
        check_probabilities(state.probability, wanted, 1e-5)
        assert abs(np.count_nonzero(mask) - wanted["mask_pixels"]) <= 2
        selected = selecting.predict([Turn(state, clicks)])[0].mask
        assert abs(np.count_nonzero(selected) - wanted["sis_mask_pixels"]) <= 2


def test_a_game_is_the_official_one() -> None:
    play_official_game(GRADIENT, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GrabCut/106024", "DAVIS/000"])
def test_games_on_photographs_are_the_official_ones(name: str, real_data: Path) -> None:
    play_official_game(name, real_data)


def test_a_click_moves_by_the_quotient_of_the_sizes() -> None:
    assert 25 * 609 / 75 == 203  # but 25 * (609 / 75), as the original computes, is below
    seen: list[Tensor] = []

    def record(image: Tensor, *distances: Tensor) -> tuple[Tensor]:
        seen.extend(distances)
        return probe(image, *distances)

    image = np.zeros((63, 75, 3), np.uint8)
    answer(make_predictor(network=record), image, (Click(0, 25, True),), None)
    size = seen[0].shape[-2:]
    assert size == (512, 609)
    assert np.unravel_index(int(seen[0].argmin()), size) == (0, 202)


SHAPE = (20, 30)
CLICK = st.builds(Click, st.integers(0, 19), st.integers(0, 29), st.booleans())


@settings(max_examples=20)
@given(st.lists(CLICK, min_size=1, max_size=5), st.lists(CLICK, min_size=1, max_size=5))
def test_an_answer_depends_on_the_clicks_only(first: list[Click], then: list[Click]) -> None:
    predictor = make_predictor(size=40)
    image = draw_picture(3, *SHAPE)[0].permute(1, 2, 0).mul(255).byte().numpy()
    start = predictor.start(predictor.begin(image), None)
    after: State = predictor.predict([Turn(start, tuple(first))])[0].state
    fresh, later = predictor.predict([Turn(start, tuple(then)), Turn(after, tuple(then))])
    assert np.array_equal(fresh.mask, later.mask)
    assert np.array_equal(fresh.state.probability, later.state.probability)


@settings(max_examples=20)
@given(st.lists(CLICK, min_size=1, max_size=5))
def test_selection_keeps_the_parts_with_a_positive_click(clicks: list[Click]) -> None:
    def islands(image: Tensor, *_: Tensor) -> tuple[Tensor]:
        return (image[:, :1] * 20 - 10,)

    image = np.zeros((*SHAPE, 3), np.uint8)
    image[2:8, 3:9] = image[2:8, 15:22] = image[12:18, 5:25] = 255
    parts = [np.zeros(SHAPE, bool) for _ in range(3)]
    parts[0][2:8, 3:9] = parts[1][2:8, 15:22] = parts[2][12:18, 5:25] = True
    plain, selecting = (make_predictor(20, sis, islands) for sis in (False, True))
    whole = np.any(parts, axis=0)
    assert np.array_equal(answer(plain, image, tuple(clicks), None), whole)
    wanted = np.zeros(SHAPE, bool)
    for row, col, positive in clicks:
        for part in parts:
            if positive and part[row, col]:
                wanted |= part
    assert np.array_equal(answer(selecting, image, tuple(clicks), None), wanted)


def test_an_initial_mask_stands_for_a_first_click_at_its_deepest_pixel() -> None:
    image, mask = np.zeros((*SHAPE, 3), np.uint8), np.zeros(SHAPE, bool)
    mask[4:9, 6:11] = True
    predictor, later = make_predictor(), (Click(15, 20, False),)
    given_mask = answer(predictor, image, later, mask)
    assert np.array_equal(given_mask, answer(predictor, image, (Click(6, 8, True), *later), None))
    assert not np.array_equal(given_mask, answer(predictor, image, later, None))
    empty = answer(predictor, image, later, np.zeros(SHAPE, bool))
    assert np.array_equal(empty, answer(predictor, image, later, None))


def test_the_first_positive_click_is_the_one_with_a_branch() -> None:
    image, first = np.zeros((*SHAPE, 3), np.uint8), Click(15, 20, False)
    others = (Click(3, 4, True), Click(10, 12, True))
    predictor = make_predictor()
    one, two = (answer(predictor, image, c, None) for c in ((first, *others), (*others, first)))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3, 5), (2, 900)])
def test_small_and_narrow_images_are_answered(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 200, np.uint8)
    clicks = (Click(shape[0] - 1, shape[1] - 1, True), Click(0, 0, False))
    assert answer(make_predictor(), image, clicks, None).shape == shape


def test_a_strip_is_at_most_4096_pixels_long_as_the_network_sees_it() -> None:
    assert scale_to_short_side((10, 900), 512) == (45, 4096)
    assert scale_to_short_side((321, 481), 512) == (512, 767)


def test_the_predictor_keeps_the_contract() -> None:
    check_predictor(ModelCard("fca-probe", lambda: make_predictor(size=64, sis=True)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, "option size is 0; wanted from 1 to 4096 pixels"),
        ({"threshold": 1.0}, "option threshold is 1.0; wanted above 0 and below 1"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        replace(make_predictor(), **options)


@pytest.mark.slow
def test_weights_of_the_other_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fcanet-resnet.pth"
    torch.save(FcaNetwork(Bottleneck).state_dict(), path)
    build_predictor(load_model("fcanet-r101", weights=str(path), backend="eager"))
    with pytest.raises(IsbenchError, match=r"are for another network: missing keys: backbone_pre"):
        build_predictor(load_model("fcanet-res2net101", weights=str(path), backend="eager"))
