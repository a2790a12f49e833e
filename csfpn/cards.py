"""CSFPN's cards: trunks, sizes, and the switches of the paper's ablation.

`csfpn-hrnet18` is the released network. No code was released for the DeepLabV3+ models; they use
the released modules' defaults on Table 4's baseline (width 128) and on RITM's ResNet-101 (256).
`baseline-r50-csfp` is Table 4's last row: graphs as light as its figures imply, and no G2L.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from csfpn.config import GLOBAL_CLICKS, SWITCHES, CsfpnConfig, PropagationConfig
from isbench.lazy_function import LazyFunction
from isbench.nn.backbones.sizes import LITE_SIDES, MINI_SIDES, W18
from isbench.nn.inference.options import CASCADE, OPTIONS
from isbench.training import Weighted, recipes
from isbench.training.terms import LITE_TERMS, MINI_TERMS
from isbench.types import ModelCard


def _make_card(name: str, what: str, config: CsfpnConfig, **more: Any) -> ModelCard:
    return ModelCard(
        name,
        LazyFunction("csfpn.predictor:build_predictor", (config,)),
        {**OPTIONS, **CASCADE, **SWITCHES, **GLOBAL_CLICKS, **more.pop("options", {})},
        LazyFunction("csfpn.predictor:make_networks", (config,)),
        summary=f"CSFPN on {what}",
        source="BMVC 2023",
        unreleased=more.pop("unreleased", "its authors never released any"),
        licence="MIT",
        version="2",  # "1" drew disks from single-precision coordinates
        libraries={"torch": version("torch").partition("+")[0]},
        added_options={**CASCADE, **GLOBAL_CLICKS},
        **more,
    )


_R50 = LazyFunction("isbench.nn.trunk:deeplab", (50, 128))
_R101 = LazyFunction("isbench.nn.trunk:deeplab", (101, 256))
_HRNET18 = LazyFunction("isbench.nn.backbones.hrnet:HRNet", (W18,))
_MINI_TRUNK = LazyFunction("isbench.nn.backbones.mini:Mini")
_LITE_TRUNK = LazyFunction("isbench.nn.backbones.lite:LiteTrunk")
_DEEPLAB = PropagationConfig(reduction=4)
_MINI = CsfpnConfig(_MINI_TRUNK, PropagationConfig(heads=1, reduction=4, light=True, out=32))
_LITE = CsfpnConfig(
    _LITE_TRUNK, PropagationConfig(heads=1, reduction=4, light=True, out=32, inserted=True)
)
_LIGHT = CsfpnConfig(_R50, PropagationConfig(heads=1, reduction=4, light=True), False)
_CSFP = {"g2l": False}
# size of the first of two passes, which finds the box for the second: of 256, 320 and 400 pixels
# this gave the lowest NoC@90 on the 40 held-out objects
_OVERVIEW = {"overview": 320}
# With passes over the whole image at every click, a click starts again from a view of 256 pixels,
# which cannot hold small corrections. On 120 held-out objects, seen at about a third, half and
# three quarters of their resolution, G2L for the first three clicks needed fewer clicks than no G2L
# at each; G2L for all clicks needed more at the first two (results/training/trials.csv).
_FIRST = {"global_clicks": 3}
# trained by this project on its training pack; each file contains a card with the details
_FOLDER = Path(__file__).parent / "weights"

# propagation modules have no pretrained weights, so they learn at the full rate
_ON_DEEPLAB = replace(recipes.SBD, multipliers=recipes.DEEPLAB_RATES)
_ON_HRNET = replace(
    recipes.SBD,
    multipliers=(
        *recipes.HRNET_RATES,
        Weighted("feature_extractor.att.", 1.0),
        Weighted("feature_extractor.upatt.", 1.0),
    ),
)

r50 = _make_card(
    "csfpn-r50",
    "DeepLabV3+, ResNet-50",
    CsfpnConfig(_R50, _DEEPLAB),
    recipe=_ON_DEEPLAB,
)
r101 = _make_card(
    "csfpn-r101",
    "DeepLabV3+, ResNet-101",
    CsfpnConfig(_R101, _DEEPLAB),
    recipe=_ON_DEEPLAB,
)
hrnet18 = _make_card(
    "csfpn-hrnet18",
    "HRNet-18 with OCR",
    CsfpnConfig(_HRNET18, PropagationConfig()),
    options={"released": False},
    recipe=_ON_HRNET,
)
mini = _make_card(
    "csfpn-mini",
    "this project's mini trunk",
    _MINI,
    options={**MINI_SIDES, **_OVERVIEW},
    recipe=recipes.MINI,
    bundled={"pack": _FOLDER / "csfpn-mini.safetensors"},
    bundled_terms=MINI_TERMS,
)
lite = _make_card(
    "csfpn-lite",
    "EfficientNet-Lite0",
    _LITE,
    options={**LITE_SIDES, **_FIRST},
    recipe=recipes.LITE_TUNED,
    bundled={
        # the first is the default
        "crowds": _FOLDER / "csfpn-lite-crowds.safetensors",
        "pack": _FOLDER / "csfpn-lite.safetensors",
    },
    bundled_terms=LITE_TERMS,
)
baseline_r50 = _make_card(
    "baseline-r50-csfp",
    "Table 4's baseline, ResNet-50",
    _LIGHT,
    options=_CSFP,
    recipe=_ON_DEEPLAB,
)
