"""RITM (Sofiiuk et al. 2021, arXiv:2102.06583): clicks and last answer as maps, one network.

Written from the paper; equal to the official networks under synthetic weights (tests/test_nn.py).
Attribute names are the keys of the official checkpoints. Differs: what the official networks
compute without effect (see `isbench.nn.ocr`) is not computed. `ritm-mini` is this project's, with
RITM's every rule around another trunk; the paper's Table 3 calls such a network BS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

from torch import Tensor, nn

from isbench.nn.compute import ready
from isbench.nn.hrnet import W18, W18S, W32, HRNet, Sizes
from isbench.nn.mini import Mini
from isbench.nn.ocr import Logits
from isbench.nn.predictor import OPTIONS, MaskGuided, view
from isbench.nn.stem import conv1s, normalised
from isbench.nn.trunk import Trunk, answered, deeplab, head_for, maps, rough
from isbench.nn.zoom import Zoom
from isbench.training import Lots, recipes
from isbench.types import File, Model, Runtime


class Ritm(nn.Module):
    """(B, 4 or 3, H, W) inputs and (B, 2K, 3) points to logits, on any trunk."""

    def __init__(self, trunk: Trunk, previous_mask: bool = True) -> None:
        super().__init__()
        self.previous_mask = previous_mask
        self.maps_transform = conv1s(3 if previous_mask else 2, min(64, trunk.low_channels))
        self.feature_extractor = trunk
        self.head = head_for(trunk)

    def both(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the answer and the auxiliary one at the inputs' size, as training needs them."""
        trunk = self.feature_extractor
        extra = self.maps_transform(maps(inputs, clicks, self.previous_mask))
        features = trunk.body(trunk.stem(normalised(inputs[:, :3]), extra))
        size = inputs.shape[-2], inputs.shape[-1]
        return answered(trunk, self.head, features, rough(trunk, features), size)

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W)."""
        return self.both(inputs, clicks).main


def network(trunk: Callable[[], Trunk], **options: Any) -> Ritm:
    """Return the network of a card and its options."""
    return Ritm(trunk(), options["previous_mask"])


def build(trunk: Callable[[], Trunk], *, runtime: Runtime, **options: Any) -> MaskGuided:
    """Return the predictor of a card: RITM's zoom-in, flip and threshold unless options differ."""
    made = ready(partial(network, trunk, **options), runtime)
    return MaskGuided(made, view(options, Zoom(), runtime))


def _card(name: str, what: str, trunk: Callable[[], Trunk], **more: Any) -> Model:
    options = {**OPTIONS, "previous_mask": more.pop("previous_mask", True)}
    return Model(
        name,
        partial(build, trunk),
        options,
        partial(network, trunk),
        summary=f"RITM on {what}",
        source="arXiv:2102.06583",
        licence="MIT",
        version=f"torch {version('torch')}",
        **more,
    )


def _hrnet(sizes: Sizes) -> Callable[[], HRNet]:
    return partial(HRNet, sizes)


def _released(name: str, **known: Any) -> File:
    """Return a checkpoint of RITM's release and its copy under the same name."""
    path, copy = (
        "ritm_interactive_segmentation",
        "supervisely-ecosystem/ritm-interactive-segmentation",
    )
    urls = (
        f"https://github.com/saic-vul/{path}/releases/download/v1.0/{name}",
        f"https://github.com/SamsungLabs/{path}/releases/download/v1.0/{name}",
        f"https://github.com/{copy}/releases/download/v0.1/{name}",
    )
    return File(name, urls, **known)


hrnet18s = _card(
    "ritm-hrnet18s",
    "HRNet-18s with OCR",
    _hrnet(W18S),
    weights={"cocolvis": _released("coco_lvis_h18s_itermask.pth")},
    recipe=replace(recipes.RITM, batch=32),
)
hrnet18 = _card(
    "ritm-hrnet18",
    "HRNet-18 with OCR",
    _hrnet(W18),
    weights={
        "sbd": _released("sbd_h18_itermask.pth"),
        "cocolvis": _released(
            "coco_lvis_h18_itermask.pth", size=40_700_707, md5="6fb97de7ea32f4856f2e63d146a09f31"
        ),
        # without iterations in training and previous mask: --set previous_mask=off
        "cocolvis-baseline": _released("coco_lvis_h18_baseline.pth"),
    },
    recipe=recipes.RITM,
)
hrnet32 = _card(
    "ritm-hrnet32",
    "HRNet-32 with OCR",
    _hrnet(W32),
    weights={"cocolvis": _released("coco_lvis_h32_itermask.pth")},
    recipe=replace(recipes.RITM, batch=32),
)
# the schedule that the CSFPN paper trained its own ResNet-101 of RITM by
_AGAIN = replace(recipes.CSFPN, multipliers=recipes.DEEPLAB_RATES)
r34 = _card(
    "ritm-r34",
    "DeepLabV3+, ResNet-34",
    partial(deeplab, 34, 128),
    previous_mask=False,
    recipe=replace(_AGAIN, lots=Lots(iterative=0)),
)
r50 = _card("ritm-r50", "DeepLabV3+, ResNet-50", partial(deeplab, 50, 128), recipe=_AGAIN)
r101 = _card("ritm-r101", "DeepLabV3+, ResNet-101", partial(deeplab, 101, 256), recipe=_AGAIN)
mini = _card("ritm-mini", "this project's mini trunk (BS of Table 3)", Mini, recipe=recipes.MINI)
