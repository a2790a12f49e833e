"""What f-BRS minimises: how well logits agree with the clicks, as a function of scale and bias.

Squares around clicks must get the sign of their click, and the features must stay near what the
network computed. Not here: where features and clicks come from (`baselines.fbrs.predictor`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Variables = NDArray[np.float64]  # (2C,): what is added to a scale of 1, then biases

_WEIGHT = 1e-3  # of the squared changes of scales, and a tenth of that of biases
_MEMORY = 20  # corrections that the solver keeps
_SMALLEST_GRADIENT = 1e-8  # where the solver stops
_EPSILON = 1e-5  # added to the number of pixels
_POSITIVE_ERROR, _NEGATIVE_ERROR = 0.51, 0.49  # below both, every square has its sign
_THRESHOLD = 0.49  # of the masks that are compared between evaluations
_UNCHANGED_IOU = 0.99  # mean IoU above which a mask is that of the previous evaluation


class Squares(NamedTuple):
    """Pixels that must be object, and those that must not, each (B, 1, h, w) of 0 and 1."""

    positive: Tensor
    negative: Tensor


class Loss(NamedTuple):
    """The loss of a map, and its largest errors in squares of positive and negative clicks."""

    value: Tensor
    positive_error: Tensor
    negative_error: Tensor


class Solution(NamedTuple):
    """The result of a click's optimisation."""

    logits: Tensor  # (B, 1, h, w), of the evaluation with the lowest loss
    variables: Variables  # where the solver stopped, from which the next click starts
    losses: tuple[float, ...]  # of each evaluation


def draw_squares(
    items: Sequence[Sequence[tuple[float, float, bool]]],
    size: tuple[int, int],
    device: torch.device,
) -> Squares:
    """Return squares of 3x3 pixels around the clicks (row, col, positive) of each item of a batch.

    As in the original, halves are rounded to even, and the square is a slice whose numbers may be
    negative: a click in row or column 0 has none, and one further out of a crop may have its square
    at the opposite side.
    """
    maps = np.zeros((2, len(items), 1, *size), np.float32)
    for item, clicks in enumerate(items):
        for row, col, positive in clicks:
            y, x = round(row), round(col)
            maps[0 if positive else 1, item, 0, y - 1 : y + 2, x - 1 : x + 2] = 1
    return Squares(*torch.from_numpy(maps).to(device))


def rescale(features: Tensor, variables: Tensor) -> Tensor:
    """Return features (B, C, h, w) scaled and shifted by channel; `variables` has 2C numbers."""
    scale, bias = variables.view(2, 1, -1, 1, 1).unbind()
    return features * (1 + scale) + bias


def measure_change(variables: Tensor) -> Tensor:
    """Return the part of the loss that keeps the variables near 0."""
    scale, bias = variables.chunk(2)
    change: Tensor = _WEIGHT * ((scale**2).sum() + 10 * (bias**2).sum())
    return change


def measure_errors(probability: Tensor, squares: Squares) -> Loss:
    """Return the mean squared errors in the squares of each sign, added up."""
    misses = (1 - probability) * squares.positive
    false_alarms = probability * squares.negative
    value = (misses**2).sum() / (squares.positive.sum() + _EPSILON)
    value = value + (false_alarms**2).sum() / (squares.negative.sum() + _EPSILON)
    with torch.no_grad():
        return Loss(value, misses.abs().max(), false_alarms.abs().max())


class Objective:
    """The function that the solver minimises at one click, and the best that it has seen.

    Where the clicks are satisfied, or the mask changes no more, the gradient is 0, which ends the
    search.
    """

    def __init__(self, compute_logits: Callable[[Tensor], Tensor], squares: Squares) -> None:
        self.compute_logits, self.squares = compute_logits, squares
        self.losses: list[float] = []
        self.best_logits: Tensor | None = None
        self._kept_mask: Tensor | None = None

    def __call__(self, values: Variables) -> tuple[float, Variables]:
        """Return loss and gradient; both are computed in single precision."""
        variables = self.squares.positive.new_tensor(values).requires_grad_()
        logits = self.compute_logits(variables)
        probability = torch.sigmoid(logits)
        errors = measure_errors(probability, self.squares)
        loss = errors.value + measure_change(variables)
        value = loss.item()
        if self.best_logits is None or value < min(self.losses):
            self.best_logits = logits.detach()
        self.losses.append(value)
        satisfied = (errors.positive_error < _POSITIVE_ERROR) & (
            errors.negative_error < _NEGATIVE_ERROR
        )
        if satisfied or self._is_unchanged(probability > _THRESHOLD):
            return value, np.zeros_like(values)
        (gradient,) = torch.autograd.grad(loss, variables)
        return value, gradient.cpu().numpy().astype(np.float64)

    def _is_unchanged(self, mask: Tensor) -> bool:
        """Return whether the mask is nearly the kept one; if not, it is kept from now on."""
        if self._kept_mask is not None:
            either = (mask | self._kept_mask).sum((1, 2, 3))
            both = (mask & self._kept_mask).sum((1, 2, 3))
            overlap = (both / either)[either > 0]
            if len(overlap) and overlap.mean() > _UNCHANGED_IOU:
                return True
        self._kept_mask = mask
        return False


def optimise(objective: Objective, start: Variables, maxfun: int) -> Solution:
    """Minimise an objective with L-BFGS-B from `start`, in about `maxfun` evaluations.

    The solver counts evaluations after each line search, and may therefore take a few more.
    """
    # here, since it takes a moment and most commands need no solver
    from scipy.optimize import fmin_l_bfgs_b

    variables, _, _ = fmin_l_bfgs_b(
        objective,
        start,
        m=_MEMORY,
        factr=0,
        pgtol=_SMALLEST_GRADIENT,
        maxfun=maxfun,
        maxiter=2 * maxfun,
    )
    assert objective.best_logits is not None
    return Solution(objective.best_logits, variables, tuple(objective.losses))
