"""The cards of SimpleClick and where its authors keep the weights."""

from __future__ import annotations

from collections.abc import Mapping

from baselines.libraries import find_torch_version
from baselines.simpleclick.sizes import VIT_B, VIT_H, VIT_L, Sizes
from isbench.lazy_function import LazyFunction
from isbench.nn.inference.options import CASCADE, OPTIONS
from isbench.types import File, ModelCard, Scalar

_PAGE = "https://github.com/uncbiag/SimpleClick"  # links to Google Drive
# With zoom_square=0 and longest_side=-1 the data set's value is used and recorded.
_OPTIONS: Mapping[str, Scalar] = {
    "zoom_square": 0,  # side of the square that every pass sees, in pixels
    **{name: OPTIONS[name] for name in ("flip", "threshold", "longest_side")},
    **CASCADE,
}


def _make_card(letter: str, word: str, sizes: Sizes) -> ModelCard:
    return ModelCard(
        f"simpleclick-vit-{letter}",
        LazyFunction("baselines.simpleclick.predictor:build_predictor", (sizes,)),
        _OPTIONS,
        LazyFunction("baselines.simpleclick.predictor:make_networks", (sizes,)),
        weights={
            training: File(f"{training}_vit_{word}.pth", page=_PAGE)
            for training in ("cocolvis", "sbd")
        },
        summary=f"SimpleClick on ViT-{letter.upper()}",
        source="arXiv:2210.11006",
        licence="MIT",
        libraries={"torch": find_torch_version()},
        added_options=CASCADE,
    )


vit_b = _make_card("b", "base", VIT_B)
vit_l = _make_card("l", "large", VIT_L)
vit_h = _make_card("h", "huge", VIT_H)
