"""IA+SA's inference: weights that adapt to the clicks on an object, and from object to object.

Image adaptation (IA): from the second click on, a copy of the weights is updated with all clicks
before the answer, and thrown away with its object. Sequence adaptation (SA): when the next object
starts, the weights that it starts from are updated with the clicks on the last one and its answer.
The original updates when an object is done. That is the same sequence, and a predictor does not
know when a game ends, nor does it see the truth.

A network may take the previous mask, and a card may zoom in and flip as RITM does: then the state
keeps what the network saw at each click, and the weights adapt to every click in that view, with
the previous mask of that click. Updates never see the mirror image; answers do with flip.
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
from isbench.errors import check_option, make_unknown_error
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.options import OPTIONS
from isbench.nn.inference.passes import Passes
from isbench.nn.inference.predictor import (
    InferenceConfig,
    Picture,
    State,
    add_mirrored,
    average_mirrored,
    choose_crop,
    conclude,
    crop,
    encode_clicks,
    make_config,
    place,
    scale_clicks,
    start_state,
)
from isbench.nn.inference.zoom_in import View, Zoom
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
    initial: Tensor | None  # (1, 1, H, W), the mask to start from
    weights: Weights  # that the object starts from


class ClickView(NamedTuple):
    """What the network sees at a click, apart from the clicks."""

    view: View
    previous: Tensor | None  # (1, 1, *view.size), the mask before; None: not an input


class AdaptationState(NamedTuple):
    """The state of an object after a click.

    An answer depends on the clicks, the object's start, and what the network saw at each click.
    """

    start: Start
    last: State
    views: tuple[ClickView, ...] = ()  # one for each click so far

    @property
    def picture(self) -> Picture:
        """Return the image."""
        return self.start.picture

    @property
    def probability(self) -> Tensor:
        """Return the probabilities of the last prediction, (1, 1, H, W)."""
        return self.last.probability


class _Answer(NamedTuple):
    start: Start
    clicks: tuple[Click, ...]
    seen: ClickView
    probability: Tensor  # (1, 1, h, w), at the size of the network's input


class _Progress(NamedTuple):
    """The copy of the weights that was adapted last, and what it was adapted to."""

    start: Start
    clicks: tuple[Click, ...]
    views: tuple[ClickView, ...]
    trial: Trial

    def leads_to(
        self, start: Start, clicks: tuple[Click, ...], views: tuple[ClickView, ...]
    ) -> bool:
        """Return whether the copy can be adapted further, to these clicks."""
        count = len(self.clicks)
        return (
            self.start is start
            and self.clicks == clicks[:count]
            and all(
                one.view == other.view and one.previous is other.previous
                for one, other in zip(self.views, views[:count], strict=True)
            )
        )


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
        state = start_state(encoded, initial, self.config.zoom_threshold)
        mask = None if initial is None else state.probability
        return AdaptationState(Start(encoded, mask, self._sequence), state)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.config.compute([self._passes(*turn) for turn in turns])

    def facts(self) -> Mapping[str, Scalar]:
        """Return the sha256 of the sequence's weights, and how many objects have updated them."""
        if not self.adaptation.across_objects:
            return {}
        return {"updates": self._updates, "weights": digest_weights(self._sequence)}

    def _passes(self, state: AdaptationState, clicks: tuple[Click, ...]) -> Passes:
        start = state.start
        clicks = scale_clicks(clicks, start.picture)
        new_box = choose_crop(self.config, state.last, clicks)
        seen = self._make_view(state.last, self.config.choose_view(start.picture, new_box))
        # clicks without an answer of their own are seen as the newest one is
        views = (*state.views[: len(clicks) - 1], *[seen] * len(clicks))[: len(clicks)]
        weights = self._adapt_to_object(start, clicks, views)
        with torch.no_grad():
            logits = self._compute_answer(start.picture, clicks, seen, weights)
            probability = torch.sigmoid(logits)
            self._last = _Answer(start, clicks, seen, probability)
            placed = place(probability, new_box, state.last)
        mask, last = yield from conclude(self.config, state.last, *placed)
        return Prediction(mask, AdaptationState(start, last, views))

    def _make_view(self, last: State, view: View) -> ClickView:
        """Return what the network sees after an answer, in a view."""
        if not self.config.previous_mask:
            return ClickView(view, None)
        return ClickView(view, resize_bilinear(crop(last.probability, view.region), view.size))

    def _adapt_to_object(
        self, start: Start, clicks: tuple[Click, ...], views: tuple[ClickView, ...]
    ) -> Weights:
        """Return the weights that answer these clicks, adapted click by click."""
        if not self.adaptation.within_objects:
            return start.weights
        first = self.adaptation.adapt_from if start.initial is None else 1
        if len(clicks) < first:
            return start.weights
        progress, self._progress = self._progress, None
        if progress is None or not progress.leads_to(start, clicks, views):
            progress = None  # frees that copy before another is made
            trial = Trial(start.weights, self.adaptation.image.learning_rate)
            progress = _Progress(start, clicks[: first - 1], views[: first - 1], trial)
        for count in range(len(progress.clicks) + 1, len(clicks) + 1):
            self._adapt_to_click(progress.trial, start, clicks[:count], views[count - 1])
        self._progress = _Progress(start, clicks, views, progress.trial)
        return progress.trial.weights

    def _adapt_to_click(
        self, trial: Trial, start: Start, clicks: tuple[Click, ...], seen: ClickView
    ) -> None:
        inputs = self._encode(start.picture, clicks, seen)
        with torch.no_grad():
            if start.initial is None:
                found = self._compute_answer(start.picture, clicks, seen, start.weights) > 0
            else:
                found = resize_bilinear(crop(start.initial, seen.view.region), seen.view.size) > 0.5
        labels = Labels(draw_disks(inputs[1], seen.view.size, RADIUS), found.float())
        anchor = Anchor(start.weights, self._importance)
        trial.update(partial(self._forward, inputs), labels, anchor, self.adaptation.image)

    def _adapt_sequence(self, last: _Answer) -> Weights:
        """Return the sequence's weights after an object, from its clicks and its last answer."""
        config = self.adaptation.sequence
        trial = Trial(self._sequence, config.learning_rate)
        sure = (last.probability - 0.5).abs() > _UNSURE
        mask = (last.probability > 0.5).float().masked_fill(~sure, -1)
        picture, seen = last.start.picture, last.seen
        shown = choose_clicks(last.clicks, np.random.default_rng([_SEED, self._updates]))
        points = encode_clicks(last.clicks, seen.view, mask.device)
        labels = Labels(draw_disks(points, seen.view.size, RADIUS), mask)
        forward = partial(self._forward, self._encode(picture, shown, seen))
        trial.update(forward, labels, self._trained, config)
        return trial.finish()

    def _encode(
        self, picture: Picture, clicks: tuple[Click, ...], seen: ClickView
    ) -> tuple[Tensor, Tensor]:
        """Return the image as it is seen and the clicks as the network's inputs."""
        if seen.previous is None:
            image = picture.without_map(*seen.view)
        else:
            image = picture.with_resized_map(seen.previous, seen.view.region)
        return image, encode_clicks(clicks, seen.view, image.device)

    def _forward(self, inputs: tuple[Tensor, ...], weights: Weights) -> Tensor:
        """Return float32 logits (B, 1, h, w) of the network with these weights."""
        logits: Tensor = functional_call(self._network, dict(weights), inputs)[0]
        return logits.float()

    def _compute_answer(
        self, picture: Picture, clicks: tuple[Click, ...], seen: ClickView, weights: Weights
    ) -> Tensor:
        """Return logits (1, 1, h, w), with flip the mean of both."""
        inputs = self._encode(picture, clicks, seen)
        if not self.config.flip:
            return self._forward(inputs, weights)
        return average_mirrored(self._forward(add_mirrored(*inputs), weights))


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


