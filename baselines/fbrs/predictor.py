"""The predictor of f-BRS-B: a pass for the features, then an optimisation of their scale and bias.

Written from a description of the paper and its code, and checked against games of the original
predictor (tests/baselines/test_fbrs_games.py). Zoom-in and flip are those of RITM. Differs: an
object with an initial mask, which the original does not know, is zoomed in on from the first click
on. Modes A and C, RGB-BRS and DistMap-BRS are not here.

Networks may have RITM's inputs. The previous mask, which f-BRS's own networks do not see, is then
that of the last answer when the features are computed: at each of the first `net_clicks` clicks,
and later where the crop changes. Scale and bias carry over from click to click all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from baselines.fbrs.network import make_guided_networks, make_networks
from baselines.fbrs.objective import (
    Objective,
    Solution,
    Variables,
    draw_squares,
    optimise,
    rescale,
)
from isbench.errors import check_option
from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.inference.options import OPTIONS
from isbench.nn.inference.passes import ForwardRequest, Passes, Requests
from isbench.nn.inference.predictor import (
    InferenceConfig,
    Picture,
    State,
    add_mirrored,
    average_mirrored,
    choose_crop,
    conclude,
    encode_clicks,
    make_config,
    place,
    scale_clicks,
    start_state,
)
from isbench.nn.inference.zoom_in import View, Zoom, map_clicks
from isbench.nn.network import Computed, Networks
from isbench.nn.runtime.compute import build_networks
from isbench.nn.stem import normalize, resize_bilinear
from isbench.types import Click, Image, Mask, Prediction, Runtime, Turn

# `after` is 1 in the original; here the first click differs if there is an initial mask only
ZOOM = Zoom(after=0)
Place = tuple[float, float, bool]  # a click in a view: row, column, positive


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


@dataclass(frozen=True)
class FbrsPredictor:
    """A predictor that optimises what is between two networks until the clicks are satisfied."""

    config: InferenceConfig
    networks: Mapping[str, Computed]  # "features" and "head"
    net_clicks: int = 8  # the first clicks, which the network sees; the others act on the loss only
    maxfun: int = 20  # evaluations at a click

    def begin(self, image: Image) -> Picture:
        """Return the image, normalised for f-BRS's own networks; RITM's do that themselves."""
        picture = self.config.begin(image)
        if self.config.previous_mask:
            return picture
        return Picture(normalize(picture.pixels), picture.shape)

    def start(self, encoded: Picture, initial: Mask | None) -> FbrsState:
        """Return the state before the first click."""
        return FbrsState(start_state(encoded, initial, self.config.zoom_threshold))

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.config.compute([self.answer(turn.state, turn.clicks) for turn in turns])

    def answer(self, state: FbrsState, clicks: tuple[Click, ...]) -> Passes:
        """Return the generator of one answer."""
        clicks = scale_clicks(clicks, state.seen.picture)
        new_box = choose_crop(self.config, state.seen, clicks)
        view = self.config.choose_view(state.seen.picture, new_box)
        features, moved = state.features, new_box is not None and new_box != state.seen.box
        if features is None or moved or len(clicks) <= self.net_clicks:
            features = yield from self.compute_features(state.seen, clicks, view)
        items = list_places(clicks, view, self.config.flip)
        solution = self.optimise_click(items, view.size, features, state.variables)
        flip, logits = self.config.flip, solution.logits
        probability = torch.sigmoid(average_mirrored(logits) if flip else logits)
        placed = place(probability, new_box, state.seen)
        mask, seen = yield from conclude(self.config, state.seen, *placed)
        # features are large, and of no use while the network sees further clicks
        kept = features if len(clicks) >= self.net_clicks else None
        return Prediction(mask, FbrsState(seen, solution.variables, kept, solution.losses))

    def compute_features(
        self, seen: State, clicks: tuple[Click, ...], view: View
    ) -> Requests[Tensor]:
        """Run the first network on the first clicks; return float32 features (B, C, h, w)."""
        image = self.config.cut(seen.picture, seen.probability, view)
        points = encode_clicks(clicks[: self.net_clicks], view, image.device)
        inputs = add_mirrored(image, points) if self.config.flip else (image, points)
        outputs = yield ForwardRequest(self.networks["features"], inputs)
        features: Tensor = outputs[0].float()
        return features

    def optimise_click(
        self,
        items: Sequence[Sequence[Place]],
        size: tuple[int, int],
        features: Tensor,
        variables: Variables | None,
    ) -> Solution:
        """Return the logits (B, 1, *size) that satisfy the clicks of each item best.

        The solver calls the second network itself, so passes of several games are not stacked. The
        first click is answered without optimisation.
        """
        start = np.zeros(2 * features.shape[1]) if variables is None else variables
        compute_logits = partial(self.compute_logits, features, size)
        if len(items[0]) == 1:
            with torch.no_grad():
                logits = compute_logits(features.new_tensor(start))
            return Solution(logits, start, ())
        squares = draw_squares(items, size, features.device)
        return optimise(Objective(compute_logits, squares), start, self.maxfun)

    def compute_logits(self, features: Tensor, size: tuple[int, int], variables: Tensor) -> Tensor:
        """Return float32 logits (B, 1, *size) of features that are scaled and shifted."""
        outputs = self.networks["head"](rescale(features, variables))
        return resize_bilinear(outputs[0].float(), size)


def list_places(clicks: Sequence[Click], view: View, flip: bool) -> tuple[tuple[Place, ...], ...]:
    """Return the clicks in each item of a batch: the view, and with `flip` its mirror image."""
    places = tuple(map_clicks(clicks, *view))
    if not flip:
        return (places,)
    last = view.size[1] - 1
    return places, tuple((row, last - col, positive) for row, col, positive in places)


def build_predictor(
    trunk: Callable[[], DeepLab | HRNet], *, runtime: Runtime, **options: Any
) -> FbrsPredictor:
    """Return the predictor of a card of f-BRS's own networks."""
    return _build(partial(make_networks, trunk), runtime, options, previous_mask=False)


def build_guided_predictor(
    trunk: Callable[[], LiteTrunk], *, runtime: Runtime, **options: Any
) -> FbrsPredictor:
    """Return the predictor of a card of networks with RITM's inputs."""
    return _build(partial(make_guided_networks, trunk), runtime, options, previous_mask=True)


def _build(
    make: Callable[[], Networks],
    runtime: Runtime,
    options: Mapping[str, Any],
    previous_mask: bool,
) -> FbrsPredictor:
    for name in ("net_clicks", "maxfun"):
        check_option(name, options[name], options[name] >= 1, "1 or more")
    config = make_config({**OPTIONS, **options}, ZOOM, runtime, previous_mask)
    networks = build_networks(make, runtime)
    return FbrsPredictor(config, networks, options["net_clicks"], options["maxfun"])
