"""The predictor of f-BRS-B: a pass for the features, then an optimisation of their scale and bias.

Written from a description of the paper and its code, and checked against games of the original
predictor (tests/baselines/test_fbrs_games.py). Zoom-in and flip are those of RITM. Differs: an
object with an initial mask, which the original does not know, is zoomed in on from the first click
on. Modes A and C, RGB-BRS and DistMap-BRS are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from baselines.fbrs.network import make_networks
from baselines.fbrs.objective import (
    Objective,
    Solution,
    Variables,
    draw_squares,
    optimise,
    rescale,
)
from isbench.errors import IsbenchError
from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.clickmaps import encode_points, mirror_points
from isbench.nn.inference.passes import ForwardRequest, Passes, Requests
from isbench.nn.inference.predictor import (
    OPTIONS,
    InferenceConfig,
    Picture,
    State,
    average_mirrored,
    choose_crop,
    conclude,
    make_config,
    paste,
    scale_clicks,
    start_state,
)
from isbench.nn.inference.zoom_in import Box, Zoom, map_clicks
from isbench.nn.network import Computed
from isbench.nn.runtime.compute import build_networks
from isbench.nn.stem import normalize, resize_bilinear
from isbench.types import Click, Image, Mask, Prediction, Runtime, Turn

# `after` is 1 in the original; here the first click differs if there is an initial mask only
ZOOM = Zoom(after=0)
Place = tuple[float, float, bool]  # a click in a crop: row, column, positive


class FbrsState(NamedTuple):
    """The state of an object after a click."""

    seen: State  # what the zoom-in needs
    variables: Variables | None = None  # where the last optimisation stopped
    features: Tensor | None = None  # (B, C, h, w) of the last pass, if a later click may use them
    losses: tuple[float, ...] = ()  # of each evaluation of the last optimisation

    @property
    def probability(self) -> Tensor:
        """Return the probabilities of the last prediction, (1, 1, H, W)."""
        return self.seen.probability


class View(NamedTuple):
    """What the networks see at a click: the image, also mirrored, with the clicks in each item."""

    image: Tensor  # (B, 3, h, w), normalised
    items: tuple[tuple[Place, ...], ...]  # the clicks in each of the B images

    @property
    def size(self) -> tuple[int, int]:
        """Return the rows and columns."""
        return self.image.shape[-2], self.image.shape[-1]


@dataclass(frozen=True)
class FbrsPredictor:
    """A predictor that optimises what is between two networks until the clicks are satisfied."""

    config: InferenceConfig
    networks: Mapping[str, Computed]  # "features" and "head"
    net_clicks: int = 8  # the first clicks, which the network sees; the others act on the loss only
    maxfun: int = 20  # evaluations at a click

    def begin(self, image: Image) -> Picture:
        """Return the image, normalised."""
        picture = self.config.begin(image)
        return Picture(normalize(picture.pixels), picture.shape)

    def start(self, encoded: Picture, initial: Mask | None) -> FbrsState:
        """Return the state before the first click."""
        return FbrsState(start_state(encoded, initial, self.config.zoom_threshold))

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.config.compute([self.answer(turn.state, turn.clicks) for turn in turns])

    def answer(self, state: FbrsState, clicks: tuple[Click, ...]) -> Passes:
        """Return the generator of one answer.

        As in the original, after a prediction without an object the next pass sees the whole image,
        but its result is still pasted into the last crop.
        """
        clicks = scale_clicks(clicks, state.seen.picture)
        new_box = choose_crop(self.config, state.seen, clicks)
        view = make_view(self.config, state.seen.picture, clicks, new_box)
        features, moved = state.features, new_box is not None and new_box != state.seen.box
        if features is None or moved or len(clicks) <= self.net_clicks:
            features = yield from self.compute_features(view)
        solution = self.optimise_click(view, features, state.variables)
        flip, logits = self.config.flip, solution.logits
        probability = torch.sigmoid(average_mirrored(logits) if flip else logits)
        box = new_box or state.seen.box
        if box is not None:
            probability = paste(probability, box, state.probability.shape)
        mask, seen = yield from conclude(self.config, state.seen, probability, box)
        # features are large, and of no use while the network sees further clicks
        kept = features if len(clicks) >= self.net_clicks else None
        return Prediction(mask, FbrsState(seen, solution.variables, kept, solution.losses))

    def compute_features(self, view: View) -> Requests[Tensor]:
        """Run the first network on the first clicks; return float32 features (B, C, h, w)."""
        places = view.items[0][: self.net_clicks]
        # on a GPU passes of equal shape are stacked, so the number of places takes few values
        stacked = view.image.device.type != "cpu"
        points = encode_points(places, few_lengths=stacked).to(view.image.device)
        if len(view.items) == 2:
            points = torch.cat([points, mirror_points(points, view.size[1])])
        outputs = yield ForwardRequest(self.networks["features"], (view.image, points))
        features: Tensor = outputs[0].float()
        return features

    def optimise_click(self, view: View, features: Tensor, variables: Variables | None) -> Solution:
        """Return the logits that satisfy the clicks best.

        The solver calls the second network itself, so passes of several games are not stacked. The
        first click is answered without optimisation.
        """
        start = np.zeros(2 * features.shape[1]) if variables is None else variables
        compute_logits = partial(self.compute_logits, features, view.size)
        if len(view.items[0]) == 1:
            with torch.no_grad():
                logits = compute_logits(features.new_tensor(start))
            return Solution(logits, start, ())
        squares = draw_squares(view.items, view.size, features.device)
        return optimise(Objective(compute_logits, squares), start, self.maxfun)

    def compute_logits(self, features: Tensor, size: tuple[int, int], variables: Tensor) -> Tensor:
        """Return float32 logits (B, 1, *size) of features that are scaled and shifted."""
        outputs = self.networks["head"](rescale(features, variables))
        return resize_bilinear(outputs[0].float(), size)


def make_view(
    config: InferenceConfig, picture: Picture, clicks: Sequence[Click], box: Box | None
) -> View:
    """Return what the networks see in a crop, or in the whole image if `box` is None."""
    rows, cols = picture.pixels.shape[-2:]
    region, size = Box(0, rows - 1, 0, cols - 1), (rows, cols)
    if box is not None and config.zoom is not None:
        region, size = box, config.zoom.size(box)
    image = picture.without_map(region, size)
    places = tuple(map_clicks(clicks, region, size))
    if not config.flip:
        return View(image, (places,))
    mirrored = tuple((row, size[1] - 1 - col, positive) for row, col, positive in places)
    return View(torch.cat([image, image.flip(3)]), (places, mirrored))


def build_predictor(
    trunk: Callable[[], DeepLab | HRNet], *, runtime: Runtime, **options: Any
) -> FbrsPredictor:
    """Return the predictor of a card."""
    for name in ("net_clicks", "maxfun"):
        if options[name] < 1:
            message = f"option {name} is {options[name]}; wanted 1 or more"
            raise IsbenchError(message, setting="options")
    config = make_config({**OPTIONS, **options}, ZOOM, runtime)
    networks = build_networks(partial(make_networks, trunk), runtime)
    return FbrsPredictor(config, networks, options["net_clicks"], options["maxfun"])
