"""What options of models do, for people. Not here: their defaults, which are on the cards."""

from __future__ import annotations

from collections.abc import Mapping

from isbench.types import ModelCard, Scalar

# options with these values are replaced by the data set's
LEFT_TO_DATA: Mapping[str, Scalar] = {
    "zoom_target": 0,
    "zoom_square": 0,
    "view_size": 0,
    "longest_side": -1,
}

# an option of this name does the same in every model that comes with isbench, unless its card
# says otherwise
_MEANINGS: Mapping[str, str] = {
    "adapt_from": "first click at which the weights are adapted to the object",
    "beta": "how strongly differences of colour hinder the random walk",
    "cascade": "passes after the first one, each on the answer of the one before",
    "cascade_adaptive": "end the passes once one changes hardly anything",
    "cascade_clicks": "games with more clicks than this get a single pass",
    "feed_back": "when the last answer is part of the prompt: rclicks, always or never",
    "flip": "average the logits with those of the flipped image",
    "forget": "pseudo clicks are dropped at the next click of the user",
    "g2l": "two passes: over the whole image, then over the box that the first one finds",
    "global_clicks": "with g2l, first clicks with two passes; later ones zoom in (0: all clicks)",
    "gamma": "weight of the distance from the weights before the adaptation",
    "hq_only": "take HQ-SAM's mask alone instead of adding it to SAM's",
    "hsgm": "propagation between high-level and low-level features",
    "image_rate": "learning rate within an object",
    "image_share": "weight of the clicks in the loss within an object; the mask has the rest",
    "image_step": "how the image is resized for the encoder: rclicks, official or transformers",
    "image_steps": "steps of the adaptation at a click",
    "iterations": "iterations of GrabCut after each click",
    "joined": "clicks are concatenated with the colours instead of entering after the stem",
    "longer_side": "images are scaled down to this longer side, in pixels",
    "longest_side": "images are scaled down to this before anything else, in pixels; 0: never, "
    "-1: the data set's",
    "maxfun": "about how many times the head of the network is evaluated at a click",
    "min_radius": "predicted errors that are nowhere deeper get no pseudo click, in pixels",
    "mode": "what is adapted: frozen, IA (within an object), SA (across objects) or IA+SA",
    "multimask": "clicks that are answered by the best of three masks: always, first or never",
    "net_clicks": "first clicks that enter the network; the others act on the loss only",
    "overview": "longer side of a pass over the whole image, in pixels; 0: its own resolution",
    "previous_mask": "the previous mask is an input of the network",
    "pseudo_clicks": "pseudo clicks after each click of the user, at most",
    "pseudo_radius": "radius of the disk of a pseudo click, in pixels of the input",
    "reach": "radius of the soft labels around a click, as a share of the longer side",
    "released": "the two networks and the quirks of the released code",
    "rounds": "rounds of focus views after a click; 0: none",
    "seed": "radius of the labels of a click, as a share of the longer side",
    "sequence_rate": "learning rate after an object",
    "sequence_share": "weight of the clicks in the loss after an object; the mask has the rest",
    "sequence_steps": "steps of the adaptation after an object",
    "sgm": "propagation of clicks over high-level features",
    "sis": "keep only the parts of the mask that have a positive click",
    "size": "side of what every pass sees, in pixels: of a square, or the shorter one of an image",
    "square": "crops are resized to squares instead of keeping their proportions",
    "threshold": "probability above which a pixel belongs to the object",
    "view_size": "shorter side of a view as the network sees it, in pixels; 0: the data set's",
    "zoom": "crop to the object before a pass",
    "zoom_square": "side of the square that every pass sees, in pixels; 0: the data set's",
    "zoom_target": "longer side of a crop as the network sees it, in pixels; 0: the data set's",
}


def find_meaning(card: ModelCard, option: str) -> str:
    """Return what an option of a model does, "" if neither its card nor isbench says it."""
    return card.meanings.get(option, _MEANINGS.get(option, ""))
