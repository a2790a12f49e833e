"""The cards of FCA-Net."""

from __future__ import annotations

from dataclasses import replace

from baselines.libraries import find_opencv_version, find_torch_version
from isbench.lazy_function import LazyFunction
from isbench.nn.backbones.sizes import LITE_SIDES
from isbench.nn.inference.options import OPTIONS
from isbench.training import recipes
from isbench.types import File, ModelCard

_PAGE = "https://github.com/frazerlin/fcanet"


def _make_card(what: str, name: str) -> ModelCard:
    return ModelCard(
        f"fcanet-{name}101",
        LazyFunction("baselines.fcanet.predictor:build_predictor", (what.lower(),)),
        {"size": 512, "threshold": 0.5, "sis": False},
        LazyFunction("baselines.fcanet.network:make_networks", (what.lower(),)),
        weights={"pascal": File(f"fcanet-{what.lower()}.pth", page=_PAGE)},
        summary=f"FCA-Net: a branch for the first click, on DeepLabV3+, {what}-101",
        source="Interactive Image Segmentation with First Click Attention, CVPR 2020",
        licence="research and education only",
        restriction="research and education only",
        libraries={
            "opencv": find_opencv_version(),
            "torch": find_torch_version(),
        },
    )


r101 = _make_card("ResNet", "r")
res2net101 = _make_card("Res2Net", "res2net")
# As in the paper, the first click is in the middle of the object. One in ten samples has none:
# a game may start with a mask and a negative click. All other clicks are those of the base.
_CLICKS = replace(recipes.LITE_TUNED.click_sampling, centred=0.9)
lite = ModelCard(
    "fcanet-lite",
    LazyFunction("baselines.fcanet.lite:build_predictor"),
    {**OPTIONS, **LITE_SIDES, "sis": False},
    LazyFunction("baselines.fcanet.lite:make_networks"),
    unreleased="this version ships without trained weights",
    recipe=replace(recipes.LITE_TUNED, click_sampling=_CLICKS),
    summary="FCA-Net's branch for the first click on EfficientNet-Lite0, played like RITM",
    source="Interactive Image Segmentation with First Click Attention, CVPR 2020",
    licence="MIT",
    libraries={"torch": find_torch_version()},
)
