"""Builds the predictor of a loaded model."""

from __future__ import annotations

from isbench.errors import IsbenchError
from isbench.extras import describe_missing
from isbench.models.registry import check_libraries, find_package
from isbench.types import LoadedModel, Predictor


def build_predictor(model: LoadedModel) -> Predictor:
    """Return the model's predictor; raises IsbenchError if it cannot be built."""
    if model.card.networks is not None and model.runtime is None:
        raise IsbenchError(
            f"model {model.name} has networks but no runtime; load it with isbench.load_model"
        )
    check_libraries(model.card)
    runtime = {} if model.runtime is None else {"runtime": model.runtime}
    try:
        return model.card.build(**model.options, **runtime)
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
