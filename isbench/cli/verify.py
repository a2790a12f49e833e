"""`isbench verify`."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import click

from isbench.cli.options import data_option
from isbench.cli.paths import PATH
from isbench.cli.recorded_runs import trust_option
from isbench.errors import IsbenchError, check_least
from isbench.exchange.bundle_check import GAMES, BundleCheck, verify_bundle
from isbench.models.registry import load_trusted_cards
from isbench.reporting.labels import format_count
from isbench.reporting.run_datasets import is_place
from isbench.reporting.text_table import escape_controls

_MANY = 10**9  # games: as many as the time allows


@click.command(short_help="Check a bundle of runs, and replay some of its games.")
@click.argument("bundle", type=PATH)
@click.option(
    "--games",
    type=int,
    help="Games of each run to replay, always the same ones; 0: none. [default: 2; with --seconds "
    "as many as fit]",
)
@click.option(
    "--seconds",
    type=float,
    help="Stop to replay after this time; each run gets an equal part of it, and at least a game.",
)
@click.option("--dataset", help="READER:PLACE of the files of runs on your own files.")
@data_option
@trust_option
def verify(
    bundle: Path,
    games: int | None,
    seconds: float | None,
    dataset: str | None,
    data: Path | None,
    trust_models: tuple[str, ...],
) -> int:
    """Check that a bundle is whole, and that its games can be repeated.

    Checksums, records and the table must agree. Then some games are played again: they must be
    equal to the record, or, for a network on another processor, equal within bounds. Only installed
    models are used, since a bundle may come from anybody. Exit code 0: accepted; 1: something
    differs; 2: it is not a bundle.

    \b
    Example:
      isbench export runs/davis --format bundle --out davis.zip
      isbench verify davis.zip
      isbench verify davis.zip --seconds 60
    """
    if games is not None:
        check_least("games", games, 0)
    if seconds is not None and not seconds > 0:
        raise IsbenchError(f"seconds is {seconds}; wanted above 0", setting="seconds")
    if dataset is not None and not is_place(dataset):
        raise IsbenchError(f"dataset is {dataset!r}; wanted READER:PLACE", setting="dataset")
    if games is None:
        games = GAMES if seconds is None else _MANY
    check = verify_bundle(
        bundle, games=games, seconds=math.inf if seconds is None else seconds,
        data=data, place=dataset, trusted=load_trusted_cards(trust_models),
    )  # fmt: skip
    return _print(bundle, check)


def _print(bundle: Path, check: BundleCheck) -> int:
    """Print one line per finding and the verdict; return the exit code."""
    for finding in check.findings:
        line = f"{finding.kind}: {finding.what}: {finding.text}"
        click.echo(escape_controls(" ".join(line.split())))
    counts = Counter(finding.kind for finding in check.findings)
    replayed = counts["replayed"] + counts["within bounds"]
    verdict = "accepted" if check.is_accepted else "not accepted"
    click.echo(
        f"{bundle} is {verdict}: {format_count(check.runs, 'run')} ({replayed} of them replayed in "
        f"part), {format_count(counts['differs'], 'difference')}"
    )
    return 0 if check.is_accepted else 1
