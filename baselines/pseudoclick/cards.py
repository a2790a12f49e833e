"""The cards of PseudoClick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

from baselines.pseudoclick.network import make_lite_networks, make_networks
from baselines.pseudoclick.predictor import build_predictor
from isbench.nn.backbones.hrnet import W18, HRNet
from isbench.nn.backbones.lite import SIDES as LITE_SIDES
from isbench.nn.backbones.mini import SIDES, Mini
from isbench.nn.inference.predictor import OPTIONS
from isbench.nn.network import Networks
from isbench.training import recipes
from isbench.types import ModelCard

_RULE = {
    "pseudo_clicks": 1,  # most after each click of the user
    "pseudo_radius": 5.0,  # of their disks, in input pixels
    "min_radius": 0.0,  # predicted errors that are nowhere deeper get none, in pixels
    "forget": False,  # drop them at the next click of the user
}
_UNTRAINED = "this version ships without trained weights"


def _card(name: str, what: str, networks: Callable[..., Networks], **more: Any) -> ModelCard:
    return ModelCard(
        f"pseudoclick-{name}",
        partial(build_predictor, networks),
        {**OPTIONS, **_RULE, **more.pop("options", {})},
        networks,
        summary=f"PseudoClick on {what}",
        source="arXiv:2207.05282",
        licence="MIT",
        libraries={"torch": version("torch").partition("+")[0]},
        **more,
    )


# RITM's recipe for SBD [its code]; the error head has no pretrained weights and learns at full rate
hrnet18 = _card(
    "hrnet18",
    "HRNet-18 with OCR",
    partial(make_networks, partial(HRNet, W18)),
    unreleased="its authors released neither code nor weights",
    recipe=replace(recipes.SBD, epochs=220, milestones=(200, 215), multipliers=recipes.HRNET_RATES),
)
mini = _card(
    "mini",
    "this project's mini trunk",
    partial(make_networks, Mini),
    options=SIDES,
    unreleased=_UNTRAINED,
    recipe=recipes.MINI,
)
# only the user's clicks in training, and the loss of the error head in addition
lite = _card(
    "lite",
    "EfficientNet-Lite0",
    make_lite_networks,
    options=LITE_SIDES,
    unreleased=_UNTRAINED,
    recipe=recipes.LITE_TUNED,
)
