"""The network options of `isbench run` and other commands: weights, device, precision, threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import click

from isbench.cli.progress import track_downloads
from isbench.datasets.readers import LONGEST_SIDE
from isbench.errors import IsbenchError, Unfit
from isbench.evaluation import job, spec
from isbench.models.registry import with_options
from isbench.models.weights import load_weights
from isbench.types import Dataset, Model, Runtime, Sample


class NetworkOptions(NamedTuple):
    """The options as the user typed them."""

    weights: str | None
    device: str
    precision: str
    threads: int
    backend: str


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the network options to a command."""
    for option in reversed(
        (
            click.option(
                "--weights",
                metavar="NAME|FILE|random",
                help="Network weights: a published name, a file (FILE,FILE for two networks), "
                "random.",
            ),
            click.option(
                "--device",
                default="auto",
                show_default=True,
                help="Device for networks: auto, cpu, cuda, cuda:N, mps.",
            ),
            click.option(
                "--precision",
                default="fp32",
                show_default=True,
                help="Precision of networks: fp32, bf16, fp16.",
            ),
            click.option(
                "--backend",
                default="auto",
                show_default=True,
                help="Backend for networks: auto, eager, openvino, compile.",
            ),
            click.option(
                "--threads",
                type=int,
                default=1,
                show_default=True,
                help="Network threads per process.",
            ),
        )
    ):
        command = option(command)
    return command


def refuse_without_network(options: NetworkOptions, cards: Sequence[Model]) -> None:
    """Raise IsbenchError for an option of networks where no model has one."""
    if any(card.network is not None for card in cards):
        return
    given = (
        ("--weights", options.weights, (None,)),
        ("--device", options.device, ("auto", "cpu")),
        ("--precision", options.precision, ("fp32",)),
        ("--backend", options.backend, ("auto", "eager")),
        ("--threads", options.threads, (1,)),
    )
    for name, value, usual in given:
        if value not in usual:
            raise IsbenchError(f"{name} {value}: {cards[0].name} has no network; leave it out")


def with_network(card: Model, options: NetworkOptions) -> Model:
    """Return a card that is ready to build: a network gets its weights and runtime."""
    if card.network is None:
        return card
    from isbench.nn.runtime import (  # imports torch, which takes a second: for networks only
        backends,
        compute,
    )

    if options.threads < 1:
        raise IsbenchError(f"threads is {options.threads}; wanted at least 1")
    device, precision = (
        compute.parse_device(options.device),
        compute.parse_precision(options.precision),
    )
    backend = backends.choose_backend(options.backend, device, precision)
    runtime = Runtime(device=device, precision=precision, threads=options.threads, backend=backend)
    with track_downloads() as progress:
        card = load_weights(card, options.weights, runtime, progress)
    return card if options.backend != "auto" or backend == "eager" else _with_exact_backend(card)


def _with_exact_backend(card: Model) -> Model:
    """Return the card unchanged if its backend reproduces PyTorch's outputs, else with PyTorch."""
    assert card.runtime is not None
    try:
        job.build_predictor(card)
    except Unfit as error:
        click.echo(f"isbench: {card.name}: {error}; using eager", err=True)
        return replace(card, runtime=replace(card.runtime, backend="eager"))
    return card


def with_photograph_size(card: Model) -> Model:
    """Return the card with data-dependent options filled in as for a user's own data set."""

    def load(key: str) -> Sample:
        raise KeyError(key)

    return spec.with_dataset_defaults(
        card, Dataset("photographs", (), load, longest_side=LONGEST_SIDE)
    )


def set_options(cards: Sequence[Model], settings: Sequence[str]) -> list[Model]:
    """Return the cards with each setting applied to every card that has the option.

    Raises IsbenchError for a setting that is not KEY=VALUE or that no card has.
    """
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
