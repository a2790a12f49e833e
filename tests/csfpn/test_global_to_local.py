"""CSFPN at work: its switches, and the whole picture before the enlarged box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from csfpn.predictor import (
    PAPER,
    RELEASED,
    answer_first_globally,
    answer_global_to_local,
)
from isbench.errors import IsbenchError
from isbench.models.predictor import build_predictor
from isbench.nn.inference.predictor import CropPredictor, InferenceConfig
from isbench.nn.inference.zoom_in import Box, Zoom
from isbench.types import Click, LoadedModel, Turn
from tests.support.networks import SMALL, eager, load_small, make_object, masks


def test_without_graphs_and_g2l_csfpn_is_the_base_segmenter(bs: Path) -> None:
    off = {"sgm": "off", "hsgm": "off", "g2l": "off"}
    models = [
        eager(name, str(bs), **{**SMALL, **options})
        for name, options in (("csfpn-mini", off), ("ritm-mini", {}))
    ]
    answers = [masks(model, make_object((40, 60))) for model in models]
    for csfpn, ritm in zip(*answers, strict=True):
        assert (csfpn == ritm).all()


def test_the_switches_choose_how_to_zoom() -> None:
    def way(model: LoadedModel) -> tuple[Any, Any]:
        built: Any = build_predictor(model)
        return built.answer.func, replace(built.config.zoom, target=400)

    assert way(load_small("csfpn-mini")) == (answer_global_to_local, PAPER)
    assert way(load_small("csfpn-hrnet18", released="on")) == (answer_global_to_local, RELEASED)
    assert way(load_small("csfpn-mini", g2l="off")) == way(load_small("ritm-mini"))


def test_the_released_pair_passes_over_the_whole_image_at_every_click() -> None:
    with pytest.raises(IsbenchError, match="wanted global_clicks=0"):
        build_predictor(load_small("csfpn-hrnet18", released="on", global_clicks=1))


class Pass(NamedTuple):
    """What a stand-in network was shown."""

    network: str
    size: tuple[int, int]
    previous: torch.Tensor  # (h, w)


class Stub:
    """A network that calls `answer` for its logits and remembers its passes in `seen`."""

    def __init__(self, name: str, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.name, self.answer = name, answer

    def __call__(self, inputs: torch.Tensor, clicks: torch.Tensor) -> tuple[torch.Tensor]:
        seen.append(Pass(self.name, tuple(inputs.shape[-2:]), inputs[0, 3]))  # type: ignore[arg-type]
        return (self.answer(inputs),)


seen: list[Pass] = []


def like_bright(logit: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda inputs: logit * (2 * (inputs[:, :1] > 0.5).float() - 1)


def nothing(inputs: torch.Tensor) -> torch.Tensor:
    return torch.full_like(inputs[:, :1], -8.0)


def g2l(
    whole: Callable[[torch.Tensor], torch.Tensor], view: InferenceConfig, released: bool = False
) -> tuple[CropPredictor, Any]:
    """Return global to local around stand-ins, and its state on an image with a bright box."""
    pair = Stub("whole", whole), Stub("crop", like_bright(4.0))
    predictor = CropPredictor(view, partial(answer_global_to_local, pair, released))
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:30, 30:50] = 255
    seen.clear()
    return predictor, predictor.start(predictor.begin(image), None)


ON_OBJECT = (Click(25, 40, True),)


def crops(zoom: Zoom) -> InferenceConfig:
    return InferenceConfig(replace(zoom, target=48), flip=False)


def with_global_clicks(predictor: CropPredictor, count: int) -> CropPredictor:
    guided = Stub("guided", like_bright(4.0)), count, crops(Zoom(least=0))
    return replace(predictor, answer=partial(answer_first_globally, predictor.answer, *guided))


def play_clicks(predictor: CropPredictor, state: Any, count: int) -> list[str]:
    """Return which networks answered some clicks on the object, in order."""
    for number in range(count):
        state = predictor.predict([Turn(state, ON_OBJECT * (number + 1))])[0].state
    return [one.network for one in seen]


def test_only_the_first_clicks_pass_over_the_whole_image_if_so_wanted() -> None:
    predictor, state = g2l(like_bright(8.0), crops(PAPER))
    answered = play_clicks(with_global_clicks(predictor, 2), state, 4)
    assert answered == ["whole", "crop", "whole", "crop", "guided", "guided"]
    assert seen[4].size == (25, 48)  # the object and 1.4 times its box, as it was last answered


def test_while_no_object_is_found_all_clicks_pass_over_the_whole_image() -> None:
    predictor, state = g2l(nothing, crops(PAPER))
    assert play_clicks(with_global_clicks(predictor, 1), state, 3) == ["whole"] * 3


def test_global_to_local_looks_at_the_whole_and_then_at_the_enlarged_box() -> None:
    predictor, state = g2l(like_bright(8.0), crops(PAPER))
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    # rows 20..29 about 24.5 by 1.4 * 10, columns 30..49 about 39.5 by 1.4 * 20, even rounding
    assert list(answer.state.box) == [18, 32, 26, 54]
    assert [(one.network, one.size) for one in seen] == [("whole", (60, 80)), ("crop", (25, 48))]
    assert answer.mask[20:30, 30:50].all()
    assert not answer.mask[:18].any()


def test_the_pass_over_the_crop_is_given_the_first_ones_map() -> None:
    predictor, state = g2l(like_bright(8.0), crops(PAPER))
    state = predictor.predict([Turn(state, ON_OBJECT)])[0].state
    predictor.predict([Turn(state, (*ON_OBJECT, Click(0, 0, False)))])
    first_whole, first_crop, second_whole, second_crop = (one.previous for one in seen)
    assert first_whole.max() == 0
    # sigmoid(8), the whole pass's, in both crops; sigmoid(4), the answer, in the second whole pass
    assert float(first_crop.max()) == pytest.approx(0.99966, abs=1e-4)
    assert float(second_crop.max()) == pytest.approx(0.99966, abs=1e-4)
    assert float(second_whole.max()) == pytest.approx(0.98201, abs=1e-4)


def test_the_box_is_renewed_at_every_click() -> None:
    predictor, state = g2l(like_bright(8.0), crops(PAPER))
    first = predictor.predict([Turn(state, ON_OBJECT)])[0].state
    further = (*ON_OBJECT, Click(31, 52, True))  # inside the first box
    second = predictor.predict([Turn(first, further)])[0].state
    assert list(second.box) == [17, 34, 25, 57]  # rows 20..31, columns 30..52


def test_released_boxes_are_larger_around_smaller_objects() -> None:
    predictor, state = g2l(like_bright(8.0), crops(RELEASED), released=True)
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    ratio = 2.5 - 4 * (9 * 19 / (60 * 80)) ** 0.5
    rows, cols = ratio * 10 / 2, ratio * 20 / 2
    wanted = [24.5 - rows, 24.5 + rows, 39.5 - cols, 39.5 + cols]
    assert list(answer.state.box) == [round(edge) for edge in wanted]


def test_where_the_whole_shows_no_object_its_answer_stands() -> None:
    predictor, state = g2l(nothing, crops(PAPER))
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    assert [one.network for one in seen] == ["whole"]
    assert answer.state.box is None
    assert not answer.mask.any()


def test_released_looks_again_at_all_and_answers_into_its_last_box() -> None:
    predictor, state = g2l(nothing, crops(RELEASED), released=True)
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    assert [(one.network, one.size) for one in seen] == [("whole", (60, 80)), ("crop", (60, 80))]
    assert answer.mask[20:30, 30:50].all()  # no box yet: the answer is the crop network's
    stale = state._replace(box=Box(10, 39, 20, 59))
    answer = predictor.predict([Turn(stale, ON_OBJECT)])[0]
    assert answer.state.box == stale.box
    assert not answer.mask[:10].any()  # the whole picture was pasted into the box
    assert answer.mask[10:40, 20:60].any()


def test_an_overview_is_of_its_size_and_its_answer_of_the_images() -> None:
    predictor, state = g2l(like_bright(8.0), replace(crops(PAPER), overview=40))
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    assert seen[0].size == (30, 40)
    assert answer.mask.shape == (60, 80)
    assert answer.mask[22:28, 32:48].all()


def test_without_zoom_the_whole_is_looked_at_alone() -> None:
    predictor, state = g2l(like_bright(8.0), InferenceConfig(None, flip=False))
    predictor.predict([Turn(state, ON_OBJECT)])
    assert [(one.network, one.size) for one in seen] == [("whole", (60, 80))]


def test_released_takes_two_networks_and_all_switches() -> None:
    model = load_small("csfpn-hrnet18", released="on")
    predictor: Any = build_predictor(model)
    first, second = predictor.answer.args[0]
    assert first is not second
    assert not torch.equal(first.maps_transform[0].weight, second.maps_transform[0].weight)
    assert masks(model, make_object((24, 32)), 2)[1].shape == (24, 32)
    with pytest.raises(IsbenchError, match="needs sgm, hsgm and g2l on"):
        build_predictor(load_small("csfpn-hrnet18", released="on", sgm="off"))
