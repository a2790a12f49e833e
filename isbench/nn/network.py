"""The contract of networks: tensors in, tensors out, and example inputs of any size.

Backends, costs and checks know a network by its example inputs only. Not here: weights
(`runtime.checkpoint`) and devices (`runtime.compute`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError

# a network on a backend: called like the module, without gradients unless the card asks for them
Computed: TypeAlias = Callable[..., tuple[Tensor, ...]]
# from a card's options to its networks by name; see `ModelCard.networks`
Networks: TypeAlias = Mapping[str, nn.Module]


class Network(Protocol):
    """What a module must offer to be a card's network."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs. Dimension 0 of every input and output is the batch."""

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return valid inputs with a batch of 1 for an image of `size` rows and columns.

        `points` is the number of places for clicks, an even number. A dimension that changes with
        `size` or `points` may have any length; all others are fixed, but for the batch.
        """

    # A network may also have `for_inference() -> nn.Module`: a copy with the same inputs, and the
    # same outputs up to rounding, in fewer operations. The OpenVINO backend computes that one.


def make_examples(network: nn.Module, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
    """Return a network's example inputs; raises IsbenchError for a module without valid ones."""
    check_examples(network)
    inputs: Any = network.example_inputs(size, points)  # type: ignore[operator]
    if not _are_tensors(inputs, batch=1):
        raise IsbenchError(
            f"network {type(network).__name__} has example_inputs of {_describe(inputs)}; wanted a "
            "tuple of tensors with a batch of 1"
        )
    valid: tuple[Tensor, ...] = inputs
    return valid


def check_examples(network: nn.Module) -> None:
    """Raise IsbenchError for a module without a method `example_inputs`."""
    if not callable(getattr(network, "example_inputs", None)):
        raise IsbenchError(
            f"network {type(network).__name__} has no example_inputs(size, points); wanted a "
            "method that returns a tuple of tensors"
        )


def simplify(network: nn.Module) -> nn.Module:
    """Return the network in fewer operations if it has `for_inference`, else the network."""
    make = getattr(network, "for_inference", None)
    simple: nn.Module = make() if callable(make) else network
    return simple


def compute_outputs(network: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return a network's outputs; raises IsbenchError unless they are a tuple of such batches."""
    outputs: Any = network(*inputs)
    batch = len(inputs[0])
    if not _are_tensors(outputs, batch):
        raise IsbenchError(
            f"network {type(network).__name__} returns {_describe(outputs)}; wanted a tuple of "
            f"tensors with a batch of {batch}, as that of its inputs"
        )
    valid: tuple[Tensor, ...] = outputs
    return valid


def _are_tensors(found: Any, batch: int) -> bool:
    return (
        isinstance(found, tuple)
        and bool(found)
        and all(isinstance(x, Tensor) and x.ndim > 0 and len(x) == batch for x in found)
    )


def _describe(found: Any) -> str:
    if isinstance(found, tuple):
        return f"({', '.join(map(_describe, found))})"
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    return f"a {type(found).__name__}"


def example_image(size: tuple[int, int], channels: int = 4) -> Tensor:
    """Return (1, channels, H, W): up to three channels of colours in [0, 1] and a mask."""
    ramp = torch.linspace(0, 1, size[0] * size[1]).reshape(1, 1, *size)
    layers = torch.cat([ramp, (7 * ramp) % 1, (31 * ramp) % 1, (ramp > 0.4).float()], dim=1)
    return layers[:, :channels]


def example_points(size: tuple[int, int], points: int) -> Tensor:
    """Return (1, points, 5) places inside the image, all used, as `encode_points` returns them."""
    order = torch.arange(points, dtype=torch.float32)
    rows, cols = (0.3 + 0.38 * order) % 1 * size[0], (0.3 + 0.29 * order) % 1 * size[1]
    half = points // 2
    # positive and negative clicks alternate
    turn = torch.cat([2 * order[:half], 2 * order[: points - half] + 1])
    exact = torch.zeros_like(order)
    return torch.stack([rows, cols, turn, exact, exact], dim=-1)[None]
