"""The cards of FCA-Net."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

import cv2

from baselines.fcanet.network import make_networks
from baselines.fcanet.predictor import build_predictor
from isbench.nn.backbones.deeplab16 import Block
from isbench.nn.backbones.res2net import Res2Block
from isbench.nn.backbones.resnet import Bottleneck
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
