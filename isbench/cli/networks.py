"""The network options of `isbench run` and other commands: weights, device, precision, threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import click

from isbench.cli.options import parse_settings
from isbench.cli.progress import track_downloads
from isbench.cli.streams import print_note
from isbench.cli.usage import suggest_repetition
from isbench.models.loading import load_model
from isbench.models.registry import describe_restriction, load_card, parse_options
from isbench.types import LoadedModel, ModelCard, Scalar


class NetworkOptions(NamedTuple):
    """The options as the user typed them."""

    weights: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    threads: int = 1
    backend: str = "auto"


_NO_OPTIONS = NetworkOptions()

weights_option = click.option(
    "--weights",
    metavar="NAME|FILE|random",
    help="Network weights: a name that `isbench models` lists, or a file (FILE,FILE for two "
    "networks). [default: the first bundled or the only published ones]",
)

settings_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Model option. Repeatable."
)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the network options to a command."""
    for option in reversed(
        (
            weights_option,
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
                help="Backend for networks: auto, eager, openvino, onnxruntime, compile.",
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


def load_models(
    names: Sequence[str], settings: Sequence[str], options: NetworkOptions
) -> list[Callable[[], LoadedModel]]:
    """Return functions that load the named models with their options, after checking the options.

    Network options apply to the models that have networks. Raises IsbenchError for a network option
    if none has, for a setting that is not KEY=VALUE, and for one that no model has.
    """
    cards = [load_card(name) for name in dict.fromkeys(names)]
    with suggest_repetition(settings):
        chosen = set_options(cards, settings)
    without = not any(card.networks is not None for card in cards)
    used = [options if without or card.networks is not None else _NO_OPTIONS for card in cards]
    if without:
        load_model(cards[0], chosen[0], **options._asdict())  # raises for an option of networks
    return [
        partial(load_with_progress, card, values, one)
        for card, values, one in zip(cards, chosen, used, strict=True)
    ]


def load_with_progress(
    card: ModelCard, values: Mapping[str, Scalar], options: NetworkOptions
) -> LoadedModel:
    """Load a model and show the progress of downloads, notes, and what its licence forbids."""
    with track_downloads() as progress:
        model = load_model(card, values, **options._asdict(), progress=progress)
    if restriction := describe_restriction(card):
        print_note(f"note: {restriction}")
    return model


def set_options(cards: Sequence[ModelCard], settings: Sequence[str]) -> list[dict[str, Scalar]]:
    """Return the options of each card, with each setting applied to every card that has it.

    Raises IsbenchError for a setting that is not KEY=VALUE or that no card has.
    """
    given: list[dict[str, str]] = [{} for _ in cards]
    for key, value in parse_settings(settings).items():
        having = [k for k, card in enumerate(cards) if key in card.options]
        for k in having or [0]:  # the first card raises, naming the nearest option
            given[k][key] = value
    return [parse_options(card, texts) for card, texts in zip(cards, given, strict=True)]
