"""`isbench published`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from isbench.cli.completion import complete_published
from isbench.cli.tables import print_table
from isbench.cli.usage import refuse_lists
from isbench.errors import make_unknown_error
from isbench.reporting.literature import FILTERS, list_names, list_published
from isbench.reporting.published_tables import (
    format_published_csv,
    format_published_json,
    make_published_table,
)

_TEXTS = {"csv": format_published_csv, "json": format_published_json}
_FORMATS = ("rich", "markdown", "latex", *_TEXTS)
_HELP = {
    "system": "System, such as SimpleClick.",
    "backbone": "Backbone, such as vit-b.",
    "training": "Training data, such as SBD.",
    "dataset": "Data set, such as davis.",
    "metric": "Metric, such as noc@90.",
}


def _refuse_lists(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> Sequence[str]:
    """Return the values; raises IsbenchError for a list, unless it is a name with a comma."""
    known = {name.casefold() for name in list_names(str(parameter.name))}
    refuse_lists(context, parameter, [one for one in values if one.casefold() not in known])
    return values


def _filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option per filter to the command."""
    for name in reversed(FILTERS):
        command = click.option(
            f"--{name}",
            multiple=True,
            callback=_refuse_lists,
            shell_complete=complete_published(name),
            help=f"{_HELP[name]} Repeatable. [default: all]",
        )(command)
    return command


@click.command(short_help="List published figures of systems, with sources.")
@_filter_options
@click.option(
    "--format",
    "form",
    default="rich",
    show_default=True,
    help=f"Format: {', '.join(_FORMATS)}.",
)
def published(form: str, **names: tuple[str, ...]) -> None:
    """List figures that papers and repositories publish about systems, with their sources.

    None of them was measured by isbench. NoC without a number of clicks is within 20 clicks. Where
    sources print different values for the same figure, both are shown and marked.

    \b
    Example:
      isbench published --system SimpleClick --dataset davis
      isbench published --dataset grabcut --metric noc@90 --training SBD --format csv
    """
    if form not in _FORMATS:
        raise make_unknown_error("format", form, _FORMATS, "format")
    figures = list_published(**names)
    if form in _TEXTS:
        click.echo(_TEXTS[form](figures), nl=False)
    else:
        print_table(make_published_table(figures), form)
