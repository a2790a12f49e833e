"""The cards of FCA-Net."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.metadata import version

import cv2

from baselines.fcanet import lite as light
from baselines.fcanet.network import make_networks
from baselines.fcanet.predictor import build_predictor
from isbench.nn.backbones.deeplab16 import Block
from isbench.nn.backbones.lite import SIDES
from isbench.nn.backbones.res2net import Res2Block
from isbench.nn.backbones.resnet import Bottleneck
from isbench.nn.inference.predictor import OPTIONS
from isbench.training import recipes
from isbench.types import File, ModelCard

_PAGE = "https://github.com/frazerlin/fcanet"


def _fcanet(backbone: str, what: str, block: Block) -> ModelCard:
    return ModelCard(
        f"fcanet-{backbone}101",
        partial(build_predictor, block),
        {"size": 512, "threshold": 0.5, "sis": False},
        partial(make_networks, block),
        weights={"pascal": File(f"fcanet-{what.lower()}.pth", page=_PAGE)},
        summary=f"FCA-Net: a branch for the first click, on DeepLabV3+, {what}-101",
        source="Interactive Image Segmentation with First Click Attention, CVPR 2020",
        licence="research and education only",
        restriction="research and education only",
        libraries={
            "opencv": cv2.__version__,
            "torch": version("torch").partition("+")[0],
        },
    )


r101 = _fcanet("r", "ResNet", Bottleneck)
res2net101 = _fcanet("res2net", "Res2Net", Res2Block)
# As in the paper, the first click is in the middle of the object. One in ten samples has none:
# a game may start with a mask and a negative click. All other clicks are those of the base.
_CLICKS = replace(recipes.LITE_TUNED.click_sampling, centred=0.9)
lite = ModelCard(
    "fcanet-lite",
    light.build_predictor,
    {**OPTIONS, **SIDES, "sis": False},
    light.make_networks,
    unreleased="this version ships without trained weights",
    recipe=replace(recipes.LITE_TUNED, click_sampling=_CLICKS),
    summary="FCA-Net's branch for the first click on EfficientNet-Lite0, played like RITM",
    source="Interactive Image Segmentation with First Click Attention, CVPR 2020",
    licence="MIT",
    libraries={"torch": version("torch").partition("+")[0]},
)
