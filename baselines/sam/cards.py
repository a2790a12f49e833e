"""The cards of SAM, HQ-SAM and SAM 2.1. They are listed without the library transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from baselines.libraries import find_torch_version, find_version
from baselines.sam.sizes import BASE_PLUS, LARGE, SMALL, TINY, VIT_B, VIT_H, VIT_L, Hiera, Vit
from isbench.lazy_function import LazyFunction
from isbench.types import File, ModelCard, Scalar

_LIBRARIES = {
    "torch": find_torch_version(),
    "transformers": find_version("transformers", "transformers"),
}
OPTIONS: Mapping[str, Scalar] = {
    "multimask": "always",
    "feed_back": "rclicks",
    "image_step": "rclicks",
    "threshold": 0.50,  # probability above which a pixel belongs to the object
}
_SERVER = "https://dl.fbaipublicfiles.com"


def _make_card(name: str, **facts: Any) -> ModelCard:
    return ModelCard(
        name,
        summary=f"{facts.pop('what')}, played as RClicks does",
        licence="Apache-2.0",
        libraries=_LIBRARIES,
        # OpenVINO takes minutes and gigabytes to convert an encoder, so only where it is asked for
        auto_backend="eager",
        **facts,
    )


def _make_sam(letter: str, size: Vit, file: str) -> ModelCard:
    return _make_card(
        f"sam-vit-{letter}",
        build=LazyFunction("baselines.sam.predictor:build_sam", (size,)),
        options=OPTIONS,
        networks=LazyFunction("baselines.sam.network:make_sam", (size,)),
        weights={"sa-1b": File(file, (f"{_SERVER}/segment_anything/{file}",))},
        what=f"SAM on ViT-{letter.upper()}",
        source="arXiv:2304.02643",
    )


def _make_hq_sam(letter: str, size: Vit) -> ModelCard:
    file = File(f"sam_hq_vit_{letter}.pth", page="https://github.com/SysCV/sam-hq")
    return _make_card(
        f"sam-hq-vit-{letter}",
        build=LazyFunction("baselines.sam.predictor:build_hq_sam", (size,)),
        options={**OPTIONS, "hq_only": False},
        networks=LazyFunction("baselines.sam.network:make_hq_sam", (size,)),
        weights={"hqseg-44k": file},
        what=f"HQ-SAM on ViT-{letter.upper()}",
        source="arXiv:2306.01567",
    )


def _make_sam2(name: str, size: Hiera) -> ModelCard:
    file = f"sam2.1_hiera_{name.replace('-', '_')}.pt"
    return _make_card(
        f"sam2.1-hiera-{name}",
        build=LazyFunction("baselines.sam.predictor:build_sam2", (size,)),
        options={**OPTIONS, "multimask": "never"},
        networks=LazyFunction("baselines.sam.network2:make_sam2", (size,)),
        weights={"sa-v": File(file, (f"{_SERVER}/segment_anything_2/092824/{file}",))},
        what=f"SAM 2.1 on Hiera {name}",
        source="arXiv:2408.00714",
    )


sam_vit_b = _make_sam("b", VIT_B, "sam_vit_b_01ec64.pth")
sam_vit_l = _make_sam("l", VIT_L, "sam_vit_l_0b3195.pth")
sam_vit_h = _make_sam("h", VIT_H, "sam_vit_h_4b8939.pth")
sam_hq_vit_b = _make_hq_sam("b", VIT_B)
sam_hq_vit_l = _make_hq_sam("l", VIT_L)
sam_hq_vit_h = _make_hq_sam("h", VIT_H)
sam2_hiera_tiny = _make_sam2("tiny", TINY)
sam2_hiera_small = _make_sam2("small", SMALL)
sam2_hiera_base_plus = _make_sam2("base-plus", BASE_PLUS)
sam2_hiera_large = _make_sam2("large", LARGE)
