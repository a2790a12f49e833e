"""`isbench migrate`."""

from __future__ import annotations

from pathlib import Path

import click

from isbench.cli.paths import PATH


@click.command(short_help="Convert run files of isbench 0.1.")
@click.argument("runs", type=PATH)
def migrate(runs: Path) -> None:
    """Convert run files of isbench 0.1 to the current format.

    Every run below the folder RUNS gets a new first line and file name; its games do not change. If
    the command is interrupted, repeat it: no run is lost.

    \b
    Example:
      isbench migrate runs
    """
    from isbench.storage.migrate import migrate_folder

    count = 0
    for one in migrate_folder(runs):
        click.echo(f"{one.old} -> {one.new.name}")
        count += 1
    click.echo(f"{count} run file{'' if count == 1 else 's'} converted")
