"""The cards of SAM, HQ-SAM and SAM 2.1. They are listed without the library transformers."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from baselines.sam.network import VIT_B, VIT_H, VIT_L, Vit, make_hq_sam, make_sam
from baselines.sam.network2 import BASE_PLUS, LARGE, SMALL, TINY, Hiera, make_sam2
from baselines.sam.predictor import OPTIONS, build_predictor
from isbench.types import File, ModelCard

# optional: without it the models are listed, but cannot be played
_LIBRARIES = {
    "torch": version("torch").partition("+")[0],
    "transformers": version("transformers") if find_spec("transformers") else "",
}
_SERVER = "https://dl.fbaipublicfiles.com"
_BOUND = 32.0  # of the logits that SAM 2 is fed back


def _make_card(name: str, make: Any, options: Any = OPTIONS, **more: Any) -> ModelCard:
    build = partial(build_predictor, make, **more.pop("behaviour", {}))
    # OpenVINO takes minutes and gigabytes to convert an encoder, so only where it is asked for
    more = {"auto_backend": "eager", "licence": "Apache-2.0", "libraries": _LIBRARIES, **more}
    return ModelCard(name, build, options, make, **more)


def _sam(letter: str, size: Vit, file: str) -> ModelCard:
    return _make_card(
        f"sam-vit-{letter}",
        partial(make_sam, size),
        weights={"sa-1b": File(file, (f"{_SERVER}/segment_anything/{file}",))},
        summary=f"SAM on ViT-{letter.upper()}, played as RClicks does",
        source="arXiv:2304.02643",
    )


def _hq_sam(letter: str, size: Vit) -> ModelCard:
    file = f"sam_hq_vit_{letter}.pth"
    return _make_card(
        f"sam-hq-vit-{letter}",
        partial(make_hq_sam, size),
        {**OPTIONS, "hq_only": False},
        weights={"hqseg-44k": File(file, page="https://github.com/SysCV/sam-hq")},
        summary=f"HQ-SAM on ViT-{letter.upper()}, played as RClicks does",
        source="arXiv:2306.01567",
    )


def _sam2(name: str, size: Hiera) -> ModelCard:
    file = f"sam2.1_hiera_{name.replace('-', '_')}.pt"
    return _make_card(
        f"sam2.1-hiera-{name}",
        partial(make_sam2, size),
        {**OPTIONS, "multimask": "never"},
        behaviour={"square": True, "bound": _BOUND},
        weights={"sa-v": File(file, (f"{_SERVER}/segment_anything_2/092824/{file}",))},
        summary=f"SAM 2.1 on Hiera {name}, played as RClicks does",
        source="arXiv:2408.00714",
    )


sam_vit_b = _sam("b", VIT_B, "sam_vit_b_01ec64.pth")
sam_vit_l = _sam("l", VIT_L, "sam_vit_l_0b3195.pth")
sam_vit_h = _sam("h", VIT_H, "sam_vit_h_4b8939.pth")
sam_hq_vit_b = _hq_sam("b", VIT_B)
sam_hq_vit_l = _hq_sam("l", VIT_L)
sam_hq_vit_h = _hq_sam("h", VIT_H)
sam2_hiera_tiny = _sam2("tiny", TINY)
sam2_hiera_small = _sam2("small", SMALL)
sam2_hiera_base_plus = _sam2("base-plus", BASE_PLUS)
sam2_hiera_large = _sam2("large", LARGE)
