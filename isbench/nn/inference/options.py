"""Options of cards of the RITM family and their defaults. Cards read them, so no import of torch.

What they do is in `predictor` and `cascade`.
"""

from __future__ import annotations

from collections.abc import Mapping

from isbench.types import Scalar

# Options of every card of the family, in addition to those of the cascade. With zoom_target=0 and
# longest_side=-1 the data set's value is used and recorded.
OPTIONS: Mapping[str, Scalar] = {
    "zoom": True,
    "zoom_target": 0,  # longer side of a crop as the network sees it, in pixels
    "flip": True,
    "threshold": 0.49,  # probability above which a pixel belongs to the object
    "overview": 0,  # longer side of a pass over the whole image, in pixels; 0: unscaled
    "longest_side": -1,  # of the image as networks see it, in pixels; 0: unscaled
}
# options of cards whose predictions can be repeated; runs were recorded before there were any
CASCADE: Mapping[str, Scalar] = {
    "cascade": 0,  # passes after the first one
    "cascade_clicks": 1,  # games with more clicks get one pass
    "cascade_adaptive": False,  # stop once a pass changes hardly anything
}
