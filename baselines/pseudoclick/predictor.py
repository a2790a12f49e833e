"""PseudoClick's inference: after each click of the user, a click of the network's own.

A first pass predicts a mask and its errors. While an error is predicted, the network clicks on it
and the pass is repeated with its own answer as the previous mask. Zoom-in and flip are RITM's, and
every pass moves the crop. The user's clicks alone are counted; the others are part of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from baselines.pseudoclick.network import THRESHOLD
from baselines.pseudoclick.rule import choose_pseudo_click
from isbench.errors import check_option
from isbench.nn.inference.passes import HostRequest, Passes, Requests
from isbench.nn.inference.predictor import (
    InferenceConfig,
    Picture,
    State,
    choose_crop,
    conclude,
    make_config,
    paste,
    scale_clicks,
    start_state,
)
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import Computed, Networks
from isbench.nn.runtime.compute import build_networks
from isbench.types import Click, Image, Mask, Prediction, Runtime, Turn

_MOST = 3  # pseudo clicks after a click of the user


class PseudoClickState(NamedTuple):
    """The state of an object after a click."""

    last: State  # as for RITM, after the last pass
    clicks: tuple[Click, ...] = ()  # the network's own, in the image as the network sees it

    @property
    def picture(self) -> Picture:
        """Return the image."""
        return self.last.picture

    @property
    def probability(self) -> Tensor:
        """Return the probabilities of the last prediction, (1, 1, h, w)."""
        return self.last.probability


@dataclass(frozen=True)
class PseudoClickConfig:
    """How many pseudo clicks are made, where, and for how long."""

    number: int = 1  # most after each click of the user
    min_radius: float = 0.0  # errors that are nowhere deeper get none, in pixels
    forget: bool = False  # drop them at the next click of the user


@dataclass(frozen=True)
class PseudoClickPredictor:
    """A predictor that clicks on its own predicted errors."""

    network: Computed
    config: InferenceConfig
    rule: PseudoClickConfig

    def begin(self, image: Image) -> Picture:
        """Return the image as the network sees it."""
        return self.config.begin(image)

    def start(self, encoded: Picture, initial: Mask | None) -> PseudoClickState:
        """Return the state before the first click; an initial mask has probability 1."""
        return PseudoClickState(start_state(encoded, initial, self.config.zoom_threshold))

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.config.compute([self._passes(turn) for turn in turns])

    def _passes(self, turn: Turn) -> Passes:
        state: PseudoClickState = turn.state
        clicks = scale_clicks(turn.clicks, state.picture)
        return answer_with_pseudo_clicks(self.network, self.rule, self.config, state, clicks)


def answer_with_pseudo_clicks(
    network: Computed,
    rule: PseudoClickConfig,
    config: InferenceConfig,
    state: PseudoClickState,
    clicks: tuple[Click, ...],
) -> Passes:
    """Answer with a pass on the user's clicks, and one after each pseudo click."""
    pseudo = () if rule.forget else state.clicks
    mask, last, errors = yield from _predict_once(network, config, state.last, clicks, pseudo)
    for _ in range(rule.number):
        click = yield from _choose_click(rule, config, last, errors, pseudo)
        if click is None:
            break
        pseudo = (*pseudo, click)
        mask, last, errors = yield from _predict_once(network, config, last, clicks, pseudo)
    return Prediction(mask, PseudoClickState(last, pseudo))


class _Pass(NamedTuple):
    mask: Mask
    state: State
    errors: Tensor  # (1, 2, h, w) probabilities


def _predict_once(
    network: Computed,
    config: InferenceConfig,
    state: State,
    clicks: tuple[Click, ...],
    pseudo: tuple[Click, ...],
) -> Requests[_Pass]:
    """Run a pass as RITM does; for the crop there is no difference between both kinds of clicks."""
    new_box = choose_crop(config, state, (*clicks, *pseudo))
    maps = yield from config.forward_crop(
        network, state.picture, state.probability, clicks, new_box, pseudo
    )
    box = new_box or state.box
    if box is not None:
        maps = paste(maps, box, state.probability.shape)
    prediction = yield from conclude(config, state, maps[:, :1], box)
    return _Pass(prediction.mask, prediction.state, maps[:, 1:])


def _choose_click(
    rule: PseudoClickConfig,
    config: InferenceConfig,
    state: State,
    errors: Tensor,
    pseudo: Sequence[Click],
) -> Requests[Click | None]:
    """Return a click on the predicted errors that do not contradict the mask."""
    found = state.probability[0, 0] > config.threshold
    false_positive, false_negative = (errors[0] > THRESHOLD).unbind()
    wrong, missing = yield HostRequest((false_positive & found, false_negative & ~found))
    return choose_pseudo_click(wrong, missing, pseudo, rule.min_radius)


def build_predictor(
    make_networks: Callable[..., Networks], *, runtime: Runtime, **options: Any
) -> PseudoClickPredictor:
    """Return the predictor of a card; raises IsbenchError for options out of range."""
    number, least = int(options["pseudo_clicks"]), float(options["min_radius"])
    radius = options["pseudo_radius"]
    check_option("pseudo_clicks", number, 0 <= number <= _MOST, f"0 to {_MOST}")
    check_option("min_radius", least, least >= 0, "0 or more pixels")
    check_option("pseudo_radius", radius, radius > 0, "more than 0 pixels")
    networks = build_networks(partial(make_networks, **options), runtime)
    rule = PseudoClickConfig(number, least, bool(options["forget"]))
    return PseudoClickPredictor(networks["network"], make_config(options, Zoom(), runtime), rule)
