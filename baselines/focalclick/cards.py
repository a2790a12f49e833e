"""The cards of FocalClick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

from baselines.focalclick.network import S1, S2, Trunk, Version, make_networks
from baselines.focalclick.predictor import build_predictor
from isbench.nn.backbones.hrnet import W18S, W32, HRNet, Sizes
from isbench.nn.backbones.lite import SIDES as LITE_SIDES
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.inference.predictor import OPTIONS
from isbench.training import recipes
from isbench.types import File, ModelCard

_PAGE = "https://github.com/XavierCHEN34/ClickSEG"  # its README links the files


def _card(
    name: str, what: str, networks: tuple[Callable[[], Trunk], Version, bool], **more: Any
) -> ModelCard:
    """Return a card; `networks` are the trunk, the version, and whether the refiner is residual."""
    return ModelCard(
        f"focalclick-{name}",
        partial(build_predictor, *networks),
        {
            "longest_side": OPTIONS["longest_side"],
            "threshold": 0.50,
            "size": 256,
            **more.pop("options", {}),
        },
        partial(make_networks, *networks),
        summary=f"FocalClick {what}",
        source="arXiv:2204.02574",
        libraries={"torch": version("torch").partition("+")[0]},
        **more,
    )


def _published(name: str, trunk: str, sizes: Sizes, published: Version) -> ModelCard:
    kind = published.name.upper()
    return _card(
        f"{name}-{published.name}",
        f"{kind} (segmentor and refiner) on {trunk} with OCR",
        (partial(HRNet, sizes), published, False),
        weights={"cocolvis": File(f"{name}_{kind}_cclvs.pth", page=_PAGE)},
        licence="Apache-2.0 (the README of its authors says MIT)",
        recipe=recipes.FOCALCLICK,
    )


hrnet18s_s1 = _published("hrnet18s", "HRNet-18s", W18S, S1)
hrnet18s_s2 = _published("hrnet18s", "HRNet-18s", W18S, S2)
hrnet32_s2 = _published("hrnet32", "HRNet-32", W32, S2)
lite = _card(
    "lite",
    "(segmentor and refiner) on EfficientNet-Lite0",
    (LiteTrunk, S2, True),
    options={"size": LITE_SIDES["zoom_target"], "square": False},
    meanings={"size": "longer side of what every pass sees, in pixels; with square=on, its side"},
    unreleased="this version ships without trained weights",
    licence="MIT",
    # the first positive click is near the object's centre, as in the paper's code
    recipe=replace(
        recipes.LITE_TUNED,
        click_sampling=replace(recipes.LITE_TUNED.click_sampling, centred=1.0),
    ),
)
