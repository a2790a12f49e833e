"""`isbench compare`."""

from __future__ import annotations

from pathlib import Path

import click
from rich import box
from rich.table import Table

from isbench import compare as comparison
from isbench.cli.options import console, runs_option
from isbench.report import choose_one


@click.command(short_help="Compare two runs object by object.")
@click.argument("run_a")
@click.argument("run_b")
@click.option("--worst", type=int, default=10, show_default=True, help="Objects to list.")
@runs_option("Folder that runs are looked up in.")
def compare(run_a: str, run_b: str, worst: int, runs: Path) -> None:
    """Compare two runs over the same objects: whether and where A needs fewer clicks than B.

    RUN_A and RUN_B are run files or beginnings of digests.

    \b
    Example:
      isbench compare 3f2a 91bc
    """
    a, b = choose_one(run_a, runs), choose_one(run_b, runs)
    result = comparison.compare(a, b)
    terminal = console()
    terminal.print(f"A  {comparison.title(a)}")
    terminal.print(f"B  {comparison.title(b)}")
    for note in result.notes:
        terminal.print(f"note: {note}")
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Figure", "A", "B", "A - B", "95 % interval", "p", "A wins", "Ties", "B wins"):
        table.add_column(head, justify="left" if head == "Figure" else "right", no_wrap=True)
    for name, (mean_a, mean_b), d in result.rows:
        interval = f"[{d.low:+.2f}, {d.high:+.2f}]" if d.low == d.low else ""
        counts = map(str, (d.wins, d.ties, d.losses))
        table.add_row(
            name, f"{mean_a:.2f}", f"{mean_b:.2f}", f"{d.mean:+.2f}", interval, f"{d.p_value:.4f}",
            *counts,
        )  # fmt: skip
    terminal.print(table)
    listed = Table(box=box.SIMPLE_HEAD, title=f"objects that differ most in {result.rows[-1][0]}")
    for head in ("Object", "A", "B", "A - B"):
        listed.add_column(head, justify="left" if head == "Object" else "right", no_wrap=True)
    for key, clicks_a, clicks_b in result.differing[:worst]:
        listed.add_row(key, str(clicks_a), str(clicks_b), f"{clicks_a - clicks_b:+d}")
    if result.differing:
        terminal.print(listed)
    else:
        terminal.print(f"no object differs in {result.rows[-1][0]}")
