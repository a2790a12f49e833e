"""The clicker `slip:P`: `centre`, with the wrong sign now and then."""

from __future__ import annotations

from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.clickers.depth import SLIP
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Proposal


def make_slip(chance: float) -> ClickFunction:
    """Return the clicker that flips the sign of a click with a chance from 0 to 1.

    The click (0, 0) of a mask without errors keeps its sign. Raises ValueError for another chance.
    """
    if not 0 <= chance <= 1:
        raise ValueError("wanted a chance from 0 to 1")

    def click(given: ClickInput) -> Click | Proposal:
        right = centre(given)
        slips = given.rng.random() < chance
        if not slips or not ((given.mask != given.truth) > given.ignore).any():
            return right
        return Proposal((right._replace(positive=not right.positive),), mark=SLIP)

    return click


card = Clicker(
    name="slip",
    make=make_slip,
    parameters={"chance": 0.1},
    summary="the centre, with the wrong sign with this chance",
    source="DGC, github.com/whiteseu/dgc-interactive-segmentation",
    stochastic=True,
)
