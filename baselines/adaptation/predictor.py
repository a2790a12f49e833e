"""IA+SA's inference: weights that adapt to the clicks on an object, and from object to object.

Image adaptation (IA): from the second click on, a copy of the weights is updated with all clicks
before the answer, and thrown away with its object. Sequence adaptation (SA): when the next object
starts, the weights that it starts from are updated with the clicks on the last one and its answer.
The original updates when an object is done. That is the same sequence, and a predictor is never
told when a game ends, nor sees the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from baselines import ritm
from baselines.adaptation.updates import (
    Anchor,
    Labels,
    Trial,
    UpdateConfig,
    Weights,
    uniform_importance,
)
from isbench.errors import IsbenchError, unknown
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.passes import Passes
from isbench.nn.inference.predictor import (
    OPTIONS,
    InferenceConfig,
    Picture,
    State,
    conclude,
    crop_inputs,
    make_config,
    scale_clicks,
    start_state,
)
from isbench.nn.inference.zoom_in import Box, Zoom
from isbench.nn.runtime.compute import build_networks, inference
from isbench.nn.stem import resize_bilinear
from isbench.nn.trunk import RADIUS, Trunk
from isbench.types import Click, Image, Mask, Prediction, Runtime, Scalar, Turn

MODES = ("frozen", "IA", "SA", "IA+SA")
_SHOWN = 0.7  # share of the clicks that are an input of sequence adaptation
_UNSURE = 0.3  # its mask leaves out pixels whose probability is this close to 1/2, or closer
_SEED = 0


@dataclass(frozen=True)
class AdaptationConfig:
    """When weights adapt, and how."""

    mode: str
    adapt_from: int  # the first click with image adaptation; 1 where a game starts from a mask
    image: UpdateConfig
    sequence: UpdateConfig

    @property
    def within_objects(self) -> bool:
        """Return whether weights adapt to an object."""
        return self.mode in ("IA", "IA+SA")

    @property
    def across_objects(self) -> bool:
        """Return whether weights adapt from object to object."""
        return self.mode in ("SA", "IA+SA")


@dataclass(frozen=True, eq=False)
class Start:
    """An object before its first click; equal to itself only."""

    picture: Picture
    initial: Tensor | None  # (1, 1, h, w), the mask to start from, as the network sees it
    weights: Weights  # that the object starts from


class AdaptationState(NamedTuple):
    """The state of an object after a click. An answer depends on its start and the clicks only."""

    start: Start
    probability: Tensor  # (1, 1, h, w), of the last prediction

    @property
    def picture(self) -> Picture:
        """Return the image."""
        return self.start.picture


class _Answer(NamedTuple):
    start: Start
    clicks: tuple[Click, ...]
    probability: Tensor  # (1, 1, h, w), at the size of the network's input


class _Progress(NamedTuple):
    """The copy of the weights that was adapted last, and the clicks it was adapted to."""

    start: Start
    clicks: tuple[Click, ...]
    trial: Trial


class AdaptationPredictor:
    """A predictor that learns during games, and from one to the next.

    It holds the weights of the sequence, and those of the object that was asked last. Any other
    turn, such as one after an undo, starts again from the object's first weights.
    """

    def __init__(
        self, network: nn.Module, config: InferenceConfig, adaptation: AdaptationConfig
    ) -> None:
        self.config, self.adaptation = config, adaptation
        self._network = network
        trained = {name: value.detach() for name, value in network.named_parameters()}
        self._importance = uniform_importance(trained)
        self._trained = Anchor(trained, self._importance)
        self._sequence: Weights = trained
        self._updates = 0  # of the sequence so far
        self._last: _Answer | None = None
        self._progress: _Progress | None = None

    def begin(self, image: Image) -> Picture:
        """Return the image as the network sees it."""
        return self.config.begin(image)

    def start(self, encoded: Picture, initial: Mask | None) -> AdaptationState:
        """Return the state before the first click, after adapting to the last object.

        An initial mask takes the place of the unadapted network's answer in image adaptation.
        """
        if self.adaptation.across_objects and self._last is not None:
            last, self._last = self._last, None
            self._progress = None  # before another copy is made
            with inference(self.config.runtime):
                self._sequence = self._adapt_sequence(last)
            self._updates += 1
        probability = start_state(encoded, initial, self.config.threshold).probability
        mask = None
        if initial is not None:
            mask = (resize_bilinear(probability, self._view(encoded)) > 0.5).float()
        return AdaptationState(Start(encoded, mask, self._sequence), probability)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.config.compute([self._passes(turn) for turn in turns])

    def facts(self) -> Mapping[str, Scalar]:
        """Return the sha256 of the sequence's weights, and how many objects have updated them."""
        if not self.adaptation.across_objects:
            return {}
        return {"updates": self._updates, "weights": digest_weights(self._sequence)}

    def _passes(self, turn: Turn) -> Passes:
        start: Start = turn.state.start
        clicks = scale_clicks(turn.clicks, start.picture)
        weights = self._adapt_to_object(start, clicks)
        with torch.no_grad():
            probability = torch.sigmoid(self._forward(start.picture, clicks, weights))
            self._last = _Answer(start, clicks, probability)
            whole = resize_bilinear(probability, turn.state.probability.shape[-2:])
        state = State(start.picture, whole, np.zeros((0, 0), bool), None)
        mask = (yield from conclude(self.config, state, whole, None)).mask
        return Prediction(mask, AdaptationState(start, whole))

    def _adapt_to_object(self, start: Start, clicks: tuple[Click, ...]) -> Weights:
        """Return the weights that answer these clicks, adapted click by click."""
        if not self.adaptation.within_objects:
            return start.weights
        first = self.adaptation.adapt_from if start.initial is None else 1
        if len(clicks) < first:
            return start.weights
        progress, self._progress = self._progress, None
        if (
            progress is None
            or progress.start is not start
            or progress.clicks != clicks[: len(progress.clicks)]
        ):
            progress = None  # frees that copy before another is made
            trial = Trial(start.weights, self.adaptation.image.learning_rate)
            progress = _Progress(start, clicks[: first - 1], trial)
        for count in range(len(progress.clicks) + 1, len(clicks) + 1):
            self._adapt_to_click(progress.trial, start, clicks[:count])
        self._progress = _Progress(start, clicks, progress.trial)
        return progress.trial.weights

    def _adapt_to_click(self, trial: Trial, start: Start, clicks: tuple[Click, ...]) -> None:
        mask = start.initial
        if mask is None:
            with torch.no_grad():
                mask = (self._forward(start.picture, clicks, start.weights) > 0).float()
        forward = partial(self._forward, start.picture, clicks)
        labels = Labels(self._draw_disks(start.picture, clicks), mask)
        anchor = Anchor(start.weights, self._importance)
        trial.update(forward, labels, anchor, self.adaptation.image)

    def _adapt_sequence(self, last: _Answer) -> Weights:
        """Return the sequence's weights after an object, from its clicks and its last answer."""
        config = self.adaptation.sequence
        trial = Trial(self._sequence, config.learning_rate)
        sure = (last.probability - 0.5).abs() > _UNSURE
        mask = (last.probability > 0.5).float().masked_fill(~sure, -1)
        picture, labelled = last.start.picture, last.clicks
        shown = choose_clicks(labelled, np.random.default_rng([_SEED, self._updates]))
        labels = Labels(self._draw_disks(picture, labelled), mask)
        trial.update(partial(self._forward, picture, shown), labels, self._trained, config)
        return trial.finish()

    def _view(self, picture: Picture) -> tuple[int, int]:
        """Return the rows and columns of the image as the network's input."""
        rows, cols = picture.pixels.shape[-2:]
        overview = self.config.overview
        return Zoom(overview).size(Box(0, rows - 1, 0, cols - 1)) if overview else (rows, cols)

    def _encode(self, picture: Picture, clicks: tuple[Click, ...]) -> tuple[Tensor, Tensor]:
        """Return the whole image and the clicks as the network's inputs."""
        rows, cols = picture.pixels.shape[-2:]
        whole = Box(0, rows - 1, 0, cols - 1)
        return crop_inputs(picture.pixels, clicks, whole, self._view(picture))

    def _forward(self, picture: Picture, clicks: tuple[Click, ...], weights: Weights) -> Tensor:
        """Return float32 logits (1, 1, h, w) of the network with these weights."""
        inputs = self._encode(picture, clicks)
        logits: Tensor = functional_call(self._network, dict(weights), inputs)[0]
        return logits.float()

    def _draw_disks(self, picture: Picture, clicks: tuple[Click, ...]) -> Tensor:
        inputs, points = self._encode(picture, clicks)
        return draw_disks(points, (inputs.shape[-2], inputs.shape[-1]), RADIUS)


