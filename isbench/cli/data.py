"""`isbench data`: list, path, verify, import, get."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from rich import box
from rich.table import Table

from isbench.cli.options import complete_datasets, console, data_option
from isbench.cli.progress import track_downloads
from isbench.datasets import find_folder, load_dataset
from isbench.datasets.catalogue import DatasetCard
from isbench.datasets.data_root import data_folder
from isbench.datasets.readers import resolve_place
from isbench.datasets.registry import BUILT_IN, dataset_names, load_dataset_card
from isbench.datasets.user_datasets import add as add_user_dataset
from isbench.datasets.user_datasets import list_user_datasets
from isbench.datasets.user_datasets import remove as remove_user_dataset
from isbench.datasets.verify import verify as verify_dataset
from isbench.errors import IsbenchError


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
    terminal = console()
    terminal.print(f"data folder: {data_folder(data)}", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Data set", "Where"):
        table.add_column(head, no_wrap=True)
    for name in dataset_names():
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
    """Print the data folder, or the folder of one data set.

    \b
    Example:
      isbench data path grabcut
    """
    if name is None:
        click.echo(str(data_folder(data)))
        return
    found = find_folder(name, data)
    if found is None:
        raise IsbenchError(
            f"data set {name} is not in {data_folder(data)}; try `isbench data get {name}`"
        )
    click.echo(str(found))


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_datasets)
@data_option
def verify(names: tuple[str, ...], data: Path | None) -> None:
    """Load every object and print counts and fingerprints.

    NAME is a data set as for `run`; without a NAME, verify every named data set on disk. The exit
    code is 2 if an object cannot be read.

    \b
    Example:
      isbench data verify grabcut folder:my-pictures
    """
    faulty = []
    for name in names or _list_on_disk(data):
        card = load_dataset_card(name) if name in dataset_names() else None
        verdict = verify_dataset(load_dataset(name, data))
        click.echo(f"{name}: {verdict.images}/{verdict.objects} images/objects")
        click.echo(f"  fingerprint {verdict.fingerprint or 'none: a file is missing'}")
        click.echo(f"  {_compare_fingerprint(card, verdict.fingerprint)}")
        for line in _check_counts(card, verdict.images, verdict.objects):
            click.echo(f"  {line}")
        if verdict.empty:
            click.echo(f"  {verdict.empty} objects have no scored pixel")
        for line in (*verdict.notes, *verdict.faults):
            click.echo(f"  {line}")
        faulty += [name] * bool(verdict.faults)
    if faulty:
        raise IsbenchError(f"objects of {', '.join(faulty)} cannot be read; they are listed above")


@data.command("import")
@click.argument("name", shell_complete=complete_datasets)
@click.argument("source", metavar="PATH", type=click.Path(path_type=Path))
@data_option
def import_(name: str, source: Path, data: Path | None) -> None:
    """Copy a data set into the data folder.

    PATH is a folder, zip or tar that contains the official layout, at any depth.

    \b
    Example:
      isbench data import sbd ~/Downloads/benchmark.tgz
    """
    from isbench.datasets.installation import install

    click.echo(f"{name} is in {install(name, _find_downloadable(name), source, data_folder(data))}")


@data.command()
@click.argument("name")
@click.argument("place", metavar="READER:PLACE")
@data_option
def add(name: str, place: str, data: Path | None) -> None:
    """Name a data set of your own images.

    READER:PLACE is folder:PATH, coco:IMAGES_DIR,ANNOTATIONS.json, or another form that `isbench
    datasets` lists. The name works like that of any other data set. Every object is read first. The
    name is stored in the data folder; the images stay where they are.

    \b
    Example:
      isbench data add desk folder:~/pictures/desk
      isbench run --model csfpn-mini --dataset desk
    """
    place = resolve_place(place)  # what is read now is what is stored
    verdict = verify_dataset(load_dataset(place, data))
    if verdict.faults:
        raise IsbenchError(
            f"{place} was not added: {len(verdict.faults)} objects cannot be read, the first: "
            f"{verdict.faults[0]}"
        )
    click.echo(f"{name}: {add_user_dataset(name, place, data)}")
    click.echo(f"  {verdict.images}/{verdict.objects} images/objects")
    click.echo(f"  fingerprint {verdict.fingerprint}")


@data.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path | None) -> None:
    """Remove a name that `isbench data add` added; the images are kept.

    \b
    Example:
      isbench data remove desk
    """
    remove_user_dataset(name, data)


@data.command()
@click.argument("name", shell_complete=complete_datasets)
@click.option("--url", "urls", multiple=True, help="URL to try first. Repeatable.")
@data_option
def get(name: str, urls: tuple[str, ...], data: Path | None) -> None:
    """Download a data set into the data folder.

    An interrupted download is resumed.

    \b
    Example:
      isbench data get grabcut
      isbench data get grabcut --url https://mirror.example.org/GrabCut.zip
    """
    from isbench.datasets.installation import install, place
    from isbench.files.archives import Unusable
    from isbench.files.download import fetch

    card, root = _find_downloadable(name), data_folder(data)
    if (found := find_folder(name, data)) is not None:
        click.echo(f"{name} is already in {found}")
        return
    place(name, card, root)  # raises before the download, not after it
    published = card.archive
    if published is None:
        raise IsbenchError(f"data set {name} has no published archive; use `isbench data import`")
    file = replace(published, urls=(*urls, *published.urls))
    downloads = root / "downloads"
    with track_downloads() as progress:
        archive = fetch(file, downloads, partial(progress, file))
    try:
        target = install(name, card, archive, root)
    except Unusable:
        archive.unlink()
        raise
    archive.unlink()
    click.echo(f"{name} is in {target}")


def _list_on_disk(data: Path | None) -> list[str]:
    """Return the named data sets that are on disk; the error of a broken package is printed."""
    names = []
    for name in dataset_names():
        try:
            names += [name] if find_folder(name, data) else []
        except IsbenchError as error:
            click.echo(f"isbench: data set {name} is left out: {error}", err=True)
    return names


def _find_downloadable(name: str) -> DatasetCard:
    card = load_dataset_card(name)
    if card.bundled is not None:
        origin = "isbench" if name in BUILT_IN else "its package"
        raise IsbenchError(f"data set {name} comes with {origin}; there is nothing to download")
    return card


def _compare_fingerprint(card: DatasetCard | None, fingerprint: str | None) -> str:
    if card is None or not card.fingerprints:
        return "no known fingerprint of this data set to compare with"
    if fingerprint is not None and fingerprint in card.fingerprints:
        return f"known: {card.fingerprints[fingerprint]}"
    return f"warning: not one of the {len(card.fingerprints)} known fingerprints"


def _check_counts(card: DatasetCard | None, images: int, objects: int) -> list[str]:
    if card is None or card.images is None or (card.images, card.objects) == (images, objects):
        return []
    return [f"warning: wanted {card.images}/{card.objects} images/objects"]
