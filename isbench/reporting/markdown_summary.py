"""A summary of runs in Markdown, for pages of continuous integration. No files, no models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from isbench.metrics import METRICS, Metric
from isbench.reporting.checklist import make_checklist
from isbench.reporting.labels import NO_LABELS, format_count
from isbench.reporting.tables import ALL, make_legend, make_rows, make_table
from isbench.reporting.text_table import escape_html, format_markdown
from isbench.storage.store import Run

_VIEWS = ("noc", "nof", "time")


def make_markdown_summary(
    runs: Sequence[Run],
    max_clicks: int = 20,
    metrics: Sequence[Metric] = METRICS,
    labels: Mapping[str, str] = NO_LABELS,
) -> str:
    """Return a heading, a table per kind of figure, and a checklist that opens on a click.

    Parameters
    ----------
    runs : sequence of Run
        Complete runs.
    max_clicks : int
        Games count up to this click.
    metrics : sequence of Metric
        The figures; a kind that no run can tell has no table.
    labels : mapping
        Names of runs by their digest.

    Returns
    -------
    str
        Markdown as GitHub shows it: names from files of anybody are text there, not markup.
    """
    return "\n".join(_list_parts(runs, max_clicks, metrics, labels))


def _list_parts(
    runs: Sequence[Run], max_clicks: int, metrics: Sequence[Metric], labels: Mapping[str, str]
) -> Iterator[str]:
    datasets = ", ".join(dict.fromkeys(run.spec.dataset for run in runs))
    yield f"## isbench: {format_count(len(runs), 'run')} on {escape_html(datasets)}\n"
    rows = make_rows(runs, max_clicks, metrics, labels)
    added = [one.view for one in metrics if one not in METRICS and one.view != ALL]
    for view in dict.fromkeys((*_VIEWS, *added)):
        table = make_table(rows, view, metrics)
        if table.rows:
            yield format_markdown(table)
    yield f"{escape_html(make_legend(metrics))}.\n"
    checklist = format_markdown(make_checklist(runs, max_clicks, metrics, labels))
    yield f"<details><summary>What decides these numbers</summary>\n\n{checklist}\n</details>\n"
