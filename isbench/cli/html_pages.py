"""The contents of the pages that `report --html` and `compare --html` write, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from isbench.cli.progress import track
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.files.atomic import write_atomically
from isbench.reporting.html_report import (
    ReportPictures,
    differing_objects,
    render_page,
    worst_objects,
)
from isbench.reporting.recorded_masks import RecordedMasks, check_data, recompute_masks
from isbench.reporting.writer import read_template
from isbench.storage.store import Run
from isbench.types import Dataset


def write_page(
    path: Path,
    runs: Sequence[Run],
    max_clicks: int,
    count: int,
    data: Path | None,
    pair: bool = False,
) -> None:
    """Write a page of runs with pictures of `count` objects; a `pair` is shown by its differences.

    If data or a model are missing, the page has no pictures and says why. Raises IsbenchError for
    runs over different objects of one data set.
    """
    for name, members in _group_by_dataset(runs).items():
        if len({run.spec.keys for run in members}) > 1:
            raise IsbenchError(
                f"the runs over {name} have different objects, but a page shows them side by side; "
                "name runs over the same objects"
            )
    title = "Interactive segmentation"
    if pair:
        title = f"Comparison of {' and '.join(run.spec.model for run in runs)}"
    pictures, sizes, note = ReportPictures(), {}, "No pictures were requested."
    if count:
        order = differing_objects if pair else worst_objects
        try:
            sizes = dict(_measure_objects(runs, data))
            note = _add_pictures(pictures, runs, max_clicks, count, data, order)
        except IsbenchError as error:
            note = f"No pictures: {error}"
            click.echo(f"isbench: {path} has no pictures: {error}", err=True)
    text = render_page(
        title, runs, max_clicks, pictures, sizes, note, read_template("report"), pair
    )
    write_atomically(path, text.encode())
    click.echo(str(path))


def _add_pictures(
    pictures: ReportPictures,
    runs: Sequence[Run],
    max_clicks: int,
    count: int,
    data: Path | None,
    order: Callable[[Sequence[Run], int], list[str]],
) -> str:
    """Add pictures of the first objects of each data set; return a note if some do not fit."""
    groups = _group_by_dataset(runs)
    share = max(1, count // len(groups))
    for name, members in groups.items():
        dataset = _load_dataset_of(members[0], data)
        keys = order(members, max_clicks)[:share]
        games = zip(
            *(recompute_masks(run, dataset, keys, max_clicks) for run in members), strict=True
        )
        for recorded in track(games, len(keys), f"pictures of {name}"):
            if not pictures.add(name, recorded):
                return (
                    f"Only the first {len(pictures.pictures)} of the {count} requested pictures "
                    "fit on the page."
                )
    return ""


def _measure_objects(
    runs: Sequence[Run], data: Path | None
) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield (data set, key) of each object and its share of the image's pixels."""
    for name, (run, *_) in _group_by_dataset(runs).items():
        dataset = _load_dataset_of(run, data)
        check_data(run, dataset)
        for key in track(dataset.keys, len(dataset.keys), f"objects of {name}"):
            yield (name, key), float(dataset.load(key).truth.mean())


def _group_by_dataset(runs: Sequence[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.spec.dataset, []).append(run)
    return groups


def _load_dataset_of(run: Run, data: Path | None) -> Dataset:
    return load_dataset(run.spec.dataset, data, run.spec.limit)


def compute_boundaries(run: Run, data: Path | None, max_clicks: int) -> Iterable[tuple[float, ...]]:
    """Yield the boundary IoU after each click, game by game, in the order of the run."""
    dataset = _load_dataset_of(run, data)
    keys = [game.key for game in run.trajectories]
    label = f"boundaries of {run.spec.model} on {run.spec.dataset}"
    games: Iterable[RecordedMasks] = track(
        recompute_masks(run, dataset, keys, max_clicks), len(keys), label
    )
    return (one.boundary for one in games)
