"""The clicker `uniform`: any wrong pixel with equal chance, as SAM 2's method of this name."""

from __future__ import annotations

from isbench.evaluation.clickers.random import random
from isbench.types import Clicker

card = Clicker(
    name="uniform",
    make=lambda: random,
    summary="any wrong pixel with equal chance; clicks as random does",
    source="SAM 2, arXiv:2408.00714",
    stochastic=True,
)
