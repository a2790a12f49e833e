"""Small SAMs under synthetic weights, and the games that the official SAM played."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.sam.cards import OPTIONS
from baselines.sam.keys import HQ_SAM, SAM, SAM2, Layout, name_officially
from baselines.sam.network import make_hq_sam, make_sam
from baselines.sam.network2 import make_sam2
from baselines.sam.predictor import SAM2_BOUND, Sam
from baselines.sam.sizes import Hiera, Vit
from isbench.types import Runtime, Scalar
from tests.support.synthetic import fill_state, make_weyl

VIT = Vit(32, 2, 1, (1,))
HIERA = Hiera(16, 1, (1, 1, 2, 1), (3,))
MAKERS: Mapping[str, Any] = {
    "sam": partial(make_sam, VIT),
    "hq_sam": partial(make_hq_sam, VIT),
    "sam2": partial(make_sam2, HIERA),
}
LAYOUTS = {"sam": SAM, "hq_sam": HQ_SAM, "sam2": SAM2}


def make_networks(kind: str, multimask: str = "first", **options: Any) -> dict[str, nn.Module]:
    """Return small networks under synthetic weights, ready to answer."""
    if kind == "hq_sam":
        options = {"hq_only": False, **options}
    networks: dict[str, nn.Module] = MAKERS[kind](multimask=multimask, **options)
    fill(networks, LAYOUTS[kind])
    return networks


def fill(
    networks: Mapping[str, nn.Module], layout: Layout, tweak: Mapping[str, Any] | None = None
) -> None:
    """Fill networks by their official keys; `tweak` multiplies or sets some of the tensors."""
    state = list_official(networks, layout)
    filled = fill_state(state)
    for key, (how, value) in (tweak or {}).items():
        filled[key] = filled[key] * value if how == "mul" else torch.full_like(filled[key], value)
    with torch.no_grad():
        for key, tensor in state.items():
            tensor.copy_(filled[key])
    for network in networks.values():
        network.requires_grad_(False).eval()


def list_tensors(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {key: x for network in networks.values() for key, x in network.state_dict().items()}


def list_official(networks: Mapping[str, nn.Module], layout: Layout) -> dict[str, Tensor]:
    return name_officially(layout, list_tensors(networks))


def make_predictor(networks: Mapping[str, Any], kind: str = "sam", **options: Scalar) -> Sam:
    """Return a predictor as the cards build it."""
    square = kind == "sam2"
    defaults = {**OPTIONS, "multimask": "never" if square else "always"}
    bound = SAM2_BOUND if square else None
    return Sam(networks, {**defaults, **options}, Runtime(), square, bound)


def encode_colours(frame: Tensor) -> tuple[Tensor]:
    """Return the embedding of the stand-in encoder: functions of the mean colours of patches."""
    means, channels = F.avg_pool2d(frame, 16), torch.arange(256)
    slope, shift = (torch.tensor(make_weyl(256, k)).float()[:, None, None] for k in (1, 2))
    return (torch.tanh(1.5 * slope * means[:, channels % 3] + shift),)
