"""The cards of SimpleClick and where its authors keep the weights."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

from baselines.simpleclick.network import VIT_B, VIT_H, VIT_L, Sizes
from baselines.simpleclick.predictor import OPTIONS, build_predictor, make_networks
from isbench.nn.inference.cascade import CASCADE
from isbench.types import File, ModelCard

_PAGE = "https://github.com/uncbiag/SimpleClick"  # links to Google Drive


def _card(letter: str, word: str, sizes: Sizes) -> ModelCard:
    return ModelCard(
        f"simpleclick-vit-{letter}",
        partial(build_predictor, sizes),
        OPTIONS,
        partial(make_networks, sizes),
        weights={
            training: File(f"{training}_vit_{word}.pth", page=_PAGE)
            for training in ("cocolvis", "sbd")
        },
        summary=f"SimpleClick on ViT-{letter.upper()}",
        source="arXiv:2210.11006",
        licence="MIT",
        libraries={"torch": version("torch").partition("+")[0]},
        added_options=CASCADE,
    )


vit_b = _card("b", "base", VIT_B)
vit_l = _card("l", "large", VIT_L)
vit_h = _card("h", "huge", VIT_H)
