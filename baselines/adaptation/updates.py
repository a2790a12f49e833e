"""Updates of a network's weights from clicks: the loss, and steps of Adam on a copy of the weights.

The loss is share * S + (1 - share) * D + gamma * P. S is the cross-entropy inside the disks of the
clicks, D that with a mask that should hardly change, and P the squared distance from the weights
that the copy started from, or an earlier state of them, weighted by importance. Source: the paper's
abstract (arXiv:1911.12709) and a re-implementation; see docs/models.md. Not here: what is adapted
to what, and when (`predictor`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam

Weights: TypeAlias = Mapping[str, Tensor]  # parameters of a network by name; never modified


@dataclass(frozen=True)
class UpdateConfig:
    """How weights are updated at one occasion."""

    steps: int
    learning_rate: float
    share: float  # weight of the clicks; the mask has the rest
    gamma: float  # weight of the distance from the anchor


class Labels(NamedTuple):
    """What the network should answer."""

    disks: Tensor  # (1, 2, h, w) of positive and negative clicks, 1 inside
    mask: Tensor  # (1, 1, h, w): 1 object, 0 background, -1 ignored


class Anchor(NamedTuple):
    """The weights that a copy stays close to, and how much each of them matters."""

    weights: Weights
    importance: Mapping[str, Tensor]  # shaped like the weights, or a number for all of a tensor


class Trial:
    """A copy of weights that is updated in place, with its optimiser; for one object at a time."""

    def __init__(self, start: Weights, learning_rate: float) -> None:
        self.weights = {name: value.detach().clone() for name, value in start.items()}
        for value in self.weights.values():
            value.requires_grad_()
        self._optimiser = Adam(self.weights.values(), learning_rate)

    def update(
        self,
        forward: Callable[[Weights], Tensor],
        labels: Labels,
        anchor: Anchor,
        config: UpdateConfig,
    ) -> list[float]:
        """Take the steps, and return the loss before each; `forward` maps weights to logits.

        Raises ValueError for a loss that is not finite.
        """
        losses = []
        for _ in range(config.steps):
            self._optimiser.zero_grad(set_to_none=True)
            logits = forward(self.weights)
            clicks, mask = corrections(logits, labels.disks), agreement(logits, labels.mask)
            loss = config.share * clicks + (1 - config.share) * mask
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()) + self._pull(anchor, config.gamma))
            if not isfinite(losses[-1]):
                raise ValueError(
                    "the loss of its adaptation is not finite: wrong or damaged weights, or a "
                    "learning rate that is too high"
                )
            self._optimiser.step()
        return losses

    def finish(self) -> Weights:
        """Return the weights, detached; the copy must not be updated any more."""
        return {name: value.detach() for name, value in self.weights.items()}

    @torch.no_grad()
    def _pull(self, anchor: Anchor, gamma: float) -> float:
        """Add the gradient of gamma * P, and return its value.

        Autograd would keep a copy of all weights for it. Weights without effect on the output have
        no gradient and never leave the anchor.
        """
        total = torch.zeros(())
        for name, value in self.weights.items():
            if value.grad is not None:
                difference = value - anchor.weights[name]
                weighted = anchor.importance[name] * difference
                value.grad.add_(weighted, alpha=2 * gamma)
                total = total + (weighted * difference).sum().cpu()
        return gamma * float(total)


def corrections(logits: Tensor, disks: Tensor) -> Tensor:
    """Return the mean cross-entropy inside the disks: 1 in positive ones, 0 in negative ones.

    A pixel in disks of both signs counts for both. Without a pixel in a disk it is 0.
    """
    targets = torch.tensor([1.0, 0.0], device=logits.device).reshape(1, 2, 1, 1).expand_as(disks)
    both = logits.float().expand_as(disks)
    losses = F.binary_cross_entropy_with_logits(both, targets, reduction="none")
    return (losses * disks).sum() / disks.sum().clamp(min=1)


def agreement(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the mean cross-entropy with a mask over its pixels that are not ignored."""
    counted = mask >= 0
    losses = F.binary_cross_entropy_with_logits(logits.float(), mask.clamp(min=0), reduction="none")
    return torch.where(counted, losses, 0).sum() / counted.sum().clamp(min=1)


def uniform_importance(weights: Weights) -> dict[str, Tensor]:
    """Return importance 1 for all weights."""
    return {name: value.new_ones(()) for name, value in weights.items()}
