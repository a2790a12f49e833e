"""CSFPN's cards: which trunk and how large, and the switches of the paper's ablation.

Sizes: `csfpn-hrnet18` is the released network. Of the DeepLabV3+ ones there is no code; they take
the released modules' defaults on Table 4's baseline (width 128) and on RITM's ResNet-101 (256).
`baseline-*-csfp` are Table 4's last row: graphs as light as its figures say, and no G2L.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

from csfpn.network import Csfpn, Graphs
from csfpn.predictor import PAPER, RELEASED, GlobalToLocal
from isbench.errors import IsbenchError
from isbench.nn.compute import ready
from isbench.nn.hrnet import W18, HRNet
from isbench.nn.mini import Mini
from isbench.nn.predictor import OPTIONS, MaskGuided, view
from isbench.nn.trunk import Trunk, deeplab
from isbench.nn.zoom import Zoom
from isbench.training import Weighted, recipes
from isbench.types import Model, Predictor, Runtime

SWITCHES = {"sgm": True, "hsgm": True, "g2l": True}


@dataclass(frozen=True)
class Form:
    """A size of the network."""

    trunk: Callable[[], Trunk]
    graphs: Graphs
    previous_mask: bool = True


def network(form: Form, **options: Any) -> Csfpn:
    """Return the network of a card and its options."""
    graphs = replace(
        form.graphs,
        sgm=options["sgm"],
        hsgm=options["hsgm"],
        released=options.get("released", False),
    )
    return Csfpn(form.trunk(), graphs, form.previous_mask)


def build(form: Form, *, runtime: Runtime, **options: Any) -> Predictor:
    """Return the predictor of a card: global to local, or with g2l=off as RITM's.

    `released` needs two networks and takes two files of weights: of the pass over the whole image,
    and of the pass over the crop.
    """
    make = partial(network, form, **options)
    if options.get("released"):
        if not all(options[switch] for switch in SWITCHES):
            raise IsbenchError(
                "released=on is the released pair of networks: leave sgm, hsgm, g2l on"
            )
        pair = ready(make, runtime), ready(make, runtime, 1)
        return GlobalToLocal(*pair, view(options, RELEASED, runtime), released=True)
    made = ready(make, runtime)
    if options["g2l"]:
        return GlobalToLocal(made, made, view(options, PAPER, runtime))
    return MaskGuided(made, view(options, Zoom(), runtime))


def _card(name: str, what: str, form: Form, **more: Any) -> Model:
    return Model(
        name,
        partial(build, form),
        {**OPTIONS, **SWITCHES, **more.pop("options", {})},
        partial(network, form),
        summary=f"CSFPN on {what}",
        source="BMVC 2023",
        unreleased="its authors never released any",
        licence="MIT",
        version=f"torch {version('torch')}",
        **more,
    )


_DEEPLAB = Graphs(reduction=4)
_MINI = Form(Mini, Graphs(heads=1, reduction=4, light=True, out=32))
_LIGHT = Form(partial(deeplab, 50, 128), Graphs(heads=1, reduction=4, light=True), False)
_CSFP = {"g2l": False}

# what propagates is new, and learns at the full rate wherever the trunk does not
_ON_DEEPLAB = replace(recipes.CSFPN, multipliers=recipes.DEEPLAB_RATES)
_ON_HRNET = replace(
    recipes.CSFPN,
    multipliers=(
        *recipes.HRNET_RATES,
        Weighted("feature_extractor.att.", 1.0),
        Weighted("feature_extractor.upatt.", 1.0),
    ),
)

r50 = _card(
    "csfpn-r50",
    "DeepLabV3+, ResNet-50",
    Form(partial(deeplab, 50, 128), _DEEPLAB),
    recipe=_ON_DEEPLAB,
)
r101 = _card(
    "csfpn-r101",
    "DeepLabV3+, ResNet-101",
    Form(partial(deeplab, 101, 256), _DEEPLAB),
    recipe=_ON_DEEPLAB,
)
hrnet18 = _card(
    "csfpn-hrnet18",
    "HRNet-18 with OCR",
    Form(partial(HRNet, W18), Graphs()),
    options={"released": False},
    recipe=_ON_HRNET,
)
mini = _card("csfpn-mini", "this project's mini trunk", _MINI, recipe=recipes.MINI)
baseline_r50 = _card(
    "baseline-r50-csfp",
    "Table 4's baseline, ResNet-50",
    _LIGHT,
    options=_CSFP,
    recipe=_ON_DEEPLAB,
)
baseline_mini = _card(
    "baseline-mini-csfp",
    "the mini trunk, without G2L",
    _MINI,
    options=_CSFP,
    recipe=recipes.MINI,
)
