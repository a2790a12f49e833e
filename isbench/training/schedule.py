"""Schedules of the learning rate and the crop size. Pure functions."""

from __future__ import annotations

import math

from isbench.training.recipe import Recipe

_FIRST, _LAST = 1 / 25, 1e-4  # of the learning rate, at both ends of "one-cycle"


def compute_rate_factor(recipe: Recipe, step: int, images: int) -> float:
    """Return the factor of the learning rate at a step, counted from 0.

    "one-cycle" rises from 1/25 during warm-up and falls to 1e-4, both along cosines [Smith and
    Topin, arXiv:1708.07120]; "cosine" rises linearly from 0 and falls along a cosine to 0; "steps"
    is divided by 10 at each milestone; "exponential" is multiplied by `rate_decay` after every
    epoch, and "constant" is 1.
    """
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "exponential":
        return recipe.rate_decay ** (step // recipe.count_steps_per_epoch(images))
    if recipe.schedule == "steps":
        now = step // recipe.count_steps_per_epoch(images) if not recipe.steps else step
        return 0.1 ** sum(now >= milestone for milestone in recipe.milestones)
    total = recipe.count_steps(images)
    warmup_steps = recipe.warmup * total
    cycle = recipe.schedule == "one-cycle"
    if step < warmup_steps:
        share = (step + 1) / (warmup_steps + 1)
        return _interpolate_cosine(_FIRST, 1.0, share) if cycle else share
    decayed = (step - warmup_steps) / max(1.0, total - warmup_steps)
    return _interpolate_cosine(1.0, _LAST if cycle else 0.0, decayed)


def choose_crop_size(recipe: Recipe, step: int, images: int) -> tuple[int, int]:
    """Return the rows and columns of the crops at a step."""
    share = step / recipe.count_steps(images)
    rows, cols, _ = [crop for crop in recipe.crops if crop.start <= share][-1]
    return rows, cols


def _interpolate_cosine(start: float, end: float, share: float) -> float:
    """Return the value at `share` of a half cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2
