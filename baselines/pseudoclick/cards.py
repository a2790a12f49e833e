"""The cards of PseudoClick."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from baselines.libraries import find_torch_version
from isbench.lazy_function import LazyFunction
from isbench.nn.backbones.sizes import LITE_SIDES, MINI_SIDES, W18
from isbench.nn.inference.options import OPTIONS
from isbench.training import recipes
from isbench.types import ModelCard

_RULE = {
    "pseudo_clicks": 1,  # most after each click of the user
    "pseudo_radius": 5.0,  # of their disks, in input pixels
    "min_radius": 0.0,  # predicted errors that are nowhere deeper get none, in pixels
    "forget": False,  # drop them at the next click of the user
}
_UNTRAINED = "this version ships without trained weights"


def _make_card(name: str, what: str, networks: LazyFunction, **more: Any) -> ModelCard:
    return ModelCard(
        f"pseudoclick-{name}",
        LazyFunction("baselines.pseudoclick.predictor:build_predictor", (networks,)),
        {**OPTIONS, **_RULE, **more.pop("options", {})},
        networks,
        summary=f"PseudoClick on {what}",
        source="arXiv:2207.05282",
        licence="MIT",
        libraries={"torch": find_torch_version()},
        **more,
    )


def _on(trunk: LazyFunction) -> LazyFunction:
    return LazyFunction("baselines.pseudoclick.network:make_networks", (trunk,))


# RITM's recipe for SBD [its code]; the error head has no pretrained weights and learns at full rate
hrnet18 = _make_card(
    "hrnet18",
    "HRNet-18 with OCR",
    _on(LazyFunction("isbench.nn.backbones.hrnet:HRNet", (W18,))),
    unreleased="its authors released neither code nor weights",
    recipe=replace(recipes.SBD, epochs=220, milestones=(200, 215), multipliers=recipes.HRNET_RATES),
)
mini = _make_card(
    "mini",
    "this project's mini trunk",
    _on(LazyFunction("isbench.nn.backbones.mini:Mini")),
    options=MINI_SIDES,
    unreleased=_UNTRAINED,
    recipe=recipes.MINI,
)
# only the user's clicks in training, and the loss of the error head in addition
lite = _make_card(
    "lite",
    "EfficientNet-Lite0",
    LazyFunction("baselines.pseudoclick.network:make_lite_networks"),
    options=LITE_SIDES,
    unreleased=_UNTRAINED,
    recipe=recipes.LITE_TUNED,
)
