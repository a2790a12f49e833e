"""Batch norms folded into the convolutions before them: fewer passes over memory, the same sums.

Which convolution feeds which norm is watched rather than told, so that it holds for any network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(network: nn.Module, trial: Callable[[], object]) -> int:
    """Fold the norms of a network in eval mode, in place, and return how many.

    `trial` computes the network once; a norm is folded whose input is what a convolution returned.
    """
    pairs = _pairs(network, trial)
    names = {module: name for name, module in network.named_modules()}
    for norm, conv in pairs.items():
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        _put(network, names[conv], fuse_conv_bn_eval(conv, norm))
        _put(network, names[norm], nn.Identity())
    return len(pairs)


def _pairs(network: nn.Module, trial: Callable[[], object]) -> dict[nn.Module, nn.Module]:
    """Return the convolution before each norm, of those that are used once."""
    made: list[tuple[Tensor, nn.Module]] = []  # tensors are held, so that no other takes their id
    fed: list[tuple[nn.Module, int]] = []

    def conv(module: nn.Module, _: Any, output: Tensor) -> None:
        made.append((output, module))

    def norm(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        fed.append((module, id(inputs[0])))

    hooks = [
        *(one.register_forward_hook(conv) for one in network.modules() if type(one) is nn.Conv2d),
        *(
            one.register_forward_pre_hook(norm)
            for one in network.modules()
            if isinstance(one, nn.BatchNorm2d)
        ),
    ]
    try:
        with torch.inference_mode():
            trial()
    finally:
        for hook in hooks:
            hook.remove()
    by_output = {id(output): module for output, module in made}
    used = [module for _, module in made]
    return {
        module: by_output[source]
        for module, source in fed
        if source in by_output and used.count(by_output[source]) == 1
    }


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)
