"""isbench: a benchmark suite for click-based interactive image segmentation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isbench.datasets import load_dataset
    from isbench.datasets.catalogue import DatasetCard
    from isbench.datasets.installation import add_dataset, download_dataset, import_dataset
    from isbench.datasets.readers import Reader
    from isbench.datasets.verify import verify_dataset
    from isbench.errors import ClickerError, DatasetError, IsbenchError, PredictorError
    from isbench.evaluation.engine import play
    from isbench.evaluation.rules import rules
    from isbench.evaluation.runner import run
    from isbench.evaluation.seeds import run_seeds
    from isbench.evaluation.segmentation import segment
    from isbench.exchange.bundle import write_bundle
    from isbench.exchange.bundle_check import verify_bundle
    from isbench.exchange.click_frame import make_click_frame
    from isbench.exchange.onnx_model import export_model
    from isbench.exchange.ritm_pickle import read_ritm_pickle
    from isbench.lazy_function import LazyFunction
    from isbench.metrics import Games, Metric, list_metrics
    from isbench.models.loading import load_model
    from isbench.papers.paper import Paper
    from isbench.papers.reproduction import reproduce
    from isbench.papers.requirements import list_requirements
    from isbench.reporting.checklist import make_checklist
    from isbench.reporting.chosen_runs import choose_runs
    from isbench.reporting.compare import compare
    from isbench.reporting.gate import judge, parse_condition
    from isbench.reporting.literature import list_published
    from isbench.reporting.markdown_summary import make_markdown_summary
    from isbench.reporting.page import make_page
    from isbench.reporting.plot_files import save_plot
    from isbench.reporting.systems import System, compare_systems
    from isbench.reporting.tables import make_frame
    from isbench.storage.merge import merge
    from isbench.storage.store import Run, read
    from isbench.training.loop import train
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
        Proposal,
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
    "DatasetError": "errors",
    "Dataset": "types",
    "DatasetCard": "datasets.catalogue",
    "Game": "types",
    "Games": "metrics",
    "IsbenchError": "errors",
    "LazyFunction": "lazy_function",
    "LoadedModel": "types",
    "Metric": "metrics",
    "ModelCard": "types",
    "Paper": "papers.paper",
    "Prediction": "types",
    "Predictor": "types",
    "PredictorError": "errors",
    "Proposal": "types",
    "Reader": "datasets.readers",
    "Rules": "types",
    "Run": "storage.store",
    "Sample": "types",
    "Spec": "types",
    "System": "reporting.systems",
    "Trajectory": "types",
    "Turn": "types",
    "add_dataset": "datasets.installation",
    "choose_runs": "reporting.chosen_runs",
    "compare": "reporting.compare",
    "compare_systems": "reporting.systems",
    "download_dataset": "datasets.installation",
    "export_model": "exchange.onnx_model",
    "import_dataset": "datasets.installation",
    "judge": "reporting.gate",
    "list_metrics": "metrics",
    "list_published": "reporting.literature",
    "list_requirements": "papers.requirements",
    "load_dataset": "datasets",
    "load_model": "models.loading",
    "make_checklist": "reporting.checklist",
    "make_click_frame": "exchange.click_frame",
    "make_frame": "reporting.tables",
    "make_markdown_summary": "reporting.markdown_summary",
    "make_page": "reporting.page",
    "merge": "storage.merge",
    "parse_condition": "reporting.gate",
    "play": "evaluation.engine",
    "read": "storage.store",
    "read_ritm_pickle": "exchange.ritm_pickle",
    "reproduce": "papers.reproduction",
    "rules": "evaluation.rules",
    "run": "evaluation.runner",
    "run_seeds": "evaluation.seeds",
    "save_plot": "reporting.plot_files",
    "segment": "evaluation.segmentation",
    "train": "training.loop",
    "verify_bundle": "exchange.bundle_check",
    "verify_dataset": "datasets.verify",
    "write_bundle": "exchange.bundle",
}

__all__ = [
    "Click",
    "ClickInput",
    "Clicker",
    "ClickerError",
    "DatasetError",
    "Dataset",
    "DatasetCard",
    "Game",
    "Games",
    "IsbenchError",
    "LazyFunction",
    "LoadedModel",
    "Metric",
    "ModelCard",
    "Paper",
    "Prediction",
    "Predictor",
    "PredictorError",
    "Proposal",
    "Reader",
    "Rules",
    "Run",
    "Sample",
    "Spec",
    "System",
    "Trajectory",
    "Turn",
    "add_dataset",
    "choose_runs",
    "compare",
    "compare_systems",
    "download_dataset",
    "export_model",
    "import_dataset",
    "judge",
    "list_metrics",
    "list_published",
    "list_requirements",
    "load_dataset",
    "load_model",
    "make_checklist",
    "make_click_frame",
    "make_frame",
    "make_markdown_summary",
    "make_page",
    "merge",
    "parse_condition",
    "play",
    "read",
    "read_ritm_pickle",
    "reproduce",
    "rules",
    "run",
    "run_seeds",
    "save_plot",
    "segment",
    "train",
    "verify_bundle",
    "verify_dataset",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'isbench' has no attribute {name!r}")
    return getattr(import_module(f"isbench.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
