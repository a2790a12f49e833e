"""`isbench run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from isbench import protocol
from isbench.cli.networks import NetworkOptions, network_options, set_options, with_network
from isbench.cli.options import complete_datasets, complete_models, console, data_option
from isbench.cli.progress import Reporter
from isbench.cli.workers import parse_shard, parse_workers, workers_option
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError, unknown
from isbench.evaluation import job, runner
from isbench.evaluation.clicker import CLICKERS
from isbench.evaluation.executors.processes import Executor, play_here
from isbench.models.registry import load_model
from isbench.reporting import tables, text_table
from isbench.storage.store import Run
from isbench.types import Model, Rules


@click.command(short_help="Play models on data sets and print the table.")
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    shell_complete=complete_models,
    help="Name of an installed model, or package.module:card. Repeatable.",
)
@click.option(
    "--dataset",
    "names",
    multiple=True,
    required=True,
    shell_complete=complete_datasets,
    help="Name of a data set, folder:PATH or coco:IMAGES_DIR,ANNOTATIONS.json. Repeatable.",
)
@click.option("--max-clicks", type=int, default=20, show_default=True, help="Clicks an object.")
@click.option(
    "--stop-iou",
    type=float,
    default=0.90,
    show_default=True,
    help="IoU that ends a game; above 1 never does: full games.",
)
@click.option(
    "--preset", default="ritm-2021", show_default=True, help="Protocol: ritm-2021, strict."
)
@click.option("--clicker", help=f"Robot user, else the preset's: {', '.join(CLICKERS)}.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Model option. Repeatable."
)
@network_options
@click.option("--limit", type=int, help="Play the first objects only.")
@workers_option
@click.option("--shard", metavar="K/N", help="Play part K of N only; `isbench merge` joins them.")
@click.option(
    "--executor",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="Who plays: processes of this machine, or a Ray cluster.",
)
@click.option(
    "--address",
    default="auto",
    show_default=True,
    help="Of the Ray cluster; local: one of this machine alone.",
)
@click.option(
    "--save-masks",
    is_flag=True,
    help="Keep every mask beside the run, for reports; else they are computed again.",
)
@click.option(
    "--recheck",
    type=click.IntRange(min=0),
    default=runner.RECHECKED,
    show_default=True,
    help="Recorded games to play again where the model's code has changed since; 0: trust it.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of clickers that draw lots.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the results.",
)
@data_option
def run(
    models: tuple[str, ...],
    names: tuple[str, ...],
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
    seed: int,
    out: Path,
    data: Path | None,
) -> None:
    """Play every model on every data set, record the games, and print the table.

    What is recorded already is not played again: a run that was stopped goes on where it was, and
    full or longer games answer shorter questions.

    \b
    Example:
      isbench run --model nearest --dataset grabcut --dataset berkeley --stop-iou 1.01
      isbench run --model ritm-hrnet18 --weights cocolvis --dataset davis
    """
    fixed = protocol.find_preset(preset)
    if clicker is not None and clicker not in CLICKERS:
        raise unknown("clicker", clicker, CLICKERS)
    if seed < 0:
        raise IsbenchError(f"seed is {seed}; wanted 0 or more")
    rules = Rules(
        max_clicks=max_clicks,
        stop_iou=stop_iou,
        end_on_perfect=fixed.end_on_perfect,
        reject_empty=fixed.reject_empty,
        clicker=clicker or fixed.clicker,
        seed=seed,
    )
    cards = set_options([load_model(name) for name in dict.fromkeys(models)], settings)
    asked = NetworkOptions(weights, device, precision, threads, backend)
    if weights is not None and all(card.network is None for card in cards):
        raise IsbenchError(f"--weights {weights}: {cards[0].name} has no network; leave it out")
    # who lacks both weights and data hears of both at once
    cards, sets = _collect(
        [partial(with_network, card, asked) for card in cards],
        [partial(load_dataset, name, data, limit) for name in dict.fromkeys(names)],
    )
    if len(cards) * len(sets) > 1:
        list(map(job.check_model, cards))  # what is wrong with the last is known before the first
    part = parse_shard(shard)
    count, deal = _choose_executor(executor, address, workers, cards)
    with Reporter() as reporter:
        runs = [
            runner.run(
                card,
                dataset,
                rules,
                out=out,
                workers=count,
                watch=reporter,
                executor=deal,
                shard=part,
                save_masks=save_masks,
                rechecked=recheck,
            )
            for dataset in sets
            for card in cards
        ]
    if part is None:
        _show(runs, max_clicks)
        return
    for one in runs:
        click.echo(f"{len(one.trajectories)} of {one.spec.objects} objects: {one.path}")
    click.echo("`isbench merge` joins the parts once all are played")


def _show(runs: Sequence[Run], max_clicks: int) -> None:
    terminal = console()
    width = terminal.width if terminal.is_terminal else None
    whole = tables.make_table(tables.make_frame(runs, max_clicks), "all")
    for table in text_table.make_terminal_tables(whole, width):
        terminal.print(table)
    terminal.print(tables.LEGEND)
    if any(not tables.has_full_games(one) for one in runs):
        terminal.print(tables.FULL_GAMES)
    for one in runs:
        terminal.print(f"{one.spec.model} on {one.spec.dataset}: {one.path}", soft_wrap=True)


def _choose_executor(
    executor: str, address: str, workers: str, cards: Sequence[Model]
) -> tuple[int | None, Executor]:
    """Return how many workers play, None for as many as fit, and who deals to them."""
    count = parse_workers(workers, cards)
    if executor == "processes":
        return count, play_here
    from isbench.evaluation.executors.ray_cluster import Ray  # a large library, which few need

    on_gpu = any(card.runtime is not None and card.runtime.device != "cpu" for card in cards)
    threads = max((card.runtime.threads for card in cards if card.runtime is not None), default=1)
    return None if workers == "auto" else count, Ray(address, threads, int(on_gpu))


def _collect(*groups: Sequence[Callable[[], Any]]) -> list[list[Any]]:
    """Return what each call of each group returns, or raise all that they raise as one error."""
    faults: list[str] = []
    found: list[list[Any]] = []
    for group in groups:
        found.append([])
        for call in group:
            try:
                found[-1].append(call())
            except IsbenchError as error:
                faults.append(str(error))
    if faults:
        raise IsbenchError("; and ".join(dict.fromkeys(faults)))
    return found
