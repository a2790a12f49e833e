"""`isbench datasets`."""

from __future__ import annotations

from pathlib import Path

import click
from rich import box
from rich.table import Table

from isbench.cli.console import make_console
from isbench.cli.options import data_option
from isbench.datasets.readers import list_reader_names, load_reader
from isbench.datasets.registry import find_root, list_dataset_names, load_dataset_card
from isbench.datasets.user_datasets import list_user_datasets
from isbench.errors import IsbenchError


@click.command(short_help="List the known data sets.")
@data_option
def datasets(data: Path | None) -> None:
    """List the named data sets: counts, licence, and whether each is on disk.

    Counts are those of the files that isbench was checked with. A data set or a
    reader of a package that cannot be imported shows the error.

    \b
    Example:
      isbench datasets
    """
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Name", "Images", "Objects", "On disk", "Title", "Licence"):
        table.add_column(head, justify="right" if head in ("Images", "Objects") else "left")
    for name in list_dataset_names():
        try:
            card = load_dataset_card(name)
        except IsbenchError as error:
            table.add_row(name, "", "", "", str(error), "")
            continue
        counts = ("" if n is None else str(n) for n in (card.images, card.objects))
        on_disk = "yes" if find_root(card, data) else "no"
        table.add_row(name, *counts, on_disk, card.title, card.licence)
    terminal = make_console()
    terminal.print(table)
    terminal.print("custom data sets:")
    for name in list_reader_names():
        try:
            reader = load_reader(name)
            text = f"{name}:{reader.form}  {reader.summary}"
        except IsbenchError as error:
            text = f"{name}: {error}"
        terminal.print(f"  {text}", soft_wrap=True)
    for name, place in list_user_datasets(data).items():
        terminal.print(f"  {name}: {place}", soft_wrap=True)
    terminal.print("to install a data set: isbench data get NAME, or isbench data import NAME PATH")
