"""What options of models do, for people. Not here: their defaults, which are on the cards."""

from __future__ import annotations

from collections.abc import Mapping

from isbench.types import ModelCard

# an option of this name does the same in every model that comes with isbench, unless its card
# says otherwise
_MEANINGS: Mapping[str, str] = {
    "beta": "how strongly differences of colour hinder the random walk",
    "flip": "average the logits with those of the flipped image",
    "g2l": "two passes: over the whole image, then over the box that the first one finds",
    "hsgm": "propagation between high-level and low-level features",
    "iterations": "iterations of GrabCut after each click",
    "joined": "clicks are concatenated with the colours instead of entering after the stem",
    "longer_side": "images are scaled down to this longer side, in pixels",
    "longest_side": "images are scaled down to this before anything else, in pixels; 0: never",
    "overview": "longer side of a pass over the whole image, in pixels; 0: its own resolution",
    "previous_mask": "the previous mask is an input of the network",
    "reach": "radius of the soft labels around a click, as a share of the longer side",
    "released": "the two networks and the quirks of the released code",
    "seed": "radius of the labels of a click, as a share of the longer side",
    "sgm": "propagation of clicks over high-level features",
    "size": "side of the square that every pass sees, in pixels",
    "threshold": "probability above which a pixel belongs to the object",
    "zoom": "crop to the object before a pass",
    "zoom_target": "longer side of a crop as the network sees it, in pixels",
}


def find_meaning(card: ModelCard, option: str) -> str:
    """Return what an option of a model does, "" if neither its card nor isbench says it."""
    return card.meanings.get(option, _MEANINGS.get(option, ""))
