"""How networks of the RITM family answer a click: zoom in, mirror, threshold (arXiv:2102.06583).

A pass sees the crop of image and last probabilities, and its mirror image; their logits are
averaged. Its probabilities are pasted into zeros: what is outside the crop is background. As in
the original, an answer without object makes the next pass see the whole image while the answer
still goes to the last crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from isbench.nn.clickmaps import mirrored, points
from isbench.nn.stem import raised
from isbench.nn.zoom import Box, Zoom, into
from isbench.types import Click, Image, Mask, Prediction, Turn


class Network(Protocol):
    """RGB in [0, 1] and the last probabilities, (B, 4, H, W), and points to logits (B, 1, H, W)."""

    def __call__(self, image: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits at the image's size."""


class State(NamedTuple):
    """What is known of an object after a click."""

    image: Tensor  # (1, 3, H, W), RGB in [0, 1]
    probability: Tensor  # (1, 1, H, W), of the last answer
    box: Box | None  # the last crop


@dataclass(frozen=True)
class MaskGuided:
    """The predictor of a network that takes its own last answer back as an input."""

    network: Network
    zoom: Zoom | None
    flip: bool
    threshold: float

    def begin(self, image: Image) -> Tensor:
        """Return the image as a (1, 3, H, W) tensor in [0, 1]."""
        pixels = torch.from_numpy(np.array(image.transpose(2, 0, 1)))
        return pixels[None].float() / 255

    def start(self, encoded: Tensor, initial: Mask | None) -> State:
        """Return the state before the first click; an initial mask counts as certain."""
        blank = torch.zeros(1, 1, *encoded.shape[-2:])
        if initial is not None:
            blank = torch.from_numpy(initial)[None, None].float()
        return State(encoded, blank, None)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn by itself: a CPU's numbers depend on the batch."""
        with torch.inference_mode():
            return [self._answer(turn.state, turn.clicks) for turn in turns]

    def _answer(self, state: State, clicks: tuple[Click, ...]) -> Prediction:
        inputs = torch.cat([state.image, state.probability], dim=1)
        fresh = self._box(state, clicks)
        if fresh is None or self.zoom is None:
            seen = self._probability(inputs, points(clicks))
        else:
            size = self.zoom.size(fresh)
            crop = raised(_cut(inputs, fresh), size)
            seen = self._probability(crop, points(into(clicks, fresh, size)))
        box = fresh or state.box
        probability = seen if box is None else _pasted(seen, box, state.probability.shape)
        mask = (probability[0, 0] > self.threshold).numpy()
        return Prediction(mask, State(state.image, probability, box))

    def _box(self, state: State, clicks: tuple[Click, ...]) -> Box | None:
        """Return the crop of this pass, None for the whole image."""
        if self.zoom is None:
            return None
        certain = (state.probability[0, 0] > self.zoom.threshold).numpy()
        return self.zoom.box(certain, clicks, state.box)

    def _probability(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return (1, 1, h, w) probabilities; with flip the mean is taken of logits."""
        if not self.flip:
            return torch.sigmoid(self.network(inputs, clicks))
        pair = torch.cat([inputs, inputs.flip(3)])
        logits = self.network(pair, torch.cat([clicks, mirrored(clicks, inputs.shape[3])]))
        return torch.sigmoid((logits[:1] + logits[1:].flip(3)) / 2)


def _cut(x: Tensor, box: Box) -> Tensor:
    return x[:, :, box.top : box.bottom + 1, box.left : box.right + 1]


def _pasted(x: Tensor, box: Box, shape: Sequence[int]) -> Tensor:
    """Return x resized to the box, zeros around it up to `shape`."""
    inside = raised(x, (box.height, box.width))
    right, bottom = shape[-1] - 1 - box.right, shape[-2] - 1 - box.bottom
    return F.pad(inside, (box.left, right, box.top, bottom))
