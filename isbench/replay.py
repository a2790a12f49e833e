"""Recorded games played again: the model rebuilt, its masks, and whether they are the recorded.

Not here: what is compared for which runs (`isbench reproduce --check`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import takewhile

import cv2
import numpy as np

from isbench import store
from isbench.engine import check_answers, play
from isbench.paper.lineup import found_by
from isbench.registry import load_model
from isbench.runner import THREADS, build
from isbench.types import (
    Click,
    Mask,
    Model,
    Predictor,
    Rules,
    Runtime,
    Sample,
    Spec,
    Trajectory,
    Turn,
)


def rebuilt(spec: Spec) -> Model:
    """Return the card of a run with its options, weights, device and precision.

    Raises IsbenchError for a model, weights or a device that is not at hand.
    """
    card = replace(load_model(spec.model), options=dict(spec.options))
    if spec.weights is None or card.network is None:
        return card
    from isbench.nn import backends, compute  # torch, which only networks wait for

    backend, _, kind = (spec.backend or "eager-cpu").rpartition("-")
    runtime = Runtime(
        weights=() if spec.weights == "random" else found_by(card, spec.weights),
        digest=spec.weights,
        device=compute.device(kind),
        precision=compute.precision(spec.precision or "fp32"),
        threads=spec.threads,
        backend=backends.chosen(backend, kind, spec.precision or "fp32"),
    )
    return replace(card, runtime=runtime)


@contextmanager
def at_work(card: Model) -> Iterator[Predictor]:
    """Build a card's predictor and lend it, on as many threads as runs are played on."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(THREADS)
    try:
        yield build(card)
    finally:
        cv2.setNumThreads(before)


def masks(predictor: Predictor, sample: Sample, clicks: Sequence[Click]) -> Iterator[Mask]:
    """Yield the model's mask after each of the clicks, (H, W) each."""
    state = predictor.start(predictor.begin(sample.image), sample.initial)
    for count in range(1, len(clicks) + 1):
        answers = predictor.predict([Turn(state, tuple(clicks[:count]))])
        check_answers(answers, [(sample.key, sample.truth.shape)])
        mask, state = answers[0]
        yield mask


def overlap(mask: Mask, sample: Sample) -> tuple[int, int]:
    """Return (intersection, union) of mask and truth in pixels, ignored ones left out."""
    scored = mask & ~sample.ignore
    return (
        int(np.count_nonzero(scored & sample.truth)),
        int(np.count_nonzero(scored | sample.truth)),
    )


def again(predictor: Predictor, sample: Sample, rules: Rules) -> Trajectory:
    """Return the object's game as it goes now."""
    (game,) = play(predictor, [sample], rules)
    return game.trajectory


def shortened(recorded: Trajectory, rules: Rules, clicks: int) -> tuple[Trajectory, Rules]:
    """Return a game as if at most so many clicks had been allowed, and the rules that say so."""
    shorter = replace(rules, max_clicks=min(clicks, rules.max_clicks))
    return store.cut(recorded, shorter), shorter


def difference(recorded: Trajectory, replayed: Trajectory) -> str:
    """Return in words where a game left its record, '' where it did not."""
    if recorded == replayed:
        return ""
    pairs = zip(recorded.clicks, replayed.clicks, strict=False)
    for number, (then, now) in enumerate(pairs, start=1):
        if then != now:
            return f"click {number} was {_told(then)} and is {_told(now)}"
        was, is_now = (game.overlap[number - 1] for game in (recorded, replayed))
        if was != is_now:
            return f"after click {number} IoU was {_iou(was)} and is {_iou(is_now)}"
    return f"it took {len(recorded.clicks)} clicks and takes {len(replayed.clicks)}"


def shared(recorded: Sequence[Click], now: Sequence[Click]) -> int:
    """Return with how many clicks both begin that are the same."""
    pairs = zip(recorded, now, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def drawn(keys: Sequence[str], count: int) -> tuple[str, ...]:
    """Return so many of the keys, the same ones every time: those whose sha256 come first."""
    return tuple(sorted(keys, key=lambda key: sha256(key.encode()).hexdigest())[:count])


def _told(click: Click) -> str:
    sign = "positive" if click.positive else "negative"
    return f"{sign} at ({click.row}, {click.col})"


def _iou(pair: tuple[int, int]) -> str:
    return f"{pair[0]}/{pair[1]}"
