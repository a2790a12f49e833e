"""`isbench datasets`."""

from __future__ import annotations

from pathlib import Path

import click
from rich import box
from rich.table import Table

from isbench.cli.options import console, data_option
from isbench.datasets import ENTRIES, FORMS, find_folder
from isbench.datasets.user_datasets import list_user_datasets


@click.command(short_help="List the known data sets.")
@data_option
def datasets(data: Path | None) -> None:
    """List the named data sets: counts, licence, and whether each is on disk.

    Counts come from files that were read for isbench; other data sets have none.

    \b
    Example:
      isbench datasets
    """
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Name", "Images", "Objects", "On disk", "Title", "Licence"):
        table.add_column(head, justify="right" if head in ("Images", "Objects") else "left")
    for name, entry in ENTRIES.items():
        counts = ("" if n is None else str(n) for n in (entry.images, entry.objects))
        on_disk = "yes" if find_folder(name, data) else "no"
        table.add_row(name, *counts, on_disk, entry.title, entry.licence)
    terminal = console()
    terminal.print(table)
    terminal.print(f"custom data sets: {', '.join(FORMS)}")
    for name, place in list_user_datasets(data).items():
        terminal.print(f"  {name}: {place}", soft_wrap=True)
    terminal.print("to install a data set: isbench data get NAME, or isbench data import NAME PATH")
