"""`isbench import`."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path

import click

from isbench.cli.completion import complete_datasets
from isbench.cli.paths import OUTPUT_FOLDER, PATH
from isbench.cli.tables import print_table
from isbench.datasets.registry import list_dataset_names
from isbench.errors import IsbenchError
from isbench.exchange.ritm_pickle import (
    check_count,
    list_figures,
    read_ritm_pickle,
    summarise_curves,
)
from isbench.files.home import expand_home
from isbench.metrics import METRICS
from isbench.reporting.literature import PublishedFigure
from isbench.reporting.text_table import TextTable
from isbench.storage.imported import ImportedCurves, find_imported, read_imported, write_imported

_NOTE = (
    "imported results have no clicks, no settings and no names of objects, so they are not runs: "
    "`isbench report --imported FILE` shows them beside runs"
)


@click.group(short_help="Import results of other evaluators, to report them beside runs.")
def import_results() -> None:
    """Import results of other evaluators, to report them beside runs.

    \b
    Example:
      isbench import ritm-pickle DAVIS_cvpr_NoBRS_20.pickle --dataset davis
    """


@import_results.command("ritm-pickle", short_help="Import IoU curves of the RITM evaluator.")
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.option(
    "--dataset",
    required=True,
    shell_complete=complete_datasets,
    help="Data set of the pickles, by its name in `isbench datasets`.",
)
@click.option("--model", help="Name of the model. [default: the one in the pickle]")
@click.option(
    "--max-clicks",
    type=int,
    default=20,
    show_default=True,
    help="The evaluator's --n-clicks.",
)
@click.option(
    "--stop-iou",
    type=float,
    help="The evaluator's --target-iou. [default: full games if all curves are of full length, "
    "else 0.90]",
)
@click.option(
    "--out", type=OUTPUT_FOLDER, default=Path("runs"), show_default=True, help="Results folder."
)
def ritm_pickle(
    files: tuple[Path, ...],
    dataset: str,
    model: str | None,
    max_clicks: int,
    stop_iou: float | None,
    out: Path,
) -> None:
    """Import pickles that `evaluate_model.py` of RITM or a fork wrote.

    FILES are those of --iou-analysis and of --save-ious. They are read as data: a pickle that
    needs more than numbers, texts, lists, dicts and arrays is refused. What is imported is written
    to OUT/imported, and never taken for a run.

    \b
    Example:
      isbench import ritm-pickle DAVIS_cvpr_NoBRS_20.pickle --dataset davis
      isbench report --dataset davis --imported runs/imported
    """
    if model is not None and not model.strip():
        raise IsbenchError("model is empty; wanted a name", setting="model")
    imported = [read_ritm_pickle(path, dataset, model, max_clicks, stop_iou) for path in files]
    print_table(_make_table(imported))
    for curves in imported:
        click.echo(str(write_imported(out, curves)))
    click.echo(_NOTE)


def _make_table(imported: Sequence[ImportedCurves]) -> TextTable:
    """Return a row per result, with the figures that at least one can tell."""
    figures = [
        {key: one.value for key, one in summarise_curves(curves).items() if not isnan(one.value)}
        for curves in imported
    ]
    shown = [metric for metric in METRICS if any(metric.key in one for one in figures)]
    rows = tuple(
        (
            f"{curves.model} on {curves.dataset}",
            *(
                format(one[metric.key], metric.format) if metric.key in one else ""
                for metric in shown
            ),
        )
        for curves, one in zip(imported, figures, strict=True)
    )
    heads = ("Result", *(metric.name for metric in shown))
    return TextTable(heads, rows, (False, *[True] * len(shown)), transposed=True)


def read_imported_figures(places: Sequence[str]) -> tuple[PublishedFigure, ...]:
    """Return the figures of imported results; raises IsbenchError for a place without any."""
    files = [path for place in places for path in find_imported(expand_home(place))]
    if places and not files:
        message = f"no imported results in {', '.join(places)}; make some with `isbench import`"
        raise IsbenchError(message, setting="imported")
    found = {path: read_imported(path) for path in files}
    for path, one in found.items():
        if one.dataset in list_dataset_names():  # else its package is not installed
            check_count(path, one.dataset, len(one.iou), "imported")
    return tuple(list_figures([*found.values()]))
