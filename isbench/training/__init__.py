"""Training of networks: recipes as values and one resumable loop; torch is imported on first use.

Not here: the recipe of each model (its card), and losses (`isbench.nn.losses`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from isbench.training.recipe import (
    Augmentation,
    Checks,
    ClickSampling,
    Crop,
    Range,
    Recipe,
    Weighted,
)

if TYPE_CHECKING:
    from isbench.training.loop import Outcome, train

__all__ = [
    "Checks",
    "Crop",
    "ClickSampling",
    "Outcome",
    "Range",
    "Recipe",
    "Augmentation",
    "Weighted",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import names that need torch on first use."""
    if name in ("Outcome", "train"):
        return getattr(import_module("isbench.training.loop"), name)
    raise AttributeError(f"module 'isbench.training' has no attribute {name!r}")
