"""What `isbench run` and its kin are told of networks: weights, device, precision, threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from isbench.datasets import LONGEST_SIDE
from isbench.errors import IsbenchError, Unfit
from isbench.evaluation import job, spec
from isbench.models.registry import with_options
from isbench.models.weights import load_weights
from isbench.types import Dataset, File, Model, Runtime, Sample


class NetworkOptions(NamedTuple):
    """The options as they were typed."""

    weights: str | None
    device: str
    precision: str
    threads: int
    backend: str


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of networks."""
    for option in reversed(
        (
            click.option(
                "--weights",
                metavar="NAME|FILE|random",
                help="Of networks: a published name, a file (FILE,FILE for two networks), random.",
            ),
            click.option(
                "--device",
                default="auto",
                show_default=True,
                help="Of networks: auto, cpu, cuda, cuda:N, mps.",
            ),
            click.option(
                "--precision",
                default="fp32",
                show_default=True,
                help="Of networks: fp32, bf16, fp16.",
            ),
            click.option(
                "--backend",
                default="auto",
                show_default=True,
                help="Of networks: auto, eager, openvino, compile.",
            ),
            click.option(
                "--threads",
                type=int,
                default=1,
                show_default=True,
                help="Of each process, for networks.",
            ),
        )
    ):
        command = option(command)
    return command


def with_network(card: Model, asked: NetworkOptions) -> Model:
    """Return a card ready to be built: where it has a network, with its weights and runtime."""
    if card.network is None:
        return card
    from isbench.nn.runtime import (  # torch takes a second: only who has a network waits for it
        backends,
        compute,
    )

    if asked.threads < 1:
        raise IsbenchError(f"threads is {asked.threads}; wanted at least 1")
    device, precision = compute.parse_device(asked.device), compute.parse_precision(asked.precision)
    backend = backends.choose_backend(asked.backend, device, precision)
    runtime = Runtime(device=device, precision=precision, threads=asked.threads, backend=backend)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        tasks = {}

        def progress(file: File, done: int, total: int | None) -> None:
            if file.name not in tasks:
                tasks[file.name] = bar.add_task(file.name, total=total)
            bar.update(tasks[file.name], completed=done, total=total)

        made = load_weights(card, asked.weights, runtime, progress)
    return made if asked.backend != "auto" or backend == "eager" else _exact(made)


def _exact(card: Model) -> Model:
    """Return the card as it is if its backend answers as PyTorch does, else with PyTorch itself."""
    assert card.runtime is not None
    try:
        job.build_predictor(card)
    except Unfit as error:
        click.echo(f"isbench: {card.name}: {error}: playing so", err=True)
        return replace(card, runtime=replace(card.runtime, backend="eager"))
    return card


def with_photograph_size(card: Model) -> Model:
    """Return the card, what its options leave to the data filled in as for sets of one's own."""

    def load(key: str) -> Sample:
        raise KeyError(key)

    return spec.with_dataset_defaults(
        card, Dataset("photographs", (), load, longest_side=LONGEST_SIDE)
    )


def set_options(cards: Sequence[Model], settings: Sequence[str]) -> list[Model]:
    """Return the cards with each setting on every card that has such an option."""
    cards = list(cards)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise IsbenchError(f"--set {setting}: wanted KEY=VALUE")
        having = [card for card in cards if key in card.options]
        if not having:
            with_options(cards[0], {key: value})  # raises, naming the nearest option
        cards = [with_options(card, {key: value}) if card in having else card for card in cards]
    return cards
