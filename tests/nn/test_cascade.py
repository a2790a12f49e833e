"""The cascade: a prediction repeated on its own answer, as CFR's evaluation does it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isbench.errors import IsbenchError
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import list_model_names, load_card
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.options import CASCADE, OPTIONS
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.testing import check_predictor
from isbench.types import Click, LoadedModel, ModelCard, Runtime, Scalar, Turn
from tests.support.networks import load_small

ROWS, COLS = 40, 60
IMAGE = np.zeros((ROWS, COLS, 3), np.uint8)
CLICKS = (Click(20, 30, True), Click(20, 31, True), Click(0, 0, False))


class Growing(nn.Module):
    """Adds `cells` pixels, in row-major order, to the object of the previous mask at every pass."""

    def __init__(self, cells: int, sure: float) -> None:
        super().__init__()
        self.cells, self.sure = cells, sure
        self.seen: list[Tensor] = []  # the previous mask of each pass

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        self.seen.append(inputs[0, 3])
        area = (inputs[:, 3:] > 0.49).sum(dim=(1, 2, 3)) + self.cells
        order = torch.arange(inputs[0, 0].numel()).reshape(1, 1, *inputs.shape[2:])
        inside = order < area[:, None, None, None]
        return (torch.logit(torch.where(inside, self.sure, 0.01)),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return example_image(size), example_points(size, points)


class Spreading(nn.Module):
    """Dilates the previous mask and the disks of positive clicks, so that crops move."""

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        disks = draw_disks(clicks, (inputs.shape[-2], inputs.shape[-1]), 5.0)
        spread = F.max_pool2d(torch.maximum(inputs[:, 3:], disks[:, :1]), 7, 1, 3)
        return (6 * spread - 3 - 6 * disks[:, 1:],)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return example_image(size), example_points(size, points)


def build(network: nn.Module, *, runtime: Runtime, **options: Any) -> CropPredictor:
    made = build_networks(lambda: {"network": network}, runtime)["network"]
    config = make_config(options, Zoom(least=10), runtime)
    return CropPredictor(config, partial(answer_mask_guided, made))


def load(network: nn.Module, **options: Scalar) -> LoadedModel:
    """Return a model of the family around a network."""
    card = ModelCard(
        "repeating", partial(build, network), {**OPTIONS, **CASCADE}, lambda **_: {"n": network}
    )
    settings = {"flip": "off", "longest_side": 0, "zoom": "off", **options}
    return load_model(card, settings, "random", backend="eager")


def make(network: nn.Module, **options: Scalar) -> CropPredictor:
    predictor = build_predictor(load(network, **options))
    assert isinstance(predictor, CropPredictor)
    return predictor


def count_passes(predictor: CropPredictor, network: Growing, clicks: int) -> list[int]:
    """Return the passes of each of the first clicks of a game."""
    state, counts = predictor.start(predictor.begin(IMAGE), None), []
    for k in range(1, clicks + 1):
        network.seen.clear()
        state = predictor.predict([Turn(state, CLICKS[:k])])[0].state
        counts.append(len(network.seen))
    return counts


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, [1, 1, 1]),
        ({"cascade": 1}, [2, 1, 1]),
        ({"cascade": 4}, [5, 1, 1]),
        ({"cascade": 3, "cascade_clicks": 2}, [4, 4, 1]),
        ({"cascade": 3, "cascade_clicks": 0}, [1, 1, 1]),
        ({"cascade_adaptive": "on", "cascade_clicks": 3}, [1, 1, 1]),
    ],
)
def test_games_of_few_clicks_take_the_passes_that_were_asked_for(
    options: dict[str, Scalar], passes: list[int]
) -> None:
    network = Growing(100, 0.99)
    assert count_passes(make(network, **options), network, 3) == passes


def test_each_pass_gets_the_probabilities_of_the_one_before() -> None:
    network = Growing(30, 0.75)
    predictor = make(network, cascade=3)
    state = predictor.start(predictor.begin(IMAGE), None)
    mask, after = predictor.predict([Turn(state, CLICKS[:1])])[0]
    areas = [int((previous > 0.49).sum()) for previous in network.seen]
    assert areas == [0, 30, 60, 90]
    assert network.seen[1].unique().tolist() == pytest.approx([0.01, 0.75])
    assert int((after.probability > 0.49).sum()) == mask.sum() == 120
    assert not state.probability.any()


@pytest.mark.parametrize(("cells", "passes"), [(20, 2), (21, 5)])
def test_the_adaptive_cascade_stops_at_twenty_changed_pixels(cells: int, passes: int) -> None:
    network = Growing(cells, 0.99)
    assert count_passes(make(network, cascade=4, cascade_adaptive="on"), network, 1) == [passes]


def test_the_first_pass_is_compared_with_nothing() -> None:
    network = Growing(0, 0.99)  # it never changes anything
    options = {"cascade": 4, "cascade_clicks": 3, "cascade_adaptive": "on"}
    assert count_passes(make(network, **options), network, 3) == [2, 2, 2]


@pytest.mark.parametrize(("sure", "passes"), [(0.495, 5), (0.485, 2)])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_changes_are_counted_at_049_whatever_the_threshold_of_the_mask(
    sure: float, passes: int, threshold: float
) -> None:
    network = Growing(50, sure)
    predictor = make(network, cascade=4, cascade_adaptive="on", threshold=threshold)
    assert count_passes(predictor, network, 1) == [passes]


def test_changes_are_counted_at_the_size_of_the_image() -> None:
    network = Growing(10, 0.99)  # of 20 x 30 pixels: about 40 of the image's 40 x 60
    options = {"cascade": 4, "cascade_adaptive": "on"}
    assert count_passes(make(network, **options), network, 1) == [2]
    assert count_passes(make(network, longest_side=30, **options), network, 1) == [5]


@pytest.mark.parametrize("zoom", ["on", "off"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_cascade_is_the_plain_predictor_asked_again_with_its_own_state(
    zoom: str, steps: int
) -> None:
    settings: dict[str, Scalar] = {"zoom": zoom, "zoom_target": 64, "flip": "on"}
    plain = make(Spreading(), **settings)
    cascade = make(Spreading(), cascade=steps, cascade_clicks=2, **settings)
    state = cascade.start(cascade.begin(IMAGE), None)
    expected, boxes = plain.start(plain.begin(IMAGE), None), []
    for k in range(1, 4):
        turn = Turn(state, CLICKS[:k])
        mask, state = cascade.predict([turn])[0]
        for _ in range(steps + 1 if k <= 2 else 1):
            wanted, expected = plain.predict([Turn(expected, CLICKS[:k])])[0]
            boxes.append(expected.box)
        assert (mask == wanted).all()
        assert torch.equal(state.probability, expected.probability)
        assert state.box == expected.box
        again = cascade.predict([turn])[0]  # undo, and the same click again
        assert (again.mask == mask).all()
    assert len(set(boxes)) > 1 or zoom == "off" or not steps  # the crop moved between passes


def test_a_global_to_local_prediction_is_repeated_as_a_whole() -> None:
    options: dict[str, Scalar] = {"overview": "48", "flip": "off"}
    plain = build_predictor(load_small("csfpn-mini", **options))
    twice = build_predictor(load_small("csfpn-mini", cascade=1, **options))
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    mask, state = twice.predict([Turn(twice.start(twice.begin(image), None), CLICKS[:1])])[0]
    expected = plain.start(plain.begin(image), None)
    for _ in range(2):
        wanted, expected = plain.predict([Turn(expected, CLICKS[:1])])[0]
    assert (mask == wanted).all()
    assert torch.equal(state.probability, expected.probability)


def test_a_cascade_keeps_the_contract_of_predictors() -> None:
    options = {"cascade": 2, "cascade_clicks": 2, "cascade_adaptive": "on", "zoom": "on"}
    check_predictor(load(Spreading(), **options))


def test_every_card_of_the_family_takes_the_options() -> None:
    family = ("ritm-", "csfpn-", "baseline-", "simpleclick-")
    for name in list_model_names():
        if name.startswith(family):
            card = load_card(name)
            assert {key: card.options[key] for key in CASCADE} == CASCADE
            assert CASCADE.items() <= card.added_options.items()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("cascade", -1, "0 to 100"),
        ("cascade", 101, "0 to 100"),
        ("cascade_clicks", -1, "0 or more"),
    ],
)
def test_an_impossible_number_is_refused(name: str, value: int, wanted: str) -> None:
    with pytest.raises(IsbenchError, match=rf"option {name} is {value}; wanted {wanted}"):
        build_predictor(load_small("ritm-mini", **{name: value}))
