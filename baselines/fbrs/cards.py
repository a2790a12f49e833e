"""The cards of f-BRS-B.

Its authors retrained the weights that they released: these give the figures of their README, not
those of the paper, which the CSFPN paper's Table 1 quotes. `fbrs-lite` plays the network and the
weights of `ritm-lite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from baselines.cards import LITE_WEIGHTS
from baselines.libraries import find_torch_version
from isbench.lazy_function import LazyFunction
from isbench.nn.backbones.sizes import LITE_SIDES, W18, W32
from isbench.nn.inference.options import OPTIONS
from isbench.training.terms import LITE_TERMS
from isbench.types import File, ModelCard, Scalar

_OWN: Mapping[str, Scalar] = {"net_clicks": 8, "maxfun": 20}
_LIBRARIES = {"torch": find_torch_version(), "scipy": version("scipy")}
_SHARED = ("zoom", "zoom_target", "flip", "threshold", "longest_side")
_RELEASES = "fbrs_interactive_segmentation/releases/download/v1.0"


def _make_card(name: str, what: str, trunk: LazyFunction, *files: str) -> ModelCard:
    return ModelCard(
        f"fbrs-{name}",
        LazyFunction("baselines.fbrs.predictor:build_predictor", (trunk,)),
        {**{key: OPTIONS[key] for key in _SHARED}, **_OWN},
        LazyFunction("baselines.fbrs.network:make_networks", (trunk,)),
        weights={file.rpartition("_")[2]: _make_file(f"{file}.pth") for file in files},
        summary=f"f-BRS-B on {what}",
        source="arXiv:2001.10331",
        licence="MPL-2.0",
        libraries=_LIBRARIES,
        gradients=True,
    )


def _make_file(name: str) -> File:
    """Return a checkpoint of f-BRS's release, with its mirrors."""
    owners = ("saic-vul", "SamsungLabs")
    return File(name, tuple(f"https://github.com/{owner}/{_RELEASES}/{name}" for owner in owners))


r34 = _make_card(
    "r34",
    "DeepLabV3+, ResNet-34",
    LazyFunction("isbench.nn.trunk:deeplab", (34, 128)),
    "resnet34_dh128_sbd",
)
r50 = _make_card(
    "r50",
    "DeepLabV3+, ResNet-50",
    LazyFunction("isbench.nn.trunk:deeplab", (50, 128)),
    "resnet50_dh128_sbd",
    "resnet50_dh128_lvis",
)
r101 = _make_card(
    "r101",
    "DeepLabV3+, ResNet-101",
    LazyFunction("isbench.nn.trunk:deeplab", (101, 256)),
    "resnet101_dh256_sbd",
)
hrnet18 = _make_card(
    "hrnet18",
    "HRNet-18 with OCR",
    LazyFunction("isbench.nn.backbones.hrnet:HRNet", (W18,)),
    "hrnet18_ocr64_sbd",
)
hrnet32 = _make_card(
    "hrnet32",
    "HRNet-32 with OCR",
    LazyFunction("isbench.nn.backbones.hrnet:HRNet", (W32,)),
    "hrnet32_ocr128_sbd",
    "hrnet32_ocr128_lvis",
)
_LITE = LazyFunction("isbench.nn.backbones.lite:LiteTrunk")
lite = ModelCard(
    "fbrs-lite",
    LazyFunction("baselines.fbrs.predictor:build_guided_predictor", (_LITE,)),
    {**OPTIONS, **LITE_SIDES, **_OWN},
    LazyFunction("baselines.fbrs.network:make_guided_networks", (_LITE,)),
    bundled=LITE_WEIGHTS,
    bundled_terms=LITE_TERMS,
    summary="f-BRS-B on EfficientNet-Lite0, the network of ritm-lite",
    source="arXiv:2001.10331",
    licence="MIT",
    libraries=_LIBRARIES,
    gradients=True,
)