def choose_clicks(clicks: tuple[Click, ...], rng: np.random.Generator) -> tuple[Click, ...]:
    """Return a random 70 % of the clicks, in their order, always with the first."""
    count = max(1, round(_SHOWN * len(clicks)))
    others = rng.choice(np.arange(1, len(clicks)), count - 1, replace=False)
    return tuple(clicks[index] for index in (0, *sorted(map(int, others))))


def digest_weights(weights: Weights) -> str:
    """Return the sha256 of weights and their names."""
    digest = sha256()
    for name in sorted(weights):
        digest.update(name.encode() + b"\0")
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def make_networks(trunk: Callable[[], Trunk], **options: Any) -> dict[str, nn.Module]:
    """Return the network of a card: RITM's, without a previous mask."""
    return ritm.make_networks(trunk, previous_mask=False)


def build_predictor(
    trunk: Callable[[], Trunk], *, runtime: Runtime, **options: Any
) -> AdaptationPredictor:
    """Return the predictor of a card; raises IsbenchError for options out of range."""
    adaptation = make_adaptation(options)
    network = build_networks(partial(make_networks, trunk), runtime)["network"]
    assert isinstance(network, nn.Module)  # gradients run on eager
    inherited = {**OPTIONS, **options, "zoom": False, "flip": False}
    config = make_config(inherited, Zoom(), runtime, previous_mask=False)
    return AdaptationPredictor(network, config, adaptation)


