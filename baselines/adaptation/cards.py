"""The cards of IA+SA, which the CSFPN paper prints as IS+SA.

They are adaptive in every mode, since that is a fact of a card and not of an option. So the objects
of a run are always played in order, in one process. `adaptation-lite` plays the network and the
weights of `ritm-lite`, with its zoom-in, flip and previous mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from baselines.cards import LITE_WEIGHTS
from baselines.libraries import find_torch_version
from isbench.lazy_function import LazyFunction
from isbench.nn.backbones.sizes import LITE_SIDES, MINI_SIDES
from isbench.nn.inference.options import OPTIONS
from isbench.training import ClickSampling, recipes
from isbench.training.terms import LITE_TERMS
from isbench.types import ModelCard, Scalar

_ADAPTATION: Mapping[str, Scalar] = {
    "mode": "IA+SA",  # frozen, IA, SA or IA+SA
    "adapt_from": 2,  # the first click with image adaptation
    "image_steps": 4,  # of Adam, at every click
    "image_rate": 1e-5,
    "image_share": 0.9,  # weight of the clicks in the loss; the mask has the rest
    "sequence_steps": 1,  # of Adam, after every object
    "sequence_rate": 1e-6,
    "sequence_share": 0.5,
    "gamma": 0.01,  # weight of the squared distance from the weights before
}
_OPTIONS: Mapping[str, Scalar] = {
    **_ADAPTATION,
    "threshold": 0.5,  # probability above which a pixel belongs to the object
    "overview": OPTIONS["overview"],
    "longest_side": OPTIONS["longest_side"],
}
_WITHOUT_MASK = ClickSampling(iterative=0)  # there is no previous mask to learn


def _make_card(
    name: str,
    what: str,
    trunk: LazyFunction,
    options: Mapping[str, Scalar],
    previous_mask: bool = False,
    **more: Any,
) -> ModelCard:
    return ModelCard(
        f"adaptation-{name}",
        LazyFunction("baselines.adaptation.predictor:build_predictor", (trunk, previous_mask)),
        options,
        LazyFunction("baselines.adaptation.predictor:make_networks", (trunk, previous_mask)),
        summary=f"IA+SA (IS+SA in Table 1) on {what}",
        source="arXiv:1911.12709",
        licence="MIT",
        libraries={"torch": find_torch_version()},
        adaptive=True,
        gradients=True,
        **more,
    )


r101 = _make_card(
    "r101",
    "DeepLabV3+, ResNet-101",
    LazyFunction("isbench.nn.trunk:deeplab", (101, 256)),
    _OPTIONS,
    unreleased="its authors released neither code nor weights",
    recipe=replace(recipes.SBD, multipliers=recipes.DEEPLAB_RATES, click_sampling=_WITHOUT_MASK),
)
mini = _make_card(
    "mini",
    "this project's mini trunk",
    LazyFunction("isbench.nn.backbones.mini:Mini"),
    {**_OPTIONS, "overview": MINI_SIDES["overview"]},
    unreleased="this version ships without trained weights",
    recipe=replace(recipes.MINI, click_sampling=replace(recipes.MINI.click_sampling, iterative=0)),
)
lite = _make_card(
    "lite",
    "EfficientNet-Lite0, the network of ritm-lite",
    LazyFunction("isbench.nn.backbones.lite:LiteTrunk"),
    {**_ADAPTATION, **OPTIONS, **LITE_SIDES},
    previous_mask=True,
    bundled=LITE_WEIGHTS,
    bundled_terms=LITE_TERMS,
)
