"""What `report --html` and `compare --html` put on their pages, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click

from isbench.album import Album, differing, page, worst
from isbench.answers import Answered, answered, check_data
from isbench.cli.progress import tracked
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.report import template, write_text
from isbench.store import Run
from isbench.types import Dataset

T = TypeVar("T")


def write_page(
    place: Path,
    runs: Sequence[Run],
    max_clicks: int,
    count: int,
    data: Path | None,
    pair: bool = False,
) -> None:
    """Write a page of runs with pictures of `count` objects; that of a pair is of its differences.

    Where data or a model are not at hand, the page has no pictures and says why.
    """
    title = "Interactive segmentation"
    if pair:
        title = f"Comparison of {' and '.join(run.spec.model for run in runs)}"
    album, sizes, told = Album(), {}, "No pictures were asked for."
    if count:
        try:
            sizes = dict(_sizes(runs, data))
            told = _fill(album, runs, max_clicks, count, data, differing if pair else worst)
        except IsbenchError as error:
            told = f"No pictures: {error}"
            click.echo(f"isbench: {place} has no pictures: {error}", err=True)
    write_text(place, page(title, runs, max_clicks, album, sizes, told, template("report"), pair))
    click.echo(str(place))


def _fill(
    album: Album,
    runs: Sequence[Run],
    max_clicks: int,
    count: int,
    data: Path | None,
    order: Callable[[Sequence[Run], int], list[str]],
) -> str:
    """Put the first objects of each data set into the album; return what there is in words."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.spec.dataset, []).append(run)
    share = max(1, count // len(groups))
    for name, members in groups.items():
        if len({run.spec.keys for run in members}) > 1:
            raise IsbenchError(f"the runs over {name} have other objects; wanted the same")
        dataset = _loaded(members[0], data)
        keys = order(members, max_clicks)[:share]
        games = zip(*(answered(run, dataset, keys) for run in members), strict=True)
        for both in tracked(games, len(keys), f"pictures of {name}"):
            cut = [one._replace(masks=one.masks[:max_clicks]) for one in both]
            if not album.add(name, cut):
                return (
                    f"There is room for the first {len(album.pictures)} of the {count} pictures "
                    "asked for."
                )
    return ""


def _sizes(runs: Sequence[Run], data: Path | None) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield each object's share of its image."""
    for name in dict.fromkeys(run.spec.dataset for run in runs):
        run = next(run for run in runs if run.spec.dataset == name)
        dataset = _loaded(run, data)
        check_data(run, dataset)
        for key in tracked(dataset.keys, len(dataset.keys), f"objects of {name}"):
            yield (name, key), float(dataset.load(key).truth.mean())


def _loaded(run: Run, data: Path | None) -> Dataset:
    return load_dataset(run.spec.dataset, data, run.spec.limit)


def boundaries(run: Run, data: Path | None) -> Iterable[tuple[float, ...]]:
    """Yield the boundary IoU after each click of every game of a run, in order."""
    dataset = _loaded(run, data)
    keys = [game.key for game in run.trajectories]
    label = f"boundaries of {run.spec.model} on {run.spec.dataset}"
    games: Iterable[Answered] = tracked(answered(run, dataset, keys), len(keys), label)
    return (one.boundary for one in games)
