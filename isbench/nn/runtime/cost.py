"""The cost of a card's networks: parameters and multiply-adds, in total and of each part.

Counted on torch's meta device, which computes nothing and takes no memory. Included are the
multiply-adds of convolutions and matrix products, also in attention (torch's FlopCounter, halved).
Norms, activations, pooling, resizing and click maps are not, since every counter treats them
differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from isbench.nn.network import Networks, make_examples

CLICKS = 20  # places in the table of clicks, which decide the cost of attention to clicks
COUNTED = (
    "multiply-adds of convolutions and matrix products for one pass of each network over one "
    f"image, without its mirror image, with {CLICKS} clicks; not norms, activations, resizing"
)

REST = "backbone"
# module names of networks, as in the official checkpoints
PARTS: Mapping[str, tuple[str, ...]] = {
    "clicks": ("maps_transform", "rgb_conv", "patch_embed_coords", "first_conv"),
    "SGM": ("feature_extractor.att",),
    "HSGM": ("feature_extractor.upatt",),
    "FDM": ("feature_extractor.FDM", "fdm_low", "fdm_high"),
    "decoder": ("prompt_encoder", "mask_decoder"),
    "head": (
        "head",
        "latent_head",
        "feature_extractor.aux_head",
        "feature_extractor.conv3x3_ocr",
        "feature_extractor.ocr_distri_head",
        "feature_extractor.cls_head",
        "pred_decoder",
        "first_pred_decoder",
    ),
    "refiner": ("refiner",),
}


class Count(NamedTuple):
    """Parameters and multiply-adds."""

    parameters: int
    macs: int  # multiply-adds of a pass


class Cost(NamedTuple):
    """The total cost of a card's networks, and that of each part."""

    whole: Count
    parts: Mapping[str, Count]


def count_cost(make: Callable[[], Networks], size: tuple[int, int]) -> Cost:
    """Return the cost of one pass of each network over an image of `size` rows and columns."""
    flops: dict[str, int] = {}  # by the name of a module, "" for a whole network
    parameters: dict[str, dict[int, int]] = {}  # sizes by identity: networks may share parameters
    with torch.device("meta"), torch.inference_mode():
        for network in make().values():
            network.eval()
            with FlopCounterMode(display=False) as counter:
                network(*make_examples(network, size, CLICKS))
            counts, root = counter.get_flop_counts(), type(network).__name__
            for name, module in network.named_modules():
                key = f"{root}.{name}" if name else "Global"
                flops[name] = flops.get(name, 0) + sum(counts.get(key, {}).values())
                own = parameters.setdefault(name, {})
                own.update((id(tensor), tensor.numel()) for tensor in module.parameters())
    parts = {part: _count(flops, parameters, names) for part, names in PARTS.items()}
    whole = _count(flops, parameters, ("",))
    rest = Count(
        whole.parameters - sum(count.parameters for count in parts.values()),
        whole.macs - sum(count.macs for count in parts.values()),
    )
    return Cost(whole, {REST: rest, **{part: c for part, c in parts.items() if any(c)}})


def _count(
    flops: Mapping[str, int], parameters: Mapping[str, Mapping[int, int]], names: Sequence[str]
) -> Count:
    """Return the cost of the modules with these names."""
    return Count(
        sum(sum(parameters.get(name, {}).values()) for name in names),
        sum(flops.get(name, 0) for name in names) // 2,
    )
