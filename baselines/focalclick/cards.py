"""The cards of FocalClick."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from baselines.focalclick.versions import S1, S2, Version
from baselines.libraries import find_torch_version
from isbench.lazy_function import LazyFunction
from isbench.nn.backbones.sizes import LITE_SIDES, W18S, W32, Sizes
from isbench.nn.inference.options import OPTIONS
from isbench.training import recipes
from isbench.types import File, ModelCard

_PAGE = "https://github.com/XavierCHEN34/ClickSEG"  # its README links the files


def _make_card(
    name: str, what: str, networks: tuple[LazyFunction, Version, bool], **more: Any
) -> ModelCard:
    """Return a card; `networks` are the trunk, the version, and whether the refiner is residual."""
    return ModelCard(
        f"focalclick-{name}",
        LazyFunction("baselines.focalclick.predictor:build_predictor", networks),
        {
            "longest_side": OPTIONS["longest_side"],
            "threshold": 0.50,
            "size": 256,
            **more.pop("options", {}),
        },
        LazyFunction("baselines.focalclick.network:make_networks", networks),
        summary=f"FocalClick {what}",
        source="arXiv:2204.02574",
        libraries={"torch": find_torch_version()},
        **more,
    )


def _published(name: str, trunk: str, sizes: Sizes, published: Version) -> ModelCard:
    kind = published.name.upper()
    return _make_card(
        f"{name}-{published.name}",
        f"{kind} (segmentor and refiner) on {trunk} with OCR",
        (LazyFunction("isbench.nn.backbones.hrnet:HRNet", (sizes,)), published, False),
        weights={"cocolvis": File(f"{name}_{kind}_cclvs.pth", page=_PAGE)},
        licence="Apache-2.0 (the README of its authors says MIT)",
        recipe=recipes.FOCALCLICK,
    )


hrnet18s_s1 = _published("hrnet18s", "HRNet-18s", W18S, S1)
hrnet18s_s2 = _published("hrnet18s", "HRNet-18s", W18S, S2)
hrnet32_s2 = _published("hrnet32", "HRNet-32", W32, S2)
lite = _make_card(
    "lite",
    "(segmentor and refiner) on EfficientNet-Lite0",
    (LazyFunction("isbench.nn.backbones.lite:LiteTrunk"), S2, True),
    options={
        "size": LITE_SIDES["zoom_target"],
        "overview": LITE_SIDES["overview"],
        "square": False,
    },
    version="2",  # "1" saw whole images at `size`, and the refiner's crops in their proportions
    meanings={
        "size": "longer side of what the segmentor sees, in pixels; the side of squares",
        "overview": "longer side of a whole image as the segmentor sees it, in pixels; 0: size",
    },
    unreleased="this version ships without trained weights",
    licence="MIT",
    # the first positive click is near the object's centre, as in the paper's code
    recipe=replace(
        recipes.LITE_TUNED,
        click_sampling=replace(recipes.LITE_TUNED.click_sampling, centred=1.0),
    ),
)
