"""`isbench doctor`."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import click
import cv2

from isbench.cli.options import data_option
from isbench.datasets.data_root import VARIABLE, find_data_folder
from isbench.datasets.image_io import DECODER
from isbench.datasets.registry import (
    find_root,
    list_dataset_names,
    load_dataset_card,
    suggest_installation,
)
from isbench.errors import IsbenchError
from isbench.extras import describe_installation
from isbench.models.known_weights import describe_readiness
from isbench.models.registry import list_model_names, load_card
from isbench.storage.environment import describe_environment


@click.command(short_help="Show versions and data, and what is missing.")
@data_option
def doctor(data: Path | None) -> None:
    """Show versions, threads, data and models, and how to get what is missing.

    \b
    Example:
      isbench doctor
    """
    facts = describe_environment()
    click.echo(f"python {facts['python']} on {facts['machine']}, {platform.release()}")
    for package, version in facts["versions"].items():
        click.echo(f"  {package} {version or 'not installed'}")
    if facts["versions"]["openvino"] is None:
        remedy = describe_installation("openvino")
        click.echo(f"  openvino halves the time of networks on CPUs: {remedy}")
    click.echo(f"  images are decoded by {DECODER}")
    click.echo(f"cores {os.cpu_count()}, OpenCV threads {cv2.getNumThreads()} outside a run")
    _print_data(data)
    _print_models()


def _print_data(data: Path | None) -> None:
    folder = find_data_folder(data)
    origin = "--data" if data else VARIABLE if os.environ.get(VARIABLE) else "the default"
    state = "" if folder.is_dir() else ", which does not exist yet"
    click.echo(f"data folder {folder} ({origin}){state}")
    missing = {}
    for name in list_dataset_names():
        try:
            card = load_dataset_card(name)
        except IsbenchError as error:
            click.echo(f"  {name}: {error}")
            continue
        found = find_root(card, data)
        click.echo(f"  {name}: {found or 'missing'}")
        if found is None:
            missing[name] = card
    for name, card in list(missing.items())[:1]:
        click.echo(
            f"to fix: {suggest_installation(name, card)}, or set {VARIABLE} to the folder that "
            f"contains {card.folders[0]}"
        )


def _print_models() -> None:
    click.echo("models")
    for name in list_model_names():
        try:
            state = describe_readiness(load_card(name))
        except IsbenchError as error:
            state = str(error)
        click.echo(f"  {name}: {state}")
