"""The clicker `human`: as spread around the centre as people's clicks are; the same as `depth:4`.

People's first clicks on the objects of GrabCut, Berkeley, DAVIS and COCO_MVal have a mean depth of
0.64 to 0.69 of the deepest, and are as far from clicks with chance ~ depth as clicks with chance ~
depth ** 3 to 5 are [RClicks, NeurIPS 2024, arXiv:2410.11722]; 0.4 to 1.8 % of them miss the object.
"""

from __future__ import annotations

from isbench.evaluation.clickers.depth import make_depth
from isbench.types import Clicker, ClickFunction

ALPHA = 4.0  # exponent of the depth


def make_human(miss: float) -> ClickFunction:
    """Return the clicker; with chance `miss` its first click lands beside the object."""
    return make_depth(ALPHA, miss)


card = Clicker(
    name="human",
    make=make_human,
    parameters={"miss": 0.0},
    summary="a pixel drawn as people click: depth:4; miss=0.015 misses the object as often as they",
    source="measured on RClicks, arXiv:2410.11722",
    stochastic=True,
)
