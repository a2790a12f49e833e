"""Inference of FocalClick (Chen et al. 2022): segment the target, then refine what a click changed.

Written from a description; equal to the published predictor click by click and box by box
(tests/baselines/test_focalclick_games.py), also where it looks odd: after click 10 the segmentor's
answer is discarded, and only the refined crop of the previous answer changes. Clicks in crops are
rounded to single precision, as in the recorded games of the published predictor.

A session that starts from a mask merges progressively: of each answer only the changed component
with the click is kept, which is removed from the mask if the click is on it, and added otherwise.
This rule is FocalClick's. Ours, since the description is silent: such a mask is certain
(probability 0 or 1), the networks get the merged probabilities as their previous mask, and a click
that changed nothing leaves the mask unchanged.

Also ours, with options that only focalclick-lite has: what the segmentor sees may keep its
proportions (`square=off`), and a whole image may have a size of its own (`overview`). The refiner
always sees a square of `size`, as in its training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from baselines.focalclick.focus import find_component, find_focus
from baselines.focalclick.network import Trunk, align_outputs, make_networks
from baselines.focalclick.versions import Version
from isbench.errors import check_option
from isbench.nn.inference.options import OPTIONS
from isbench.nn.inference.passes import ForwardRequest, HostRequest, Passes, Requests
from isbench.nn.inference.predictor import (
    InferenceConfig,
    Picture,
    State,
    choose_crop,
    conclude,
    crop_inputs,
    make_config,
    paste,
    scale_clicks,
    start_state,
)
from isbench.nn.inference.zoom_in import Box, Zoom
from isbench.nn.network import Computed
from isbench.nn.roi_align import Region
from isbench.nn.runtime.compute import build_networks
from isbench.nn.stem import resize_bilinear
from isbench.types import Click, Image, Mask, Prediction, Runtime, Turn

# the box is recomputed at every click, and its content is resized to a square
ZOOM = Zoom(after=1, least=10, keep_iou=2.0, threshold=0.49)
# above it a pixel counts as found when focusing: a logit (probability 0.62) in the published code
_FOCUS_LOGIT = 0.49
_SEGMENTED_CLICKS = 10  # clicks whose answers contain the segmentor's
_LARGEST = 4096  # pixels, of the square's side


class Session(NamedTuple):
    """The state of an object after a click."""

    last: State
    merging: bool  # the session started from a mask, into which answers are merged
    focus: Box | None = None  # the crop that was refined


@dataclass(frozen=True)
class FocalClick:
    """The predictor of a card: its networks, the sizes at which they see crops, the settings."""

    networks: Mapping[str, Computed]
    views: Zoom  # only its rule of sizes is used
    config: InferenceConfig

    def begin(self, image: Image) -> Picture:
        """Return the image as networks see it."""
        return self.config.begin(image)

    def start(self, encoded: Picture, initial: Mask | None) -> Session:
        """Return the state before the first click; an empty mask is no mask to start from."""
        last = start_state(encoded, initial, self.config.zoom_threshold)
        return Session(last, merging=initial is not None and bool(initial.any()))

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.config.compute([self.passes(turn) for turn in turns])

    def passes(self, turn: Turn) -> Passes:
        """Return the generator of one answer."""
        session: Session = turn.state
        last = session.last
        clicks = scale_clicks(turn.clicks, last.picture)
        logits, new_box, focus = yield from self._segment(last, clicks)
        box = new_box or last.box
        prediction = yield from conclude(self.config, last, torch.sigmoid(logits), box)
        if session.merging:
            prediction = yield from self._merge(last, prediction.state, clicks[-1])
        state = Session(prediction.state, session.merging, focus)
        return Prediction(prediction.mask, state)

    def _segment(
        self, last: State, clicks: tuple[Click, ...]
    ) -> Requests[tuple[Tensor, Box | None, Box]]:
        """Return the logits (1, 1, H, W) of both networks, any new crop, and the focus crop.

        As in RITM's code, after a prediction without an object the segmentor sees the whole image
        (there is no new crop), but its result is still pasted into the last crop.
        """
        shape = last.probability.shape
        whole = Box(0, shape[2] - 1, 0, shape[3] - 1)
        new_box = choose_crop(self.config, last, clicks)
        seen, target = new_box or whole, new_box or last.box or whole
        canvas = torch.cat([last.picture.pixels, last.probability], dim=1)
        views = self.views
        if new_box is None and self.config.overview:
            views = replace(views, target=self.config.overview)
        inputs, points = _crop_inputs(canvas, clicks, seen, views.choose_size(seen))
        outputs = yield ForwardRequest(self.networks["segmentor"], (inputs, points))
        coarse, features = (output.float() for output in outputs)
        # outside the crop the probability is 0 and the logit -inf
        logits = torch.logit(paste(torch.sigmoid(coarse), target, shape))
        (found,) = yield HostRequest((logits[0, 0] > _FOCUS_LOGIT,))
        focus = find_focus(found, last.certain, clicks[-1], target)
        size = self.views.target, self.views.target
        image, points = _crop_inputs(last.picture.pixels, clicks, focus, size)
        region = _find_region(focus, target, (coarse.shape[2], coarse.shape[3]))
        parts = align_outputs(features, coarse, [region], size)
        (refined,) = yield ForwardRequest(self.networks["refiner"], (image, points, *parts))
        if len(clicks) > _SEGMENTED_CLICKS:
            logits = torch.logit(last.probability)
        return _replace_box(logits, refined.float(), focus), new_box, focus

    def _merge(self, last: State, state: State, click: Click) -> Passes:
        """Add the clicked change to the previous mask, or remove it if the click is on the mask."""
        previous = last.probability > self.config.threshold
        changed = (state.probability > self.config.threshold) ^ previous
        before, changes = yield HostRequest((previous[0, 0], changed[0, 0]))
        undone = torch.from_numpy(changes & ~_find_merged(before, changes, click))
        probability = torch.where(undone.to(changed.device), last.probability, state.probability)
        return (yield from conclude(self.config, last, probability, state.box))


def _find_region(focus: Box, target: Box, size: tuple[int, int]) -> Region:
    """Return where the focus crop is in the target crop as the segmentor sees it, at `size`."""
    rows, cols = size
    return Region(
        max((focus.top - target.top) * rows / target.height, 0),
        min((focus.bottom + 1 - target.top) * rows / target.height, rows),
        max((focus.left - target.left) * cols / target.width, 0),
        min((focus.right + 1 - target.left) * cols / target.width, cols),
    )


def _find_merged(before: Mask, changes: Mask, click: Click) -> Mask:
    """Return the changes that a click makes: of those connected to it, the ones of its kind.

    A change may be part addition, part removal; a click on the mask removes, any other one adds.
    """
    same_kind: Mask = before == before[click.row, click.col]
    return changes & find_component(changes, click) & same_kind


def _crop_inputs(
    inputs: Tensor, clicks: Sequence[Click], box: Box, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return a resized box of the inputs, and the clicks as points in single precision."""
    crop, points = crop_inputs(inputs, clicks, box, size)
    exact = points.clone()
    exact[..., 3:] = 0  # what the rounding took away
    return crop, exact


def _replace_box(x: Tensor, content: Tensor, box: Box) -> Tensor:
    """Return (1, 1, H, W) with `content`, resized to the box, inside of it."""
    replaced = x.clone()
    inside = resize_bilinear(content, (box.height, box.width))
    replaced[..., box.top : box.bottom + 1, box.left : box.right + 1] = inside
    return replaced


def build_predictor(
    trunk: Callable[[], Trunk],
    version: Version,
    residual: bool = False,
    *,
    runtime: Runtime,
    **options: Any,
) -> FocalClick:
    """Return the predictor of a card."""
    side = int(options["size"])
    least = version.shrink
    check_option("size", side, least <= side <= _LARGEST, f"from {least} to {_LARGEST} pixels")
    settings = {**OPTIONS, **options, "zoom_target": side, "flip": False}
    config = make_config(settings, ZOOM, runtime)
    networks = build_networks(partial(make_networks, trunk, version, residual), runtime)
    views = Zoom(side, square=bool(options.get("square", True)))
    return FocalClick(networks, views, config)
