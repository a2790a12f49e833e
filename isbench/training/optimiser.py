"""Weight initialisation, the optimiser with its learning rates, and the running mean."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from isbench.errors import IsbenchError
from isbench.nn.stem import ZeroConv2d
from isbench.training.recipe import Recipe, Weighted

_GAIN = math.sqrt(2.0)  # of PyTorch's Xavier rule, whose variance is 1 over the mean fan


def draw_weights(network: nn.Module, rule: str, seed: int) -> None:
    """Initialise every convolution by a rule of `recipe.INITIALS`.

    Norms, gates and convolutions that start at zero (`ZeroConv2d`) are unchanged.

    "gluon" is a normal distribution of variance 2 over the mean of both fans, with zero biases
    [Xavier initialisation as in the RITM family]; "torch" keeps PyTorch's initialisation.
    """
    if rule == "torch":
        return
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, ZeroConv2d):
            nn.init.xavier_normal_(module.weight, _GAIN, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def freeze_weights(network: nn.Module, recipe: Recipe) -> None:
    """Freeze the parameters whose learning-rate factor is 0, which saves their gradients.

    Raises IsbenchError if that would leave no parameter to train, for a multiplier whose name is
    not a prefix of any parameter's name, and for frozen norms that the network does not have.
    """
    names = [name for name, _ in network.named_parameters()]
    for one in recipe.multipliers:
        if not any(name.startswith(one.name) for name in names):
            raise IsbenchError(
                f"recipe: multiplier {one.name!r} is not a prefix of any parameter's name; wanted "
                f"one such as {names[0]!r}",
                setting="settings",
            )
    norms = list_norms(network)
    if recipe.frozen_norms and not any(name.startswith(recipe.frozen_norms) for name in norms):
        such_as = f"one such as {next(iter(norms))!r}" if norms else "none: it has no batch norm"
        raise IsbenchError(
            f"recipe: frozen_norms {recipe.frozen_norms!r} is not a prefix of any batch norm's "
            f"name; wanted {such_as}",
            setting="settings",
        )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(find_multiplier(name, recipe.multipliers) > 0)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise IsbenchError(
            "recipe: multipliers are 0 for all parameters; nothing would be trained",
            setting="settings",
        )


def list_norms(network: nn.Module) -> dict[str, nn.Module]:
    """Return the batch norms of a network by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }


def make_optimiser(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Return Adam, AdamW or SGD with momentum, with one parameter group per learning-rate factor.

    Frozen parameters (`freeze_weights`) are in no group.
    """
    groups = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[find_multiplier(name, recipe.multipliers)].append(parameter)
    named = [{"params": group, "factor": factor} for factor, group in groups.items()]
    rate, decay, betas = recipe.learning_rate, recipe.weight_decay, recipe.betas
    if recipe.optimiser == "sgd":
        return SGD(named, lr=rate, momentum=betas.low, weight_decay=decay)
    kind = AdamW if recipe.optimiser == "adamw" else Adam
    # fused: one pass over the weights, a tenth of a step of small networks on a CPU
    return kind(named, lr=rate, betas=(betas.low, betas.high), weight_decay=decay, fused=True)


def find_multiplier(name: str, multipliers: Sequence[Weighted]) -> float:
    """Return a parameter's learning-rate factor: that of the longest matching prefix, else 1."""
    matching = [one for one in multipliers if name.startswith(one.name)]
    return max(matching, key=lambda one: len(one.name)).factor if matching else 1.0


def set_rate(optimiser: Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group, multiplied by the group's factor."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["factor"]


@torch.no_grad()
def update_mean(mean: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Update the running mean (EMA) of a network's state after `step`, counted from 1.

    The effective decay grows with the steps up to `decay`, so that the initial values are soon
    forgotten; integer buffers are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    old, new = mean.state_dict(), network.state_dict()
    floats = [key for key, value in old.items() if value.is_floating_point()]
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    average([old[key] for key in floats], [new[key] for key in floats], step)
    for key in old.keys() - set(floats):
        old[key].copy_(new[key])
