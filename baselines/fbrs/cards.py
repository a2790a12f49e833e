"""The cards of f-BRS-B.

Its authors retrained the weights that they released: these give the figures of their README, not
those of the paper, which the CSFPN paper's Table 1 quotes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from baselines.fbrs.network import make_networks
from baselines.fbrs.predictor import build_predictor
from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.hrnet import W18, W32, HRNet
from isbench.nn.inference.predictor import OPTIONS
from isbench.nn.trunk import deeplab
from isbench.types import File, ModelCard

_SHARED = ("zoom", "zoom_target", "flip", "threshold", "longest_side")
_RELEASES = "fbrs_interactive_segmentation/releases/download/v1.0"


def _make_card(
    name: str, what: str, trunk: Callable[[], DeepLab | HRNet], *files: str
) -> ModelCard:
    return ModelCard(
        f"fbrs-{name}",
        partial(build_predictor, trunk),
        {**{key: OPTIONS[key] for key in _SHARED}, "net_clicks": 8, "maxfun": 20},
        partial(make_networks, trunk),
        weights={file.rpartition("_")[2]: _make_file(f"{file}.pth") for file in files},
        summary=f"f-BRS-B on {what}",
        source="arXiv:2001.10331",
        licence="MPL-2.0",
        libraries={"torch": version("torch").partition("+")[0], "scipy": version("scipy")},
        gradients=True,
    )


def _make_file(name: str) -> File:
    """Return a checkpoint of f-BRS's release, with its mirrors."""
    owners = ("saic-vul", "SamsungLabs")
    return File(name, tuple(f"https://github.com/{owner}/{_RELEASES}/{name}" for owner in owners))


r34 = _make_card("r34", "DeepLabV3+, ResNet-34", partial(deeplab, 34, 128), "resnet34_dh128_sbd")
r50 = _make_card(
    "r50",
    "DeepLabV3+, ResNet-50",
    partial(deeplab, 50, 128),
    "resnet50_dh128_sbd",
    "resnet50_dh128_lvis",
)
r101 = _make_card(
    "r101", "DeepLabV3+, ResNet-101", partial(deeplab, 101, 256), "resnet101_dh256_sbd"
)
hrnet18 = _make_card("hrnet18", "HRNet-18 with OCR", partial(HRNet, W18), "hrnet18_ocr64_sbd")
hrnet32 = _make_card(
    "hrnet32",
    "HRNet-32 with OCR",
    partial(HRNet, W32),
    "hrnet32_ocr128_sbd",
    "hrnet32_ocr128_lvis",
)
