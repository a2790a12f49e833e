"""Options that several commands share, and the terminal they print on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

# Wide enough that a table in a pipe is never cut or wrapped.
_PIPE_WIDTH = 1000

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of the data sets; else ISBENCH_DATA, else your user-data folder.",
)


def runs_option(what: str) -> Callable[[Any], Any]:
    """Return the option for the folder that runs are looked up in."""
    return click.option(
        "--runs",
        type=click.Path(path_type=Path),
        default=Path("runs"),
        show_default=True,
        help=what,
    )


def console() -> Console:
    """Return the terminal, or plain wide text when the output is piped."""
    terminal = sys.stdout.isatty()
    return Console(
        width=None if terminal else _PIPE_WIDTH,
        highlight=False,
        markup=False,  # a name may look like it
        emoji=False,
        no_color=not terminal,
    )


def complete_models(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of an installed model."""
    from isbench.models.registry import model_names  # completion answers while a person types

    return [name for name in model_names() if name.startswith(incomplete)]


def complete_datasets(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a data set."""
    from isbench.datasets import ENTRIES, FORMS
    from isbench.datasets.user_datasets import list_user_datasets

    return [
        name for name in (*ENTRIES, *list_user_datasets(), *FORMS) if name.startswith(incomplete)
    ]
