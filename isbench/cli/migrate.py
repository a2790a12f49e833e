"""`isbench migrate`."""

from __future__ import annotations

from pathlib import Path

import click

from isbench.errors import IsbenchError
from isbench.storage.processors import copy_processors, drop_processors


@click.command(short_help="Convert run files of isbench 0.1.")
@click.argument("runs", type=click.Path(path_type=Path))
def migrate(runs: Path) -> None:
    """Convert run files of isbench 0.1 to the current format.

    Every run below the folder RUNS gets a new first line and file name; its games do not change. If
    the command is interrupted, repeat it: no run is lost.

    \b
    Example:
      isbench migrate runs
    """
    from isbench.storage import store
    from isbench.storage.migrate import find_migrations
    from isbench.storage.migrate import migrate as convert

    if not runs.is_dir():
        raise IsbenchError(f"{runs} is not a folder; name a folder with run files")
    planned = find_migrations(runs)
    renamed = {store.digest_of_path(old): store.digest_of_path(new) for old, new in planned}
    copy_processors(runs, renamed)  # known under both names while runs are converted
    for one in planned:
        convert(one)
        click.echo(f"{one.old} -> {one.new.name}")
    drop_processors(runs, renamed)
    click.echo(f"{len(planned)} run file{'' if len(planned) == 1 else 's'} converted")
