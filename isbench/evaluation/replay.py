"""Recomputes the masks of recorded clicks: the model of a run, its predictor and its masks.

Not here: whether games still match their record (`replay_check`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from isbench.evaluation.engine import check_answers
from isbench.evaluation.job import build_predictor, opencv_threads
from isbench.models.known_weights import find_weights
from isbench.models.registry import load_model
from isbench.types import (
    Click,
    Mask,
    Model,
    Predictor,
    Runtime,
    Sample,
    Spec,
    Turn,
)


def model_from_spec(spec: Spec) -> Model:
    """Return the card of a run with its options, weights, device and precision.

    Raises IsbenchError for a model, weights or a device that is not available.
    """
    card = replace(load_model(spec.model), options=dict(spec.options))
    if spec.weights is None or card.network is None:
        return card
    from isbench.nn.runtime import backends, compute  # import torch, so only for networks

    backend, _, device = (spec.backend or "eager-cpu").rpartition("-")
    runtime = Runtime(
        weights=() if spec.weights == "random" else find_weights(card, spec.weights),
        digest=spec.weights,
        device=compute.parse_device(device),
        precision=compute.parse_precision(spec.precision or "fp32"),
        threads=spec.threads,
        backend=backends.choose_backend(backend, device, spec.precision or "fp32"),
    )
    return replace(card, runtime=runtime)


@contextmanager
def open_predictor(card: Model) -> Iterator[Predictor]:
    """Yield a card's predictor, with OpenCV on the number of threads of runs."""
    with opencv_threads():
        yield build_predictor(card)


def replay_masks(predictor: Predictor, sample: Sample, clicks: Sequence[Click]) -> Iterator[Mask]:
    """Yield the model's (H, W) mask after each click."""
    state = predictor.start(predictor.begin(sample.image), sample.initial)
    for count in range(1, len(clicks) + 1):
        answers = predictor.predict([Turn(state, tuple(clicks[:count]))])
        check_answers(answers, [(sample.key, sample.truth.shape)])
        mask, state = answers[0]
        yield mask


def compute_overlap(mask: Mask, sample: Sample) -> tuple[int, int]:
    """Return (intersection, union) of mask and truth in pixels, without ignored ones."""
    scored = mask & ~sample.ignore
    return (
        int(np.count_nonzero(scored & sample.truth)),
        int(np.count_nonzero(scored | sample.truth)),
    )
