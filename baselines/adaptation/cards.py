"""The cards of IA+SA, which the CSFPN paper prints as IS+SA.

They are adaptive in every mode: a card cannot tell by an option. So the objects of a run are always
played in order, in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

from baselines.adaptation.predictor import build_predictor, make_networks
from isbench.nn.backbones.mini import SIDES, Mini
from isbench.nn.inference.predictor import OPTIONS
from isbench.nn.trunk import Trunk, deeplab
from isbench.training import ClickSampling, recipes
from isbench.types import ModelCard, Scalar

_OPTIONS: Mapping[str, Scalar] = {
    "mode": "IA+SA",  # frozen, IA, SA or IA+SA
    "adapt_from": 2,  # the first click with image adaptation
    "image_steps": 4,  # of Adam, at every click
    "image_rate": 1e-5,
    "image_share": 0.9,  # weight of the clicks in the loss; the mask has the rest
    "sequence_steps": 1,  # of Adam, after every object
    "sequence_rate": 1e-6,
    "sequence_share": 0.5,
    "gamma": 0.01,  # weight of the squared distance from the weights before
    "threshold": 0.5,  # probability above which a pixel belongs to the object
    "overview": OPTIONS["overview"],
    "longest_side": OPTIONS["longest_side"],
}
_WITHOUT_MASK = ClickSampling(iterative=0)  # there is no previous mask to learn


def _card(name: str, what: str, trunk: Callable[[], Trunk], **more: Any) -> ModelCard:
    return ModelCard(
        f"adaptation-{name}",
        partial(build_predictor, trunk),
        {**_OPTIONS, **more.pop("options", {})},
        partial(make_networks, trunk),
        summary=f"IA+SA (IS+SA in Table 1) on {what}",
        source="arXiv:1911.12709",
        licence="MIT",
        libraries={"torch": version("torch").partition("+")[0]},
        adaptive=True,
        gradients=True,
        **more,
    )


r101 = _card(
    "r101",
    "DeepLabV3+, ResNet-101",
    partial(deeplab, 101, 256),
    unreleased="its authors released neither code nor weights",
    recipe=replace(recipes.SBD, multipliers=recipes.DEEPLAB_RATES, click_sampling=_WITHOUT_MASK),
)
mini = _card(
    "mini",
    "this project's mini trunk",
    Mini,
    options={"overview": SIDES["overview"]},
    unreleased="this version ships without trained weights",
    recipe=replace(recipes.MINI, click_sampling=replace(recipes.MINI.click_sampling, iterative=0)),
)
