"""isbench: a benchmark suite for click-based interactive image segmentation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isbench.datasets import load_dataset
    from isbench.datasets.catalogue import DatasetCard
    from isbench.datasets.readers import Reader
    from isbench.errors import ClickerError, IsbenchError, PredictorError
    from isbench.evaluation.engine import play
    from isbench.evaluation.runner import run
    from isbench.metrics import Games, Metric
    from isbench.models.loading import load_model
    from isbench.papers.paper import Paper
    from isbench.storage.store import Run, read
    from isbench.types import (
        Click,
        Clicker,
        ClickInput,
        Dataset,
        Game,
        LoadedModel,
        ModelCard,
        Prediction,
        Predictor,
        Rules,
        Sample,
        Spec,
        Trajectory,
        Turn,
    )

# name -> module; imported on first use, which keeps `isbench --help` fast
_MODULES = {
    "Click": "types",
    "ClickInput": "types",
    "Clicker": "types",
    "ClickerError": "errors",
    "Dataset": "types",
    "DatasetCard": "datasets.catalogue",
    "Game": "types",
    "Games": "metrics",
    "IsbenchError": "errors",
    "LoadedModel": "types",
    "Metric": "metrics",
    "ModelCard": "types",
    "Paper": "papers.paper",
    "Prediction": "types",
    "Predictor": "types",
    "PredictorError": "errors",
    "Reader": "datasets.readers",
    "Rules": "types",
    "Run": "storage.store",
    "Sample": "types",
    "Spec": "types",
    "Trajectory": "types",
    "Turn": "types",
    "load_dataset": "datasets",
    "load_model": "models.loading",
    "play": "evaluation.engine",
    "read": "storage.store",
    "run": "evaluation.runner",
}

__all__ = [
    "Click",
    "ClickInput",
    "Clicker",
    "ClickerError",
    "Dataset",
    "DatasetCard",
    "Game",
    "Games",
    "IsbenchError",
    "LoadedModel",
    "Metric",
    "ModelCard",
    "Paper",
    "Prediction",
    "Predictor",
    "PredictorError",
    "Reader",
    "Rules",
    "Run",
    "Sample",
    "Spec",
    "Trajectory",
    "Turn",
    "load_dataset",
    "load_model",
    "play",
    "read",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'isbench' has no attribute {name!r}")
    return getattr(import_module(f"isbench.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
