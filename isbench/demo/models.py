"""The models of the demo: a thread builds them one after the other and tries each of them once.

So the page opens at once, and the first click of a person does not pay for what is only slow the
first time. Not here: the encodings of images (`games`), and the names on the page (`server`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import NamedTuple

from isbench.evaluation.job import try_model
from isbench.evaluation.session import PredictorSession
from isbench.models.predictor import build_predictor
from isbench.types import LoadedModel


class DemoModel(NamedTuple):
    """A model of the page; its session exists once it has been built."""

    session: Future[PredictorSession]
    adaptive: bool = False  # learns from every object that is started, so none is started in vain
    compiles: bool = False  # prepares its passes anew for every shape of an image


def build_models(
    models: Sequence[LoadedModel], executor: Executor, note: Callable[[str], None] = warnings.warn
) -> dict[str, DemoModel]:
    """Start to build models in the background; returns them by name, in order.

    `note` is called with messages about backends.

    A session raises IsbenchError for a model that cannot be built, and PredictorError for one
    whose first answer breaks the contract.
    """
    return {
        model.name: DemoModel(
            executor.submit(_build, model, note),
            model.card.adaptive,
            model.runtime is not None and model.runtime.backend != "eager",
        )
        for model in models
    }


def _build(model: LoadedModel, note: Callable[[str], None]) -> PredictorSession:
    session = PredictorSession(build_predictor(model, note))
    if model.runtime is not None and not model.card.adaptive:
        try_model(model.name, session)
    return session
