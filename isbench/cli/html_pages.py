"""What `report --html` and `compare --html` put on their pages, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from isbench.cli.progress import track
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.reporting.html_report import (
    ReportPictures,
    differing_objects,
    render_page,
    worst_objects,
)
from isbench.reporting.recorded_masks import RecordedMasks, check_data, recompute_masks
from isbench.reporting.writer import read_template, write_text
from isbench.storage.store import Run
from isbench.types import Dataset


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
    for name, members in _by_dataset(runs).items():
        if len({run.spec.keys for run in members}) > 1:
            raise IsbenchError(
                f"the runs over {name} are not of the same objects, and a page lists them side by "
                "side: name those that are"
            )
    title = "Interactive segmentation"
    if pair:
        title = f"Comparison of {' and '.join(run.spec.model for run in runs)}"
    album, sizes, told = ReportPictures(), {}, "No pictures were asked for."
    if count:
        try:
            sizes = dict(_sizes(runs, data))
            told = _fill(
                album, runs, max_clicks, count, data, differing_objects if pair else worst_objects
            )
        except IsbenchError as error:
            told = f"No pictures: {error}"
            click.echo(f"isbench: {place} has no pictures: {error}", err=True)
    write_text(
        place,
        render_page(title, runs, max_clicks, album, sizes, told, read_template("report"), pair),
    )
    click.echo(str(place))


def _fill(
    album: ReportPictures,
    runs: Sequence[Run],
    max_clicks: int,
    count: int,
    data: Path | None,
    order: Callable[[Sequence[Run], int], list[str]],
) -> str:
    """Put the first objects of each data set into the album; return what there is in words."""
    groups = _by_dataset(runs)
    share = max(1, count // len(groups))
    for name, members in groups.items():
        dataset = _loaded(members[0], data)
        keys = order(members, max_clicks)[:share]
        games = zip(
            *(recompute_masks(run, dataset, keys, max_clicks) for run in members), strict=True
        )
        for both in track(games, len(keys), f"pictures of {name}"):
            if not album.add(name, both):
                return (
                    f"There is room for the first {len(album.pictures)} of the {count} pictures "
                    "asked for."
                )
    return ""


def _sizes(runs: Sequence[Run], data: Path | None) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield each object's share of its image."""
    for name, (run, *_) in _by_dataset(runs).items():
        dataset = _loaded(run, data)
        check_data(run, dataset)
        for key in track(dataset.keys, len(dataset.keys), f"objects of {name}"):
            yield (name, key), float(dataset.load(key).truth.mean())


def _by_dataset(runs: Sequence[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.spec.dataset, []).append(run)
    return groups


def _loaded(run: Run, data: Path | None) -> Dataset:
    return load_dataset(run.spec.dataset, data, run.spec.limit)


def compute_boundaries(run: Run, data: Path | None, max_clicks: int) -> Iterable[tuple[float, ...]]:
    """Yield the boundary IoU after each of the clicks of every game of a run, in order."""
    dataset = _loaded(run, data)
    keys = [game.key for game in run.trajectories]
    label = f"boundaries of {run.spec.model} on {run.spec.dataset}"
    games: Iterable[RecordedMasks] = track(
        recompute_masks(run, dataset, keys, max_clicks), len(keys), label
    )
    return (one.boundary for one in games)
