"""The cards of FocalClick."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

from baselines.focalclick.network import S1, S2, Version, make_networks
from baselines.focalclick.predictor import build_predictor
from isbench.nn.backbones.hrnet import W18S, W32, Sizes
from isbench.nn.inference.predictor import OPTIONS
from isbench.types import File, ModelCard

_PAGE = "https://github.com/XavierCHEN34/ClickSEG"  # its README links the files
_LIBRARIES = {"torch": version("torch").partition("+")[0]}


def _card(name: str, trunk: str, sizes: Sizes, published: Version) -> ModelCard:
    kind = published.name.upper()
    return ModelCard(
        f"focalclick-{name}-{published.name}",
        partial(build_predictor, sizes, published),
        {"longest_side": OPTIONS["longest_side"], "threshold": 0.50, "size": 256},
        partial(make_networks, sizes, published),
        weights={"cocolvis": File(f"{name}_{kind}_cclvs.pth", page=_PAGE)},
        summary=f"FocalClick {kind} (segmentor and refiner) on {trunk} with OCR",
        source="arXiv:2204.02574",
        licence="Apache-2.0 (the README of its authors says MIT)",
        libraries=_LIBRARIES,
    )


hrnet18s_s1 = _card("hrnet18s", "HRNet-18s", W18S, S1)
hrnet18s_s2 = _card("hrnet18s", "HRNet-18s", W18S, S2)
hrnet32_s2 = _card("hrnet32", "HRNet-32", W32, S2)
