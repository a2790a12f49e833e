"""Mask losses: normalised focal loss, binary cross-entropy and soft IoU, one value per sample.

Target 1 is object, 0 background, -1 ignored. Source: Sofiiuk et al. 2019, AdaptIS
(arXiv:1909.07829), in the form that RITM trains with.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_TINY = 1e-12


def normalised_focal_loss(
    logits: Tensor, target: Tensor, alpha: float, gamma: float, weights: Tensor | None = None
) -> Tensor:
    """Return the loss of (B, 1, H, W) logits against a target of the same shape, (B,).

    The focal loss is -alpha_t (1 - p_t)^gamma log(p_t), with the weights (1 - p_t)^gamma scaled to
    a mean of 1 over the scored pixels of a sample; the scale is not differentiated. alpha_t is
    `alpha` on the object and 1 - `alpha` elsewhere. The mean over the scored pixels is weighted by
    `weights`, (B, 1, H, W), if there are any. A sample without scored pixels has loss 0.
    """
    logits, scored = logits.float(), target >= 0
    probability = torch.sigmoid(logits)
    weight = torch.where(scored, (target - probability).abs().pow(gamma), 0)  # (1 - p_t)^gamma
    counts = scored.sum(dim=(1, 2, 3))
    with torch.no_grad():
        scale = counts / (weight.sum(dim=(1, 2, 3)) + _TINY)
    share = torch.where(target > 0.5, alpha, 1 - alpha)
    # log(p_t) is computed from the logit: exact even where p_t underflows in float32
    log = F.logsigmoid(torch.where(target > 0.5, logits, -logits))
    loss = torch.where(scored, -share * weight * log, 0)
    if weights is None:
        return loss.sum(dim=(1, 2, 3)) * scale / counts.clamp(min=1)
    weights = torch.where(scored, weights, 0)
    total = weights.sum(dim=(1, 2, 3)).clamp(min=_TINY)
    return (loss * weights).sum(dim=(1, 2, 3)) * scale / total


def binary_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Return the loss of (B, 1, H, W) logits, (B,): the mean over all pixels, 0 at ignored ones.

    Each pixel counts `weight` times, a number or (B, 1, H, W).
    """
    loss = F.binary_cross_entropy_with_logits(logits.float(), target.clamp(min=0), reduction="none")
    return torch.where(target >= 0, weight * loss, 0).mean(dim=(1, 2, 3))


def soft_iou_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 - IoU of probabilities and target, (B,), from logits and target of (B, 1, H, W).

    The intersection is the sum of p * t over the scored pixels, the union that of p + t - p * t
    [Rahman and Wang 2016]. It is 1 where the target is empty.
    """
    scored = target >= 0
    probability = torch.where(scored, torch.sigmoid(logits.float()), 0)
    truth = (target > 0.5).to(probability.dtype)
    both = (probability * truth).sum(dim=(1, 2, 3))
    either = (probability + truth).sum(dim=(1, 2, 3)) - both
    return 1 - both / either.clamp(min=_TINY)
