"""The clicker `best:k`: of k clicks of `human`, the one with the highest IoU; an upper bound."""

from __future__ import annotations

from isbench.evaluation.clickers.worst import make_candidates
from isbench.types import Clicker, ClickFunction


def make_best(k: int) -> ClickFunction:
    """Return the clicker that keeps the highest IoU."""
    return make_candidates(k, "highest")


card = Clicker(
    name="best",
    make=make_best,
    parameters={"k": 8},
    summary="of k clicks of human, the one whose answer has the highest IoU",
    stochastic=True,
    sees_answers=True,
)
