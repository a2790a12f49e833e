"""Recomputes the masks of recorded clicks: the data and model of a run, its predictor and masks.

Not here: whether games still match their record (`replay_check`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from isbench.datasets.fingerprints import fingerprint, fingerprint_initial
from isbench.errors import IsbenchError
from isbench.evaluation.job import opencv_threads
from isbench.evaluation.session import ObjectTurn, PredictorSession
from isbench.evaluation.spec import restore_options
from isbench.models.known_weights import find_weights
from isbench.models.predictor import build_predictor
from isbench.models.registry import (
    NONE_TRUSTED,
    Trusted,
    check_libraries,
    load_recorded_card,
    parse_options,
)
from isbench.models.weights import RANDOM
from isbench.storage.store import digest_spec
from isbench.types import (
    Click,
    Dataset,
    LoadedModel,
    Mask,
    Predictor,
    Runtime,
    Sample,
    Spec,
    Turn,
)


def model_from_spec(spec: Spec, trusted: Trusted = NONE_TRUSTED) -> LoadedModel:
    """Return the model of a run with its options, weights, device and precision.

    Only installed models and those in `trusted` are imported (see `load_recorded_card`). Raises
    IsbenchError for a model, weights or a device that is not available, and for options that the
    model does not have.
    """
    card = load_recorded_card(spec.model, trusted)
    options = restore_options(card, spec.options)
    parse_options(card, options)
    check_libraries(card)
    if spec.weights is None or card.networks is None:
        return LoadedModel(card, options)
    from isbench.nn.runtime import backends, compute  # import torch, so only for networks

    backend, _, device = (spec.backend or "eager-cpu").rpartition("-")
    runtime = Runtime(
        weights=() if spec.weights == RANDOM else find_weights(card, spec.weights),
        digest=spec.weights,
        device=compute.parse_device(device),
        precision=compute.parse_precision(spec.precision or "fp32"),
        threads=spec.threads,
        backend=backends.choose_backend(backend, device, spec.precision or "fp32", card.gradients),
        gradients=card.gradients,
    )
    return LoadedModel(card, options, runtime)


def check_data(spec: Spec, dataset: Dataset, content: str | None = None) -> None:
    """Raise IsbenchError unless a run was played on exactly this data, from the same masks.

    `content` is the data set's fingerprint if already computed.
    """
    content = fingerprint(dataset) if content is None else content
    if (spec.dataset, spec.fingerprint) != (dataset.name, content):
        raise IsbenchError(
            f"run {digest_spec(spec)} of {spec.model} was not played on the local files of "
            f"{spec.dataset}; pass the folder of the data sets that it was played on as `data`",
            setting="data",
        )
    played = replace(dataset, keys=dataset.keys[: spec.limit])
    if spec.initial != fingerprint_initial(played):
        raise IsbenchError(
            f"run {digest_spec(spec)} of {spec.model} on {spec.dataset} started from "
            f"{_describe_initial(spec)}, and those of the data set are others now; restore them, "
            "or read the data set as it was then"
        )


def _describe_initial(spec: Spec) -> str:
    return "no masks" if spec.initial is None else f"masks with sha256 {spec.initial[:12]}"


@contextmanager
def open_predictor(
    model: LoadedModel, note: Callable[[str], None] = warnings.warn
) -> Iterator[Predictor]:
    """Yield a model's predictor, with OpenCV on the number of threads of runs.

    `note` is called with a message if it is on the fallback of its backend.
    """
    with opencv_threads():
        yield build_predictor(model, note)


def replay_masks(predictor: Predictor, sample: Sample, clicks: Sequence[Click]) -> Iterator[Mask]:
    """Yield the model's (H, W) mask after each click.

    Raises IsbenchError for a click outside the image.
    """
    rows, cols = sample.truth.shape
    for click in clicks:
        if not (0 <= click.row < rows and 0 <= click.col < cols):
            raise IsbenchError(
                f"the record of object {sample.key} is damaged: click ({click.row}, {click.col}) "
                f"is outside its image of {rows}x{cols} pixels"
            )
    session = PredictorSession(predictor)
    state = session.start(sample.key, sample.image, sample.initial)
    for count in range(1, len(clicks) + 1):
        turn = Turn(state, tuple(clicks[:count]))
        ((mask, state),) = session.predict([ObjectTurn(sample.key, sample.truth.shape, turn)])
        yield mask
