"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from isbench.cli.paths import PATH
from isbench.cli.streams import print_note
from isbench.errors import IsbenchError

LABELS = ("instances", "void")


def _note_missing(
    context: click.Context, parameter: click.Parameter, value: Path | None
) -> Path | None:
    """Return the value, and say so if there is no such folder. A callback for click."""
    if context.resilient_parsing:  # while the shell completes a word
        return value
    if value is not None and not value.is_dir() and context.info_name in _WORK_WITHOUT:
        print_note(f"there is no data folder {value}")
    return value


_WORK_WITHOUT = ("report", "compare", "export")  # the data; others need them or say so
data_option = click.option(
    "--data",
    type=PATH,
    callback=_note_missing,
    help="Folder of the data sets. [default: ISBENCH_DATA, else your user-data folder]",
)

labels_option = click.option(
    "--labels",
    type=click.Choice(LABELS),
    help="How the masks of folder:PATH are read: instances, each level from 1 to 254 is an object "
    "and 255 is not scored; void, 255 is not scored. [default: one level and 128, not scored]",
)


def parse_settings(words: Sequence[str]) -> dict[str, str]:
    """Return the values of KEY=VALUE words by key; raises IsbenchError for another word."""
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise IsbenchError(f"setting {word!r}; wanted KEY=VALUE", setting="settings")
        settings[key] = value
    return settings
