"""The cards of FocusCut."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

import cv2

from baselines.focuscut.network import make_networks
from baselines.focuscut.predictor import build_predictor
from isbench.types import File, ModelCard

_PAGE = "https://github.com/frazerlin/focuscut"


def _focuscut(depth: int) -> ModelCard:
    return ModelCard(
        f"focuscut-r{depth}",
        partial(build_predictor, depth),
        {"view_size": 0, "rounds": 3, "threshold": 0.5},
        partial(make_networks, depth),
        weights={"sbd": File(f"focuscut-resnet{depth}.pth", page=_PAGE)},
        summary=f"FocusCut: focus views of clicks, on DeepLabV3+, ResNet-{depth}",
        source="FocusCut: Diving into a Focus View in Interactive Segmentation, CVPR 2022",
        licence="CC BY-NC 4.0",
        restriction="non-commercial use only",
        libraries={
            "opencv": cv2.__version__,
            "torch": version("torch").partition("+")[0],
        },
    )


r50 = _focuscut(50)
r101 = _focuscut(101)
