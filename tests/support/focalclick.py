"""FocalClick around stand-ins: no weights, or a network that takes no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.focalclick.network import make_networks
from baselines.focalclick.predictor import ZOOM, FocalClick
from baselines.focalclick.versions import S2
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.sizes import Sizes
from isbench.nn.inference.predictor import InferenceConfig
from isbench.nn.inference.zoom_in import Zoom
from isbench.types import Click, Image, Mask, Prediction, Turn
from tests.support.synthetic import fill_state

TINY = Sizes(width=4, ocr=8, bottlenecks=1, blocks=1, modules=(1, 1, 1))


def build(networks: Mapping[str, Any], side: int) -> FocalClick:
    """Return the predictor of the published settings around any networks."""
    return FocalClick(
        networks, Zoom(side, square=True), InferenceConfig(ZOOM, flip=False, threshold=0.50)
    )


def build_tiny(side: int = 32) -> FocalClick:
    """Return the predictor around a tiny network, its answers neither empty nor full."""
    networks = make_networks(partial(HRNet, TINY), S2)
    for network in networks.values():
        network.load_state_dict(fill_state(network.state_dict()))
        network.requires_grad_(False).eval()
    networks["segmentor"].get_submodule("feature_extractor.cls_head").weight *= 20  # type: ignore[operator]
    networks["segmentor"].get_submodule("feature_extractor.cls_head").bias.fill_(-9)  # type: ignore[operator]
    return build(networks, side)


@dataclass
class Scripted:
    """Networks with given answers, kept as they were called: the refiner returns its logits."""

    answers: list[Tensor]  # of the segmentor in turn, (side, side) logits
    seen: list[tuple[Tensor, ...]] = field(default_factory=list)  # inputs of the segmentor
    refined: list[tuple[Tensor, ...]] = field(default_factory=list)  # inputs of the refiner
    refine: Callable[[Tensor], Tensor] = lambda logits: logits

    def networks(self) -> Mapping[str, Any]:
        return {"segmentor": self._segment, "refiner": self._refine}

    def _segment(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.answers[len(self.seen)][None, None]
        self.seen.append((inputs, clicks))
        return logits, logits[..., ::4, ::4]

    def _refine(self, *inputs: Tensor) -> tuple[Tensor]:
        self.refined.append(inputs)
        return (self.refine(inputs[3]),)


def play_clicks(
    predictor: FocalClick, image: Image, clicks: list[Click], initial: Mask | None = None
) -> list[Prediction]:
    """Return the answer to every click of a game."""
    state: Any = predictor.start(predictor.begin(image), initial)
    answers = []
    for count in range(1, len(clicks) + 1):
        answers.extend(predictor.predict([Turn(state, tuple(clicks[:count]))]))
        state = answers[-1].state
    return answers


def blank_image(rows: int, cols: int) -> Image:
    """Return an image without content."""
    return np.zeros((rows, cols, 3), np.uint8)


def fill_box(rows: slice, cols: slice, side: int, level: float = 4.0) -> Tensor:
    """Return (side, side) logits that are `level` in a box and below 0 elsewhere."""
    logits = torch.full((side, side), -4.0)
    logits[rows, cols] = level
    return logits
