"""`isbench data`: list, path, verify, import, get."""

from __future__ import annotations

from pathlib import Path

import click
from rich import box
from rich.table import Table

from isbench.cli.completion import complete_datasets, complete_user_datasets
from isbench.cli.console import make_console
from isbench.cli.options import data_option, labels_option
from isbench.cli.paths import PATH
from isbench.cli.progress import track_downloads
from isbench.cli.streams import print_note
from isbench.cli.usage import refuse_lists
from isbench.datasets import find_folder
from isbench.datasets.data_root import find_data_folder
from isbench.datasets.readers import find_place_folder, with_labels
from isbench.datasets.registry import (
    find_root,
    list_dataset_names,
    load_dataset_card,
    suggest_installation,
)
from isbench.datasets.user_datasets import list_user_datasets
from isbench.datasets.user_datasets import remove as remove_user_dataset
from isbench.datasets.verify import Verdict, compare_with_card, verify_named
from isbench.errors import IsbenchError
from isbench.reporting.text_table import escape_controls


@click.group(short_help="List, check, import and download data sets.")
def data() -> None:
    """Find, check, import and download data sets.

    \b
    Example:
      isbench data list
      isbench data import grabcut ~/Downloads/GrabCut.zip
      isbench data verify grabcut
    """


@data.command("list")
@data_option
def list_(data: Path | None) -> None:
    """List the data sets and where they are on disk.

    \b
    Example:
      isbench data list --data /data/sets
    """
    terminal = make_console()
    terminal.print(f"data folder: {find_data_folder(data)}", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Data set", "Where"):
        table.add_column(head, no_wrap=True)
    for name in list_dataset_names():
        try:
            where = str(find_folder(name, data) or "missing")
        except IsbenchError as error:
            where = str(error)
        table.add_row(name, where)
    for name, place in list_user_datasets(data).items():
        table.add_row(name, place)
    terminal.print(table)


@data.command()
@click.argument("name", required=False, shell_complete=complete_datasets)
@data_option
def path(name: str | None, data: Path | None) -> None:
    """Print the data folder, or the folder of one data set or of its images.

    \b
    Example:
      isbench data path grabcut
    """
    if name is None:
        click.echo(str(find_data_folder(data)))
        return
    own = list_user_datasets(data).get(name)
    if own is not None:
        click.echo(find_place_folder(own))
        return
    card = load_dataset_card(name)
    found = find_root(card, data)
    if found is None:
        raise IsbenchError(
            f"data set {name} is not in {find_data_folder(data)}; "
            f"{suggest_installation(name, card)}"
        )
    click.echo(str(found))


@data.command()
@click.argument(
    "names",
    nargs=-1,
    metavar="[NAME]...",
    callback=refuse_lists,
    shell_complete=complete_datasets,
)
@labels_option
@data_option
def verify(names: tuple[str, ...], labels: str | None, data: Path | None) -> None:
    """Load every object and print counts and fingerprints.

    NAME is a data set as for `run`; without a NAME, verify every named data set on disk and those
    that `isbench data add` named. All faults are listed; the exit code is 2 if there are any.

    \b
    Example:
      isbench data verify grabcut folder:my-pictures
    """
    faulty, errors = [], []
    for name in with_labels(names, labels) or _list_on_disk(data):
        try:
            verdict = verify_named(name, data)
        except IsbenchError as error:  # the others are verified all the same
            errors.append(str(error))
            continue
        _print_verdict(name, verdict)
        faulty += [name] * bool(verdict.faults)
    if faulty:
        listed = ", ".join(faulty)
        errors.append(f"objects of {listed} cannot be read; they are listed above")
    if errors:
        raise IsbenchError("; and ".join(errors))


@data.command("import")
@click.argument("name", shell_complete=complete_datasets)
@click.argument("source", metavar="PATH", type=PATH)
@data_option
def import_(name: str, source: Path, data: Path | None) -> None:
    """Copy a data set into the data folder.

    PATH is a folder, zip or tar that contains the official layout, at any depth.

    \b
    Example:
      isbench data import sbd ~/Downloads/benchmark.tgz
    """
    from isbench.datasets.installation import import_dataset

    click.echo(f"{name} is in {import_dataset(name, source, data)}")


@data.command()
@click.argument("name")
@click.argument("place", metavar="READER:PLACE")
@labels_option
@data_option
def add(name: str, place: str, labels: str | None, data: Path | None) -> None:
    """Name a data set of your own images.

    READER:PLACE is folder:PATH, coco:IMAGES_DIR,ANNOTATIONS.json, or another form that `isbench
    datasets` lists. The name works like that of any other data set. Every object is read first. The
    name is stored in the data folder, or in your configuration folder if the data folder is shared
    or read-only; the images stay where they are.

    \b
    Example:
      isbench data add desk folder:~/pictures/desk
      isbench run --model csfpn-lite --dataset desk
    """
    from isbench.datasets.installation import add_dataset

    (place,) = with_labels([place], labels)
    before = list_user_datasets(data).get(name)
    stored, verdict = add_dataset(name, place, data)
    replaced = f", in place of {before}" if before not in (None, stored) else ""
    click.echo(escape_controls(f"{name}: {stored}{replaced}"))
    click.echo(f"  {verdict.images}/{verdict.objects} images/objects")
    click.echo(f"  fingerprint {verdict.fingerprint}")
    if verdict.empty:
        click.echo(f"  {verdict.empty} objects have no scored pixel")
    for line in verdict.notes:
        click.echo(escape_controls(f"  {line}"))


@data.command()
@click.argument("name", shell_complete=complete_user_datasets)
@data_option
def remove(name: str, data: Path | None) -> None:
    """Remove a name that `isbench data add` added; the images are kept.

    \b
    Example:
      isbench data remove desk
    """
    place = list_user_datasets(data).get(name)
    remove_user_dataset(name, data)
    click.echo(escape_controls(f"{name} is removed; its files are kept: {place}"))


@data.command()
@click.argument("name", shell_complete=complete_datasets)
@click.option(
    "--url", "urls", multiple=True, callback=refuse_lists, help="URL to try first. Repeatable."
)
@data_option
def get(name: str, urls: tuple[str, ...], data: Path | None) -> None:
    """Download a data set into the data folder.

    An interrupted download is resumed.

    \b
    Example:
      isbench data get grabcut
      isbench data get grabcut --url https://mirror.example.org/GrabCut.zip
    """
    from isbench.datasets.installation import download_dataset

    was_there = find_folder(name, data) is not None
    with track_downloads() as progress:
        target = download_dataset(name, data, urls, progress)
    click.echo(f"{name} is {'already ' * was_there}in {target}")


def _list_on_disk(data: Path | None) -> list[str]:
    """Return the named data sets that are on disk; the error of a broken package is printed."""
    names = []
    for name in list_dataset_names():
        try:
            names += [name] if find_folder(name, data) else []
        except IsbenchError as error:
            print_note(f"data set {name} is left out: {error}")
    return [*names, *list_user_datasets(data)]


def _print_verdict(name: str, verdict: Verdict) -> None:
    click.echo(f"{name}: {verdict.images}/{verdict.objects} images/objects")
    if not verdict.faults:
        card = load_dataset_card(name) if name in list_dataset_names() else None
        click.echo(f"  fingerprint {verdict.fingerprint}")
        for line in compare_with_card(card, verdict):
            click.echo(escape_controls(f"  {line}"))
    if verdict.initial is not None:
        found, lowest, mean, highest = verdict.initial
        click.echo(
            f"  initial masks: IoU {lowest:.3f} to {highest:.3f}, mean {mean:.3f}; fingerprint "
            f"{found}"
        )
    if verdict.empty:
        click.echo(f"  {verdict.empty} objects have no scored pixel")
    for line in (*verdict.notes, *verdict.faults):
        click.echo(escape_controls(f"  {line}"))
