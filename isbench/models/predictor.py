"""Builds the predictor of a loaded model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from isbench.errors import IsbenchError, PredictorError, Unfit, describe_exception
from isbench.extras import describe_missing
from isbench.models.registry import check_libraries, find_package
from isbench.types import LoadedModel, Predictor, Runtime

_FUNCTIONS = ("begin", "start", "predict")


class BuiltModel(NamedTuple):
    """A model on the backend that computes it, and its predictor in this process."""

    model: LoadedModel
    predictor: Predictor
    seconds: float  # that it took to build


def build_model(model: LoadedModel, note: Callable[[str], None] = warnings.warn) -> BuiltModel:
    """Build a model's predictor, by the fallback of its backend if it has one and needs it.

    `note` is called with a message about that. Raises IsbenchError if the model cannot be built,
    PredictorError if one of its functions is missing.
    """
    runtime, started = model.runtime, perf_counter()
    if runtime is not None and runtime.fallback:
        model = _with_backend(model, runtime, runtime.backend)
    try:
        predictor = _build(model)
    except Unfit as error:
        if runtime is None or not runtime.fallback:
            raise
        note(f"{model.name}: {error}; using {runtime.fallback}")
        model = _with_backend(model, runtime, runtime.fallback)
        predictor = _build(model)
    return BuiltModel(model, predictor, perf_counter() - started)


def build_predictor(model: LoadedModel, note: Callable[[str], None] = warnings.warn) -> Predictor:
    """Return the model's predictor; see `build_model`."""
    return build_model(model, note).predictor


def _with_backend(model: LoadedModel, runtime: Runtime, backend: str) -> LoadedModel:
    """Return the model with a backend that has no fallback."""
    return replace(model, runtime=replace(runtime, backend=backend, fallback=""))


def _build(model: LoadedModel) -> Predictor:
    if model.card.networks is not None and model.runtime is None:
        raise IsbenchError(
            f"model {model.name} has networks but no runtime; load it with isbench.load_model"
        )
    check_libraries(model.card)
    runtime = {} if model.runtime is None else {"runtime": model.runtime}
    try:
        return _check_functions(model, model.card.build(**model.options, **runtime))
    except IsbenchError:
        raise
    except ModuleNotFoundError as error:
        library = describe_missing(error.name or str(error), find_package(model.card))
        raise IsbenchError(f"model {model.name} needs {library}") from error
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        options = ", ".join(f"{key}={value}" for key, value in model.options.items()) or "none"
        raise IsbenchError(
            f"model {model.name} cannot be built (options: {options}): {describe_exception(error)}"
        ) from error


def _check_functions(model: LoadedModel, predictor: Predictor) -> Predictor:
    """Return the predictor; raises PredictorError unless it has the three functions."""
    missing = [name for name in _FUNCTIONS if not callable(getattr(predictor, name, None))]
    if missing:
        raise PredictorError(
            f"model {model.name} is built as a {type(predictor).__name__} without "
            f"{' and '.join(missing)}; wanted begin(image), start(encoded, initial) and "
            "predict(turns)"
        )
    return predictor
