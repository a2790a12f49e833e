"""FocusCut's inference: a pass over the whole object, then closer and closer views of the clicks.

Written from a description of the official code (frazerlin/focuscut@42fb82a); around a stand-in for
the network, the games are those of the official predictor (tests/baselines/test_focuscut.py).

Before the first answer a pass with the first click alone finds the mask that the answer starts
from. From the second answer on, a click whose error is small becomes a focus point, and all focus
points are looked at again after every click: in each of three rounds the network sees a patch
around every point, and what it finds there replaces the answer. The larger the change in a patch,
the wider is the next one.

Differs: an initial mask counts as the answer to clicks before the first, so that the extra pass is
left out and the first click may become a focus point. No view is longer than 4096 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from baselines.distance_maps import measure_distances
from baselines.focuscut.crop import choose_crop
from baselines.focuscut.focus import FIRST_SCALE, FocusPoint, Patch, choose_focus, rescale
from baselines.focuscut.network import make_networks
from baselines.views import (
    Map,
    copy_probabilities,
    resize_image,
    resize_mask,
    resize_probabilities,
    scale_to_short_side,
    stack_images,
    stack_maps,
)
from isbench.errors import check_option
from isbench.nn.inference.passes import ForwardRequest, Passes, Requests, compute_games
from isbench.nn.inference.zoom_in import Box
from isbench.nn.network import Computed
from isbench.nn.runtime.compute import build_networks
from isbench.types import Click, Image, Mask, Prediction, Runtime, Turn

TRAINED_SIZE = 384  # pixels, of a side of the views it was trained with
_SIZES = 16, 4096  # the smallest and the largest size
_MOST_ROUNDS = 10  # patches grow by up to a tenth in a round
_VIEWS_AT_ONCE = 8  # views of a pass: games may be long, but memory is not


class State(NamedTuple):
    """The state of an object after a click."""

    image: Image
    mask: Mask  # (H, W), the last answer or the initial mask
    answered: bool  # the mask is one of these
    crop: Box | None = None  # of the last pass over the whole object
    focus: tuple[FocusPoint, ...] = ()  # in the order of their clicks
    probability: Map | None = None  # (H, W), of the last answer


class View(NamedTuple):
    """What the network sees in a pass: an image, clicks and a mask of one size."""

    image: Image
    clicks: tuple[Click, ...]
    mask: Mask

    def resize(self, size: tuple[int, int]) -> View:
        """Return the view at another size, the clicks at the centres of their pixels."""
        height, width = self.image.shape[:2]
        clicks = [
            Click(int((row + 0.5) * size[0] / height), int((col + 0.5) * size[1] / width), positive)
            for row, col, positive in self.clicks
        ]
        image, mask = resize_image(self.image, size), resize_mask(self.mask, size)
        return View(image, tuple(clicks), mask)

    def measure_distances(self, positive: bool) -> Map:
        """Return the distance of each pixel to the next click of a sign."""
        points = [(click.row, click.col) for click in self.clicks if click.positive == positive]
        height, width = self.mask.shape
        return measure_distances(points, (height, width))


def make_distance_inputs(views: Sequence[View], device: str) -> tuple[Tensor, ...]:
    """Return the inputs of `FocusCutNetwork` for views of one size."""
    return (
        stack_images([view.image for view in views], device),
        stack_maps([view.measure_distances(positive=True) for view in views], device),
        stack_maps([view.measure_distances(positive=False) for view in views], device),
        stack_maps([view.mask for view in views], device),
    )


@dataclass
class _Focused:
    """A focus point during the rounds of one answer."""

    point: FocusPoint
    scale: float | None = FIRST_SCALE  # of its next patch; None: nothing more to correct
    patch: Patch | None = None  # its last one
    # (S, S), what the network found there; as large as the patch it could take gigabytes
    found: Map = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def next_patch(self) -> Patch | None:
        """Return the patch of the next round, None if the point is left out."""
        reach = 0 if self.scale is None else self.point.reach(self.scale)
        return Patch(self.point.row, self.point.col, reach) if reach else None


@dataclass(frozen=True)
class FocusCut:
    """The predictor."""

    network: Computed  # what `make_inputs` returns to logits
    runtime: Runtime
    view_size: int  # shorter side of a view as the network sees it, in pixels
    rounds: int  # of focus views after a click; 0: none
    threshold: float  # probability above which a pixel belongs to the object
    # from views of one size, and a device, to the network's inputs
    make_inputs: Callable[[Sequence[View], str], tuple[Tensor, ...]] = make_distance_inputs

    def __post_init__(self) -> None:
        """Raise IsbenchError for impossible numbers."""
        least, most = _SIZES
        size, rounds, threshold = self.view_size, self.rounds, self.threshold
        check_option("view_size", size, least <= size <= most, f"from {least} to {most} pixels")
        check_option("rounds", rounds, 0 <= rounds <= _MOST_ROUNDS, f"from 0 to {_MOST_ROUNDS}")
        check_option("threshold", threshold, 0 < threshold < 1, "above 0 and below 1")

    def begin(self, image: Image) -> Image:
        """Return the image itself: views are cut from it before they are resized."""
        return image

    def start(self, encoded: Image, initial: Mask | None) -> State:
        """Return the state before the first click."""
        if initial is None or not initial.any():
            return State(encoded, np.zeros(encoded.shape[:2], bool), answered=False)
        return State(encoded, initial, answered=True)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return compute_games([self.answer(*turn) for turn in turns], self.runtime)

    def answer(self, state: State, clicks: tuple[Click, ...]) -> Passes:
        """Answer all clicks so far, the last of which is new."""
        seen = state
        if not state.answered:
            seen = yield from self.see_object(state, clicks[:1])
        seen = yield from self.see_object(seen, clicks)
        focus = state.focus
        if state.answered and self.rounds:
            focus += self._choose_focus(clicks[-1], state.mask, seen.mask)
        if focus:
            seen = yield from self._see_points(seen, focus, clicks)
        return Prediction(seen.mask, seen._replace(answered=True, focus=focus))

    def see_object(self, state: State, clicks: Sequence[Click]) -> Requests[State]:
        """Run a pass over the object's crop and return the state that it leads to."""
        shape = state.mask.shape
        crop = choose_crop(state.mask, clicks, state.crop)
        place = slice(crop.top, crop.bottom + 1), slice(crop.left, crop.right + 1)
        moved = [Click(row - crop.top, col - crop.left, sign) for row, col, sign in clicks]
        inside = [c for c in moved if 0 <= c.row < crop.height and 0 <= c.col < crop.width]
        view = View(state.image[place], tuple(inside), state.mask[place])
        size = scale_to_short_side((crop.height, crop.width), self.view_size)
        (found,) = yield from self._forward([view.resize(size)])
        probability = np.zeros(shape, np.float32)
        probability[place] = resize_probabilities(found, (crop.height, crop.width))
        mask = np.greater(probability, self.threshold)
        return state._replace(mask=mask, crop=crop, probability=probability)

    def _choose_focus(self, click: Click, last: Mask, found: Mask) -> tuple[FocusPoint, ...]:
        choice = choose_focus(click, last, found)
        return (FocusPoint(click.row, click.col, choice.radius),) if choice.use else ()

    def _see_points(
        self, state: State, focus: Sequence[FocusPoint], clicks: Sequence[Click]
    ) -> Requests[State]:
        """Run the rounds of focus views and return the state with the corrected answer."""
        focused = [_Focused(point) for point in focus]
        for _ in range(self.rounds):
            live = [(one, patch) for one in focused if (patch := one.next_patch())]
            if not live:
                break
            views = [
                View(
                    patch.cut(state.image), tuple(patch.select(clicks)), patch.cut(state.mask)
                ).resize((self.view_size, self.view_size))
                for _, patch in live
            ]
            found = yield from self._forward(views)
            for (one, patch), view, values in zip(live, views, found, strict=True):
                assert one.scale is not None
                one.patch, one.found = patch, values
                one.scale = rescale(one.scale, view.mask, np.greater(values, self.threshold))
            state = self._merge(state, focused)
        return state

    def _merge(self, state: State, focused: Sequence[_Focused]) -> State:
        """Return the state whose answer is, under patches, the mean of all points' last ones."""
        total, count = (np.zeros(state.mask.shape, np.float32) for _ in range(2))
        for one in focused:
            if (patch := one.patch) is not None:
                patch.paste(resize_probabilities(one.found, (patch.side,) * 2), total, count)
        assert state.probability is not None
        probability = state.probability.copy()
        np.divide(total, count, out=probability, where=count > 0)
        mask = np.greater(probability, self.threshold)
        return state._replace(mask=mask, probability=probability)

    def _forward(self, views: Sequence[View]) -> Requests[list[Map]]:
        """Run passes over views of one size and return their probabilities at this size."""
        device, found = self.runtime.device, []
        for start in range(0, len(views), _VIEWS_AT_ONCE):
            some = views[start : start + _VIEWS_AT_ONCE]
            inputs = self.make_inputs(some, device)
            (logits,) = yield ForwardRequest(self.network, inputs)
            found += yield from copy_probabilities(logits)
        return found


def build_predictor(
    depth: int, view_size: int, rounds: int, threshold: float, *, runtime: Runtime
) -> FocusCut:
    """Return the predictor of a card."""
    network = build_networks(partial(make_networks, depth), runtime)["network"]
    return FocusCut(network, runtime, view_size or TRAINED_SIZE, rounds, threshold)
