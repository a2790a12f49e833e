"""What moves the weights: first values, the optimiser with its learning rates, the running mean."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from isbench.errors import IsbenchError
from isbench.training.recipe import Recipe, Weighted

_GAIN = math.sqrt(2.0)  # of torch's rule, whose variance is 1 over the mean of the fans


def draw_weights(network: nn.Module, rule: str, seed: int) -> None:
    """Draw every convolution anew by a rule of `recipe.INITIALS`; norms and gates stay.

    "gluon" is a normal distribution of variance 2 over the mean of both fans, biases 0 [Xavier
    initialisation as the RITM family has it]; "torch" leaves what torch drew.
    """
    if rule == "torch":
        return
    lots = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight, _GAIN, generator=lots)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def make_optimiser(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Return Adam or AdamW over groups of parameters; each has its factor of the learning rate.

    Raises IsbenchError for a multiplier whose name is the beginning of no parameter's.
    """
    names = [name for name, _ in network.named_parameters()]
    for one in recipe.multipliers:
        if not any(name.startswith(one.name) for name in names):
            raise IsbenchError(
                f"recipe: multiplier {one.name!r} is the beginning of no parameter's name; wanted "
                f"one such as {names[0]!r}"
            )
    groups = defaultdict(list)
    for name, parameter in network.named_parameters():
        groups[rate_multiplier(name, recipe.multipliers)].append(parameter)
    kind = AdamW if recipe.optimiser == "adamw" else Adam
    return kind(
        [{"params": members, "factor": factor} for factor, members in groups.items()],
        lr=recipe.learning_rate,
        betas=(recipe.betas.low, recipe.betas.high),
        weight_decay=recipe.weight_decay,
    )


def rate_multiplier(name: str, multipliers: Sequence[Weighted]) -> float:
    """Return a parameter's factor of the learning rate: that of the longest prefix of its name."""
    fitting = [one for one in multipliers if name.startswith(one.name)]
    return max(fitting, key=lambda one: len(one.name)).factor if fitting else 1.0


def set_rate(stepping: Optimizer, learning_rate: float) -> None:
    """Set the learning rate, each group's factor on top."""
    for group in stepping.param_groups:
        group["lr"] = learning_rate * group["factor"]


@torch.no_grad()
def update_mean(mean: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the running mean of a network's state towards what it is after a step, from 1 on.

    The decay grows with the steps to `decay`, so that the first values are soon forgotten; counts
    are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    old, new = mean.state_dict(), network.state_dict()
    floats = [key for key, value in old.items() if value.is_floating_point()]
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    move([old[key] for key in floats], [new[key] for key in floats], step)
    for key in old.keys() - set(floats):
        old[key].copy_(new[key])
