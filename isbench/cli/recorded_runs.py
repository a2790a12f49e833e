"""Options of commands that read recorded runs, and what their values mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from isbench.cli.completion import complete_datasets
from isbench.cli.paths import PATH
from isbench.cli.usage import refuse_lists
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError, make_unknown_error
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.run_datasets import find_dataset_name, is_place, list_readings
from isbench.storage.store import Run, parse_digest

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
    "datasets",
    multiple=True,
    callback=refuse_lists,
    shell_complete=complete_datasets,
    help="Use only the runs over this data set. folder:PATH or another READER:PLACE says where the "
    "files of runs on your own files are now. Repeatable.",
)

label_option = click.option(
    "--label",
    "given",
    multiple=True,
    metavar="RUN=TEXT",
    help="Name of a run in tables, plots and pages. RUN is the start of its digest, or its model "
    "if it is the only run of it. Repeatable.",
)


def find_datasets(
    datasets: Sequence[str], names: Sequence[str], runs: Path, data: Path | None
) -> tuple[tuple[str, ...], str | None]:
    """Return the names in records of the data sets of --dataset, and the place if one has it.

    Raises IsbenchError for a place among several data sets.
    """
    found = [find_dataset(one, names, runs, data) for one in datasets]
    places = [place for _, place in found if place is not None]
    if places and len(found) > 1:
        raise IsbenchError(
            f"{places[0]} says where the files of one data set are; wanted it alone",
            setting="dataset",
        )
    return tuple(dict.fromkeys(name for name, _ in found)), next(iter(places), None)


def find_dataset(
    dataset: str, names: Sequence[str], runs: Path, data: Path | None
) -> tuple[str, str | None]:
    """Return the name in records of the data set of --dataset, and its place if that is given."""
    if not is_place(dataset):
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
    several, or has got another name.
    """
    digests = [parse_digest(run.path) for run in runs]
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
            raise make_unknown_error("run to label", name, known, "label")
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
