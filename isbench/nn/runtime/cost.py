"""The cost of a network: parameters and multiply-adds, in total and of each part.

Counted on torch's meta device, which computes nothing and takes no memory. Included are the
multiply-adds of convolutions and matrix products, also in attention (torch's FlopCounter, halved).
Norms, activations, pooling, resizing and click maps are not, since every counter treats them
differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

CLICKS = 20  # places in the table of clicks, which decide the cost of attention to clicks
COUNTED = (
    "multiply-adds of convolutions and matrix products for one pass over one image, without its "
    f"mirror image, with {CLICKS} clicks; not norms, activations, resizing"
)

REST = "backbone"
# module names of the family's networks, as in the official checkpoints
PARTS: Mapping[str, tuple[str, ...]] = {
    "clicks": ("maps_transform", "rgb_conv"),
    "SGM": ("feature_extractor.att",),
    "HSGM": ("feature_extractor.upatt",),
    "FDM": ("feature_extractor.FDM", "fdm_low", "fdm_high"),
    "head": (
        "head",
        "latent_head",
        "feature_extractor.aux_head",
        "feature_extractor.conv3x3_ocr",
        "feature_extractor.ocr_distri_head",
        "feature_extractor.cls_head",
    ),
}


class Count(NamedTuple):
    """Parameters and multiply-adds."""

    parameters: int
    macs: int  # multiply-adds of a pass


class Cost(NamedTuple):
    """The total cost of a network, and that of each of its parts."""

    whole: Count
    parts: Mapping[str, Count]


def count_cost(network: Callable[[], nn.Module], size: tuple[int, int]) -> Cost:
    """Return the cost of one pass of a network over an image of `size` rows and columns."""
    with torch.device("meta"), torch.inference_mode():
        module = network().eval()
        inputs, clicks = torch.zeros(1, 4, *size), torch.zeros(1, CLICKS, 3)
        with FlopCounterMode(display=False) as counter:
            module(inputs, clicks)
    counts = counter.get_flop_counts()
    root = type(module).__name__
    flops = {name: sum(counts.get(f"{root}.{name}", {}).values()) for name in _module_names(module)}
    parts = {
        part: Count(_parameters_of(module, names), sum(flops.get(name, 0) for name in names) // 2)
        for part, names in PARTS.items()
    }
    whole = Count(_count_parameters(module.parameters()), sum(counts["Global"].values()) // 2)
    rest = Count(
        whole.parameters - sum(count.parameters for count in parts.values()),
        whole.macs - sum(count.macs for count in parts.values()),
    )
    return Cost(whole, {REST: rest, **{part: c for part, c in parts.items() if any(c)}})


def _module_names(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_modules() if name]


def _parameters_of(network: nn.Module, names: tuple[str, ...]) -> int:
    modules = dict(network.named_modules())
    return sum(_count_parameters(modules[name].parameters()) for name in names if name in modules)


def _count_parameters(parameters: object) -> int:
    tensors: list[Tensor] = list(parameters)  # type: ignore[call-overload]
    return sum(tensor.numel() for tensor in tensors)
