"""`isbench compare`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from rich import box
from rich.table import Table

from isbench.cli.options import console, data_option
from isbench.cli.paths import OUTPUT
from isbench.cli.recorded_runs import (
    dataset_option,
    find_dataset,
    label_option,
    parse_labels,
    runs_option,
    trust_option,
)
from isbench.errors import check_least
from isbench.metrics import list_metrics
from isbench.models.registry import load_trusted_cards
from isbench.reporting import compare as comparison
from isbench.reporting.chosen_runs import choose_run
from isbench.reporting.labels import make_labels
from isbench.reporting.text_table import escape_controls
from isbench.storage.store import Run, digest_of_path


@click.command(short_help="Compare two runs object by object.")
@click.argument("run_a")
@click.argument("run_b")
@click.option("--worst", type=int, default=10, show_default=True, help="Number of objects to list.")
@click.option(
    "--html",
    "page",
    type=OUTPUT,
    help="Write an HTML page with a scatter plot of clicks, and both models side by side.",
)
@click.option(
    "--pictures",
    type=int,
    default=40,
    show_default=True,
    help="Number of objects with pictures on the page, most different first; 0: none.",
)
@label_option
@dataset_option
@data_option
@trust_option
@runs_option("Folder to look up runs in.")
def compare(
    run_a: str,
    run_b: str,
    worst: int,
    page: Path | None,
    pictures: int,
    given: tuple[str, ...],
    dataset: str | None,
    data: Path | None,
    trust_models: tuple[str, ...],
    runs: Path,
) -> None:
    """Compare two runs over the same objects: whether A needs fewer clicks than B, and where.

    RUN_A and RUN_B are run files, the first digits of run digests, or models with one run on the
    data set.

    \b
    Example:
      isbench compare csfpn-mini ritm-mini --dataset davis
      isbench compare 3f2a 91bc
      isbench compare 3f2a 91bc --html compared.html
    """
    check_least("pictures", pictures, 0)
    trusted = load_trusted_cards(trust_models)
    name, place = find_dataset(dataset, [run_a, run_b], runs, data)
    a, b = (choose_run(one, runs, name) for one in (run_a, run_b))
    labels = parse_labels(given, [a, b])
    _print(a, b, worst, labels)
    if page is not None:
        from isbench.cli.html_pages import write_page

        clicks = max(a.spec.rules.max_clicks, b.spec.rules.max_clicks)
        write_page(
            page, [a, b], clicks, pictures, data,
            pair=True, labels=labels, place=place, trusted=trusted,
        )  # fmt: skip


def _print(a: Run, b: Run, worst: int, labels: Mapping[str, str]) -> None:
    result = comparison.compare(a, b, list_metrics())
    terminal = console()
    for letter, run, label in zip("AB", (a, b), make_labels([a, b], labels), strict=True):
        title = f"{letter}  {label} on {run.spec.dataset} ({digest_of_path(run.path)})"
        terminal.print(escape_controls(title), soft_wrap=True)
    for note in result.notes:
        terminal.print(escape_controls(f"note: {note}"))
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
    listed = Table(box=box.SIMPLE_HEAD, title=f"objects that differ most in {result.listed}")
    for head in ("Object", "A", "B", "A - B"):
        listed.add_column(head, justify="left" if head == "Object" else "right", no_wrap=True)
    for key, of_a, of_b in result.differing[:worst]:
        listed.add_row(escape_controls(key), f"{of_a:g}", f"{of_b:g}", f"{of_a - of_b:+g}")
    if result.differing:
        terminal.print(listed)
    else:
        terminal.print(f"no object differs in {result.listed}")
