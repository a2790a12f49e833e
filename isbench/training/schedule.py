"""What changes over a training: the learning rate and the size of the crops. Pure functions."""

from __future__ import annotations

import math

from isbench.training.recipe import Recipe

_FIRST, _LAST = 1 / 25, 1e-4  # of the learning rate, at both ends of "one-cycle"


def rate_factor(recipe: Recipe, step: int, images: int) -> float:
    """Return the factor of the learning rate at a step, counted from 0.

    "one-cycle" rises from a 25th over the warm-up and falls to a 10,000th, both as cosines [Smith
    and Topin, arXiv:1708.07120]; "cosine" rises from 0 on a line and falls to 0; "steps" is a tenth
    from each milestone on, and "constant" is 1.
    """
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "steps":
        now = step // recipe.per_epoch(images) if not recipe.steps else step
        return 0.1 ** sum(now >= milestone for milestone in recipe.milestones)
    total = recipe.total(images)
    rising = recipe.warmup * total
    cycle = recipe.schedule == "one-cycle"
    if step < rising:
        share = (step + 1) / (rising + 1)
        return _eased(_FIRST, 1.0, share) if cycle else share
    fallen = (step - rising) / max(1.0, total - rising)
    return _eased(1.0, _LAST if cycle else 0.0, fallen)


def crop_size(recipe: Recipe, step: int, images: int) -> tuple[int, int]:
    """Return rows and columns of the crops at a step."""
    share = step / recipe.total(images)
    rows, cols, _ = [crop for crop in recipe.crops if crop.start <= share][-1]
    return rows, cols


def _eased(start: float, end: float, share: float) -> float:
    """Return a number on the half cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2
