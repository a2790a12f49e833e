"""`isbench run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from isbench.cli.completion import complete_clickers, complete_datasets, complete_models
from isbench.cli.console import make_console
from isbench.cli.flags import format_error
from isbench.cli.networks import (
    NetworkOptions,
    load_models,
    network_options,
    settings_option,
)
from isbench.cli.options import data_option, labels_option
from isbench.cli.paths import OUTPUT_FOLDER
from isbench.cli.progress import Reporter
from isbench.cli.protocols import choose_evaluation, protocol_option
from isbench.cli.streams import print_note
from isbench.cli.tables import print_table
from isbench.cli.usage import note_unused, refuse_lists
from isbench.cli.workers import parse_shard, parse_workers, workers_option
from isbench.datasets import load_dataset
from isbench.datasets.readers import with_labels
from isbench.errors import IsbenchError
from isbench.evaluation import job, runner
from isbench.evaluation.clickers.registry import list_clicker_names, parse_clicker
from isbench.evaluation.executors.processes import Executor, play_here
from isbench.evaluation.seeds import list_rules
from isbench.metrics import Metric, list_metrics
from isbench.models.predictor import build_model
from isbench.protocol import has_full_games
from isbench.reporting import study_tables, tables
from isbench.reporting.studies import find_baseline, group_runs
from isbench.reporting.text_table import TextTable
from isbench.storage.store import Run


@click.command(short_help="Run models on data sets and print a table.")
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    callback=refuse_lists,
    shell_complete=complete_models,
    help="Name of an installed model, or package.module:card. Repeatable.",
)
@click.option(
    "--dataset",
    "names",
    multiple=True,
    callback=refuse_lists,
    shell_complete=complete_datasets,
    help="Name of a data set, folder:PATH, coco:IMAGES_DIR,ANNOTATIONS.json, or another form that "
    "`isbench datasets` lists. Repeatable. [required without --protocol]",
)
@labels_option
@protocol_option
@click.option(
    "--max-clicks",
    type=int,
    default=20,
    show_default=True,
    help="Maximum clicks per object, up to 1000.",
)
@click.option(
    "--stop-iou",
    type=float,
    default=0.90,
    show_default=True,
    help="IoU at which a game ends; above 1, up to 2: never, which gives full games.",
)
@click.option(
    "--preset", default="ritm-2021", show_default=True, help="Preset of rules: ritm-2021, strict."
)
@click.option(
    "--clicker",
    metavar="NAME[:VALUE,...]",
    shell_complete=complete_clickers,
    help=f"Simulated user: {', '.join(list_clicker_names())}. Parameters follow a colon, see "
    "`isbench clickers`. [default: that of the preset]",
)
@settings_option
@network_options
@click.option(
    "--limit", type=int, metavar="N", help="Play only the first N objects of each data set."
)
@workers_option
@click.option("--shard", metavar="K/N", help="Play only part K of N; `isbench merge` joins them.")
@click.option(
    "--executor",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="Where to run: local processes or a Ray cluster.",
)
@click.option(
    "--address",
    default="auto",
    show_default=True,
    help="Address of the Ray cluster; local: a new one on this machine.",
)
@click.option(
    "--save-masks",
    is_flag=True,
    help="Save every mask next to the run; without this, reports recompute the masks.",
)
@click.option(
    "--recheck",
    type=click.IntRange(min=0),
    default=runner.RECHECK,
    show_default=True,
    help="Recorded games to replay if the model's code has changed since; 0: none.",
)
@click.option(
    "--cache",
    type=OUTPUT_FOLDER,
    metavar="DIR",
    help="Keep the encodings of images in this folder and read them from there. Only for models "
    "that encode an image before the clicks. [default: none are kept]",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Random seed for stochastic clickers."
)
@click.option(
    "--seeds",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Play a stochastic clicker with N seeds, from --seed on, as one study: a run each.",
)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    default=Path("runs"),
    show_default=True,
    help="Results folder.",
)
@data_option
def run(
    models: tuple[str, ...],
    names: tuple[str, ...],
    labels: str | None,
    protocol: str | None,
    max_clicks: int,
    stop_iou: float,
    preset: str,
    clicker: str | None,
    settings: tuple[str, ...],
    weights: str | None,
    device: str,
    precision: str,
    threads: int,
    backend: str,
    limit: int | None,
    workers: str,
    shard: str | None,
    executor: str,
    address: str,
    save_masks: bool,
    recheck: int,
    cache: Path | None,
    seed: int,
    seeds: int,
    out: Path,
    data: Path | None,
) -> None:
    """Run every model on every data set, record the games, and print a table.

    Recorded games are not played again: an interrupted run resumes where it stopped, and a run
    with full or longer games also gives the results of shorter games.

    \b
    Example:
      isbench run --model nearest --dataset grabcut --dataset berkeley --stop-iou 1.01
      isbench run --model ritm-hrnet18 --weights cocolvis --dataset davis
      isbench run --model nearest --protocol hq --dataset davis
      isbench run --model nearest --dataset grabcut --clicker human --seeds 10
    """
    chosen = choose_evaluation(
        protocol, names, seed,
        preset=preset, max_clicks=max_clicks, stop_iou=stop_iou, clicker=clicker,
    )  # fmt: skip
    names = with_labels(chosen.names, labels)
    each_seed = list_rules(chosen.rules, seeds)
    clicker_card = parse_clicker(chosen.rules.clicker).card
    if chosen.rules.seed and not clicker_card.stochastic:
        print_note(f"the clicker {clicker_card.name} draws no random numbers: every seed gives the "
                   "same games")  # fmt: skip
    part, count = parse_shard(shard), parse_workers(workers)
    options = NetworkOptions(weights, device, precision, threads, backend)
    # one error reports both missing weights and missing data
    loaded, datasets = _collect(
        load_models(models, settings, options),
        [partial(load_dataset, name, data, limit) for name in dict.fromkeys(names)],
    )
    if len(loaded) > 1:
        for model in loaded:  # the last model fails before the first one runs
            if model.runtime is not None or cache is not None:
                job.check_model(build_model(model, _ignore), cache is not None)
    note_unused({"address": executor == "ray"})
    execute = _choose_executor(executor, address)
    metrics = list_metrics()  # a broken package fails before the first game
    with Reporter() as reporter:
        runs = [
            runner.run(
                model,
                dataset,
                one,
                out=out,
                workers=count,
                watch=reporter,
                executor=execute,
                shard=part,
                save_masks=save_masks,
                recheck=recheck,
                cache=cache,
            )
            for dataset in datasets
            for model in loaded
            for one in each_seed
        ]
    if part is None:
        _print_runs(runs, chosen.rules.max_clicks, metrics, chosen.view)
        return
    for one in runs:
        click.echo(f"{len(one.trajectories)} of {one.spec.objects} objects: {one.path}")
    if not all(one.complete for one in runs):
        click.echo("merge the parts with `isbench merge` when all are done")


def _ignore(note: str) -> None:
    """Do nothing with a note, which the run of the model gives again."""


def _print_runs(runs: Sequence[Run], max_clicks: int, metrics: Sequence[Metric], view: str) -> None:
    try:
        print_table(_make_table(runs, max_clicks, metrics, view))
    finally:  # a metric of a package may fail, and the runs are recorded all the same
        terminal = make_console()
        for run in runs:
            terminal.print(f"{run.spec.model} on {run.spec.dataset}: {run.path}", soft_wrap=True)


def _make_table(
    runs: Sequence[Run], max_clicks: int, metrics: Sequence[Metric], view: str
) -> TextTable:
    studies = group_runs(runs)
    shows_iou = False
    if len(studies) < len(runs):
        baselines = [find_baseline(study) for study in studies]
        rows = study_tables.make_study_rows(studies, baselines, max_clicks)
        whole = study_tables.make_study_table(rows)
    else:
        whole = tables.make_table(tables.make_rows(runs, max_clicks, metrics), view, metrics)
        shown = tables.choose_metrics(view, metrics)
        whole = replace(whole, notes=(tables.make_legend(shown), *whole.notes))
        shows_iou = any(one.view == "iou" for one in shown)
    marks = (study_tables.describe_marks(one, max_clicks) for one in runs)
    notes = [*whole.notes, *dict.fromkeys(filter(None, marks))]
    if shows_iou and any(not has_full_games(one.spec.rules) for one in runs):
        notes.append(tables.FULL_GAMES)
    return replace(whole, notes=tuple(notes))


def _choose_executor(name: str, address: str) -> Executor:
    if name == "processes":
        return play_here
    from isbench.evaluation.executors.ray_cluster import Ray  # a large optional library

    return Ray(address)


def _collect(*groups: Sequence[Callable[[], Any]]) -> list[list[Any]]:
    """Return the results of the calls of each group, or raise all their errors as one.

    Each of them keeps its flag.
    """
    command = click.get_current_context().command
    errors: list[str] = []
    results: list[list[Any]] = []
    for group in groups:
        results.append([])
        for call in group:
            try:
                results[-1].append(call())
            except IsbenchError as error:
                errors.append(format_error(error, command))
    if errors:
        raise IsbenchError("; and ".join(dict.fromkeys(errors)))
    return results