def make_adaptation(options: Mapping[str, Scalar]) -> AdaptationConfig:
    """Return the configuration for a card's options; raises IsbenchError for impossible values."""
    if options["mode"] not in MODES:
        raise unknown("mode", str(options["mode"]), MODES, "options")
    _check(options, ("image_rate", "sequence_rate"), lambda x: x > 0, "above 0")
    _check(options, ("image_steps", "sequence_steps", "gamma"), lambda x: x >= 0, "0 or more")
    _check(options, ("image_share", "sequence_share"), lambda x: 0 <= x <= 1, "0 to 1")
    _check(options, ("adapt_from",), lambda x: x >= 1, "1 or more")
    updates = (
        UpdateConfig(
            int(options[f"{kind}_steps"]),
            float(options[f"{kind}_rate"]),
            float(options[f"{kind}_share"]),
            float(options["gamma"]),
        )
        for kind in ("image", "sequence")
    )
    return AdaptationConfig(str(options["mode"]), int(options["adapt_from"]), *updates)


def _check(
    options: Mapping[str, Scalar],
    names: Sequence[str],
    valid: Callable[[float], bool],
    wanted: str,
) -> None:
    for name in names:
        if not valid(float(options[name])):
            message = f"option {name} is {options[name]}; wanted {wanted}"
            raise IsbenchError(message, setting="options")
