"""How CSFPN answers a click: global to local (BMVC 2023), in the paper's way and in the code's.

The paper: one network segments the whole image, then the box of that answer, enlarged by 40 %; the
box is renewed at every click. Its released code: a network of its own for each pass, a larger box
around smaller objects, and a whole image whose answer goes to the last crop where the first pass
finds no object. Both give the second pass the first one's map as its previous mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from isbench.nn.predictor import (
    Network,
    Passes,
    Picture,
    State,
    View,
    begun,
    certain,
    concluded,
    pasted,
    placed,
)
from isbench.nn.zoom import Zoom
from isbench.types import Click, Image, Mask, Prediction, Turn

PAPER = Zoom(after=0, least=0, keep_iou=1.0)
RELEASED = Zoom(after=0, least=0, keep_iou=1.0, dynamic=True)


@dataclass(frozen=True)
class GlobalToLocal:
    """The predictor of CSFPN; `overall` sees whole images and `detail` crops."""

    overall: Network
    detail: Network
    view: View
    released: bool = False

    def begin(self, image: Image) -> Picture:
        """Return the image as networks see it."""
        return self.view.begin(image)

    def start(self, encoded: Picture, initial: Mask | None) -> State:
        """Return the state before the first click."""
        return begun(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.view.answers([self._answer(*turn) for turn in turns])

    def _answer(self, state: State, clicks: tuple[Click, ...]) -> Passes:
        zoom, pixels = self.view.zoom, state.picture.pixels
        clicks = placed(clicks, state.picture)
        inputs = torch.cat([pixels, state.probability], dim=1)
        answer = yield from self.view.looked(self.overall, inputs, clicks, None)
        box, fresh = state.box, None
        if zoom is not None:
            fresh = zoom.box(certain(answer, zoom.threshold), clicks, state.box)
            box = fresh or state.box
        if fresh is not None or self.released:
            inputs = torch.cat([pixels, answer], dim=1)
            answer = yield from self.view.looked(self.detail, inputs, clicks, fresh)
            if box is not None:
                answer = pasted(answer, box, state.probability.shape)
        return concluded(state, answer, box, self.view.threshold)
