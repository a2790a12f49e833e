"""What the shell completes: names of models, data sets, clickers, runs and published systems.

Everything is imported in the functions, to keep completion fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from isbench.errors import IsbenchError

Complete: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_from(list_words: Callable[[click.Context], Iterable[str]]) -> Complete:
    """Return a function that completes one of the listed words, in any case of letters."""

    def complete(
        context: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        start = incomplete.casefold()
        try:
            words = [*list_words(context)]
        except IsbenchError:  # such as a damaged file; the command says so
            return []
        return [CompletionItem(word) for word in words if word.casefold().startswith(start)]

    return complete


def _list_models(_: click.Context) -> Iterable[str]:
    from isbench.models.registry import list_model_names

    return list_model_names()


def _list_clickers(_: click.Context) -> Iterable[str]:
    from isbench.evaluation.clickers.registry import list_clicker_names

    return list_clicker_names()


def _list_datasets(context: click.Context) -> Iterable[str]:
    from isbench.datasets.readers import list_reader_names
    from isbench.datasets.registry import list_dataset_names
    from isbench.datasets.user_datasets import list_user_datasets

    own = list_user_datasets(context.params.get("data"))
    return (*list_dataset_names(), *own, *(f"{name}:" for name in list_reader_names()))


def _list_user_datasets(context: click.Context) -> Iterable[str]:
    from isbench.datasets.user_datasets import list_user_datasets

    return list_user_datasets(context.params.get("data"))


def _list_metrics(_: click.Context) -> Iterable[str]:
    from isbench.metrics import list_metrics

    return [metric.key for metric in list_metrics()]


def _list_plots(_: click.Context) -> Iterable[str]:
    from isbench.reporting.plot_files import list_plots

    return list_plots()


def _list_run_names(context: click.Context) -> Iterable[str]:
    """Return the models, data sets and digests of the runs in the command's folder of runs."""
    from isbench.reporting.chosen_runs import list_run_names

    return list_run_names(Path(context.params.get("runs") or "runs"))


def complete_runs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a run by its model, data set or digest, and otherwise as a path."""
    is_path = "/" in incomplete or incomplete.startswith((".", "~"))
    found = [] if is_path else complete_from(_list_run_names)(context, parameter, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def complete_published(field: str) -> Complete:
    """Return a function that completes a name of published figures, such as a "system"."""

    def list_published_names(_: click.Context) -> Iterable[str]:
        from isbench.reporting.literature import list_names

        return list_names(field)

    return complete_from(list_published_names)


complete_models = complete_from(_list_models)
complete_clickers = complete_from(_list_clickers)
complete_datasets = complete_from(_list_datasets)
complete_user_datasets = complete_from(_list_user_datasets)
complete_metrics = complete_from(_list_metrics)
complete_plots = complete_from(_list_plots)
