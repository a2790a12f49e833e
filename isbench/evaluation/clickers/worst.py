"""The clicker `worst:k`: of k clicks of `human`, the one with the lowest IoU; a lower bound.

Greedy and without gradients: not comparable with the clicks that TETRIS optimises
[arXiv:2402.06132].
"""

from __future__ import annotations

from typing import Literal

from isbench.evaluation.clickers.human import make_human
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Proposal

MOST = 100  # candidates


def make_candidates(k: int, keep: Literal["lowest", "highest"]) -> ClickFunction:
    """Return the clicker that draws `k` clicks; the game goes on from one answer.

    Raises ValueError for a `k` below 1 or above 100.
    """
    if not 1 <= k <= MOST:
        raise ValueError(f"wanted a k from 1 to {MOST}")
    human = make_human(miss=0.0)

    def click(given: ClickInput) -> Click | Proposal:
        clicks: tuple[Click, ...] = ()
        mark = ""
        for _ in range(k):
            drawn = human(given)
            if isinstance(drawn, Proposal):
                clicks, mark = (*clicks, *drawn.clicks), drawn.mark
            else:
                clicks = (*clicks, drawn)
        return Proposal(clicks, keep, mark)

    return click


def make_worst(k: int) -> ClickFunction:
    """Return the clicker that keeps the lowest IoU."""
    return make_candidates(k, "lowest")


card = Clicker(
    name="worst",
    make=make_worst,
    parameters={"k": 8},
    summary="of k clicks of human, the one whose answer has the lowest IoU",
    stochastic=True,
    sees_answers=True,
)
