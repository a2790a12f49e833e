"""`isbench merge`."""

from __future__ import annotations

from pathlib import Path

import click

from isbench.storage.merge import merge as joined


@click.command(short_help="Join shards that several machines played.")
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the results.",
)
def merge(shards: tuple[Path, ...], out: Path) -> None:
    """Join the sealed shards of runs, files or folders of them, into whole runs.

    Each machine plays its part by `isbench run --shard 1/4`, 2/4 and so on; the files are brought
    together by whatever means there are. What comes out is to the byte what one machine gives.

    \b
    Example:
      isbench run --model csfpn-mini --dataset davis --shard 1/2 --out part1
      isbench run --model csfpn-mini --dataset davis --shard 2/2 --out part2
      isbench merge part1 part2 --out runs
    """
    for path in joined(shards, out):
        click.echo(str(path))