def make_networks(
    trunk: Callable[[], Trunk], previous_mask: bool, **options: Any
) -> dict[str, nn.Module]:
    """Return the network of a card, which is RITM's."""
    return ritm.make_networks(trunk, previous_mask=previous_mask)


def build_predictor(
    trunk: Callable[[], Trunk], previous_mask: bool, *, runtime: Runtime, **options: Any
) -> AdaptationPredictor:
    """Return the predictor of a card; raises IsbenchError for options out of range.

    A card without the options `zoom` and `flip` does neither.
    """
    adaptation = make_adaptation(options)
    network = build_networks(partial(make_networks, trunk, previous_mask), runtime)["network"]
    assert isinstance(network, nn.Module)  # gradients run on eager
    settings = {**OPTIONS, "zoom": False, "flip": False, **options}
    config = make_config(settings, Zoom(), runtime, previous_mask)
    return AdaptationPredictor(network, config, adaptation)


def make_adaptation(options: Mapping[str, Scalar]) -> AdaptationConfig:
    """Return the configuration for a card's options; raises IsbenchError for impossible values."""
    if options["mode"] not in MODES:
        raise make_unknown_error("mode", str(options["mode"]), MODES, "options")
    for kind in ("image", "sequence"):
        rate, steps, share = (f"{kind}_{name}" for name in ("rate", "steps", "share"))
        check_option(rate, options[rate], float(options[rate]) > 0, "above 0")
        check_option(steps, options[steps], int(options[steps]) >= 0, "0 or more")
        check_option(share, options[share], 0 <= float(options[share]) <= 1, "0 to 1")
    first, gamma = int(options["adapt_from"]), float(options["gamma"])
    check_option("adapt_from", first, first >= 1, "1 or more")
    check_option("gamma", gamma, gamma >= 0, "0 or more")
    updates = (
        UpdateConfig(
            int(options[f"{kind}_steps"]),
            float(options[f"{kind}_rate"]),
            float(options[f"{kind}_share"]),
            gamma,
        )
        for kind in ("image", "sequence")
    )
    return AdaptationConfig(str(options["mode"]), first, *updates)
