"""Builds the predictor of a loaded model."""

from __future__ import annotations

from isbench.errors import IsbenchError, PredictorError
from isbench.extras import describe_missing
from isbench.models.registry import check_libraries, find_package
from isbench.types import LoadedModel, Predictor

_FUNCTIONS = ("begin", "start", "predict")


def build_predictor(model: LoadedModel) -> Predictor:
    """Return the model's predictor.

    Raises IsbenchError if it cannot be built, PredictorError if one of its functions is missing.
    """
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
            f"model {model.name} cannot be built (options: {options}): "
            f"{type(error).__name__}: {error}"
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
