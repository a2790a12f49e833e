"""`isbench merge`."""

from __future__ import annotations

from pathlib import Path

import click

from isbench.cli.paths import OUTPUT_FOLDER, PATH
from isbench.storage.merge import merge as merge_shards


@click.command(short_help="Merge the shards of runs from several machines.")
@click.argument("shards", nargs=-1, required=True, type=PATH)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    default=Path("runs"),
    show_default=True,
    help="Results folder.",
)
def merge(shards: tuple[Path, ...], out: Path) -> None:
    """Merge the finished shards of runs into whole runs. SHARDS are files or folders.

    Each machine runs its part with `isbench run --shard 1/4`, 2/4 and so on; copy the files to one
    machine by any means. The merged run is byte-identical to a run on one
    machine, if all have the same processor and versions.

    \b
    Example:
      isbench run --model csfpn-lite --dataset davis --shard 1/2 --out part1
      isbench run --model csfpn-lite --dataset davis --shard 2/2 --out part2
      isbench merge part1 part2 --out runs
    """
    for path in merge_shards(shards, out):
        click.echo(str(path))
