"""The pages that `report --html` and `compare --html` write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from isbench.cli.flags import format_error
from isbench.cli.progress import track
from isbench.cli.streams import print_note
from isbench.files.atomic import write_atomically
from isbench.metrics import list_metrics
from isbench.models.registry import NONE_TRUSTED, Trusted
from isbench.reporting.labels import NO_LABELS
from isbench.reporting.literature import PublishedFigure
from isbench.reporting.page import make_page
from isbench.storage.store import Run


def write_page(
    path: Path,
    runs: Sequence[Run],
    max_clicks: int,
    pictures: int,
    data: Path | None,
    pair: bool = False,
    labels: Mapping[str, str] = NO_LABELS,
    place: str | None = None,
    trusted: Trusted = NONE_TRUSTED,
    published: Sequence[PublishedFigure] = (),
    imported: Sequence[PublishedFigure] = (),
) -> None:
    """Write the page of runs like `make_page`, and print its path and why pictures are missing."""
    html, fault = make_page(
        runs, max_clicks, pictures, data,
        pair=pair, metrics=list_metrics(), track=track, labels=labels, place=place, trusted=trusted,
        published=published, imported=imported,
    )  # fmt: skip
    if fault is not None:
        reason = format_error(fault, click.get_current_context().command)
        print_note(f"pictures are missing in {path}: {reason}")
    write_atomically(path, html.encode())
    click.echo(str(path))
