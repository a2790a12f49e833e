"""`isbench migrate`."""

from __future__ import annotations

from pathlib import Path

import click

from isbench.errors import IsbenchError
from isbench.storage.processors import rename_processors


@click.command(short_help="Convert run files of isbench 0.1.")
@click.argument("runs", type=click.Path(path_type=Path))
def migrate(runs: Path) -> None:
    """Convert run files of isbench 0.1 to the current format.

    Every run below the folder RUNS gets a new first line and file name; its games do not change.

    \b
    Example:
      isbench migrate runs
    """
    from isbench.storage import store
    from isbench.storage.migrate import migrate as convert

    if not runs.is_dir():
        raise IsbenchError(f"{runs} is not a folder; name a folder with run files")
    renamed = {}
    for old, new in convert(runs):
        renamed[store.digest_of_path(old)] = store.digest_of_path(new)
        click.echo(f"{old} -> {new.name}")
    rename_processors(runs, renamed)
    click.echo(f"{len(renamed)} run file{'' if len(renamed) == 1 else 's'} converted")
