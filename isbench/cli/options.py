"""Options that several commands share, and the console they print to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from isbench.cli.paths import PATH
from isbench.cli.usage import refuse_lists
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError, unknown
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.run_datasets import find_dataset_name, is_place, list_readings
from isbench.storage.store import Run, digest_of_path

# Wide enough that tables are never cut or wrapped in a pipe.
_PIPE_WIDTH = 1000
LABELS = ("instances", "void")

data_option = click.option(
    "--data",
    type=PATH,
    help="Folder of the data sets. [default: ISBENCH_DATA, else your user-data folder]",
)

labels_option = click.option(
    "--labels",
    type=click.Choice(LABELS),
    help="How the masks of folder:PATH are read: instances, each level from 1 to 254 is an object "
    "and 255 is not scored; void, 255 is not scored. [default: one level and 128, not scored]",
)


trust_option = click.option(
    "--trust-model",
    "trust_models",
    multiple=True,
    callback=refuse_lists,
    metavar="MODULE:CARD",
    help="Import this card for runs whose model is not installed; its code runs. Repeatable.",
)


dataset_option = click.option(
    "--dataset",
    help="Use only the runs over this data set. folder:PATH or another READER:PLACE says where the "
    "files of runs on one's own files are now.",
)

label_option = click.option(
    "--label",
    "given",
    multiple=True,
    metavar="RUN=TEXT",
    help="Name of a run in tables, plots and pages. RUN is the start of its digest, or its model "
    "if it is the only run of it. Repeatable.",
)


def find_dataset(
    dataset: str | None, names: Sequence[str], runs: Path, data: Path | None
) -> tuple[str | None, str | None]:
    """Return the name in records of the data set of --dataset, and its place if that is given."""
    if dataset is None or not is_place(dataset):
        return dataset, None
    played = choose_runs(names, runs)[0]
    missing, others = [], []
    for place in list_readings(dataset, played):
        try:
            found = load_dataset(place, data)
        except IsbenchError as error:
            missing.append(error)
            continue
        try:
            return find_dataset_name(played, found), place
        except IsbenchError as error:
            others.append(error)
    if not others and any(run.spec.dataset == dataset for run in played):
        return dataset, None  # the name in records, such as folder:pics
    raise [*others, *missing][0]


def parse_labels(words: Sequence[str], runs: Sequence[Run]) -> dict[str, str]:
    """Return the names that RUN=TEXT words give to runs, by digest.

    Raises IsbenchError for another word, an empty name, and a RUN that is none of the runs or
    several, or has
    got another name.
    """
    digests = [digest_of_path(run.path) for run in runs]
    labels: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name or not text.strip():
            raise IsbenchError(f"label is {word!r}; wanted RUN=TEXT", setting="label")
        found = [digest for digest in digests if digest.startswith(name)] or [
            digest for digest, run in zip(digests, runs, strict=True) if run.spec.model == name
        ]
        if not found:
            known = {*digests, *(run.spec.model for run in runs)}
            raise unknown("run to label", name, known, "label")
        if len(found) > 1:
            raise IsbenchError(
                f"label {word!r} names {len(found)} runs: {', '.join(found)}; wanted one digest",
                setting="label",
            )
        if labels.setdefault(found[0], text) != text:
            raise IsbenchError(
                f"label is given twice for run {found[0]}: {labels[found[0]]!r} and {text!r}; "
                "wanted one",
                setting="label",
            )
    return labels


def runs_option(what: str) -> Callable[[Any], Any]:
    """Return the option for the folder to look up runs in."""
    return click.option(
        "--runs",
        type=PATH,
        default=Path("runs"),
        show_default=True,
        help=what,
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


def console() -> Console:
    """Return a console for standard output: the terminal, or plain wide text in a pipe."""
    terminal = sys.stdout.isatty()
    return Console(
        width=None if terminal else _PIPE_WIDTH,
        highlight=False,
        markup=False,  # a name may look like markup
        emoji=False,
        no_color=not terminal,
    )


def complete_models(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of an installed model."""
    from isbench.models.registry import model_names  # imported here to keep completion fast

    return [name for name in model_names() if name.startswith(incomplete)]


def complete_clickers(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of an installed clicker."""
    from isbench.evaluation.clickers.registry import clicker_names

    return [name for name in clicker_names() if name.startswith(incomplete)]


def complete_published(
    field: str,
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return a function that completes a name of published figures, such as a "system"."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        from isbench.reporting.literature import list_names

        start = incomplete.casefold()
        return [name for name in list_names(field) if name.casefold().startswith(start)]

    return complete


def complete_datasets(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a data set."""
    from isbench.datasets.readers import reader_names
    from isbench.datasets.registry import dataset_names
    from isbench.datasets.user_datasets import list_user_datasets

    names = (*dataset_names(), *list_user_datasets(), *(f"{name}:" for name in reader_names()))
    return [name for name in names if name.startswith(incomplete)]
