"""The cards of IA+SA, which the CSFPN paper prints as IS+SA.

They are adaptive in every mode, since that is a fact of a card and not of an option. So the objects
of a run are always played in order, in one process. `adaptation-lite` plays the network and the
weights of `ritm-lite`, with its zoom-in, flip and previous mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

from baselines.adaptation.predictor import build_predictor, make_networks
from baselines.cards import LITE_UNRELEASED, LITE_WEIGHTS
from isbench.nn.backbones.lite import SIDES as LITE_SIDES
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.backbones.mini import SIDES, Mini
from isbench.nn.inference.predictor import OPTIONS
from isbench.nn.trunk import Trunk, deeplab
from isbench.training import ClickSampling, recipes
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


def _card(
    name: str,
    what: str,
    trunk: Callable[[], Trunk],
    options: Mapping[str, Scalar],
    previous_mask: bool = False,
    **more: Any,
) -> ModelCard:
    return ModelCard(
        f"adaptation-{name}",
        partial(build_predictor, trunk, previous_mask),
        options,
        partial(make_networks, trunk, previous_mask),
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
    _OPTIONS,
    unreleased="its authors released neither code nor weights",
    recipe=replace(recipes.SBD, multipliers=recipes.DEEPLAB_RATES, click_sampling=_WITHOUT_MASK),
)
mini = _card(
    "mini",
    "this project's mini trunk",
    Mini,
    {**_OPTIONS, "overview": SIDES["overview"]},
    unreleased="this version ships without trained weights",
    recipe=replace(recipes.MINI, click_sampling=replace(recipes.MINI.click_sampling, iterative=0)),
)
lite = _card(
    "lite",
    "EfficientNet-Lite0, the network of ritm-lite",
    LiteTrunk,
    {**_ADAPTATION, **OPTIONS, **LITE_SIDES},
    previous_mask=True,
    bundled=LITE_WEIGHTS,
    unreleased=LITE_UNRELEASED,
)
