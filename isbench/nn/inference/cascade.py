"""Cascade-forward refinement (CFR, arXiv:2303.05620): a prediction that is repeated on itself.

A pass is the complete prediction of a system: crop, network, paste, threshold. The next one gets
the same clicks and the state after the one before: its probabilities as the previous mask, and its
crop. Not here: what a prediction consists of (`predictor`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from isbench.errors import check_option
from isbench.nn.inference.options import CASCADE
from isbench.nn.inference.passes import HostRequest, Passes, Requests
from isbench.nn.stem import resize_centred
from isbench.types import Scalar

_FEW = 20  # changed pixels at which the adaptive cascade stops
_MOST_PASSES = 100  # far beyond what is of use, and still answered in seconds
_THRESHOLD = 0.49  # of these pixels, whatever the threshold of the mask


@dataclass(frozen=True)
class Cascade:
    """How often a prediction is repeated, and when."""

    steps: int = 0
    clicks: int = 1
    adaptive: bool = False


class _Picture(Protocol):
    @property
    def shape(self) -> tuple[int, int]:
        """Return the rows and columns of the image."""


class Refinable(Protocol):
    """A state whose prediction can be repeated."""

    @property
    def picture(self) -> _Picture:
        """Return the image."""

    @property
    def probability(self) -> Tensor:
        """Return the probabilities of the last prediction, (1, 1, h, w)."""


def make_cascade(options: Mapping[str, Scalar]) -> Cascade:
    """Return the cascade that a card's options ask for; without such options, a single pass.

    Raises IsbenchError for a negative number, and for too many passes.
    """
    values = {**CASCADE, **options}
    check_option("cascade", values["cascade"], 0 <= int(values["cascade"]) <= _MOST_PASSES,
                 f"0 to {_MOST_PASSES}")  # fmt: skip
    clicks = values["cascade_clicks"]
    check_option("cascade_clicks", clicks, int(clicks) >= 0, "0 or more")
    return Cascade(
        int(values["cascade"]), int(values["cascade_clicks"]), bool(values["cascade_adaptive"])
    )


def repeat(cascade: Cascade, answer: Callable[[Any], Passes], state: Any, clicks: int) -> Passes:
    """Answer a turn with a state and a number of clicks, and refine the answer by the cascade.

    `answer` maps a state to a prediction with a `Refinable` state. Only passes of the same turn are
    compared, so an adaptive cascade has at least two.
    """
    prediction = yield from answer(state)
    for _ in range(cascade.steps if clicks <= cascade.clicks else 0):
        before: Refinable = prediction.state
        prediction = yield from answer(before)
        if cascade.adaptive and (yield from _count_changes(before, prediction.state)) <= _FEW:
            break
    return prediction


def _count_changes(before: Refinable, after: Refinable) -> Requests[int]:
    """Return at how many pixels of the image the object of two predictions differs."""
    (changed,) = yield HostRequest((_find_object(before) ^ _find_object(after),))
    return int(np.count_nonzero(changed))


def _find_object(state: Refinable) -> Tensor:
    return resize_centred(state.probability, state.picture.shape)[0, 0] > _THRESHOLD
