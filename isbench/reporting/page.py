"""The HTML page of runs that `report --html` and `compare --html` write.

Loads the data sets, and gets the masks from the records or the models. Not here: the layout of the
page (`html_report`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple, TypeAlias

from isbench.datasets.loading import load_sample
from isbench.errors import IsbenchError, check_least, check_some
from isbench.evaluation.replay import check_data
from isbench.metrics import METRICS, Metric
from isbench.models.registry import NONE_TRUSTED, Trusted
from isbench.reporting.html_report import (
    ReportPictures,
    find_differing_objects,
    find_worst_objects,
    render_page,
)
from isbench.reporting.labels import NO_LABELS
from isbench.reporting.literature import PublishedFigure
from isbench.reporting.recorded_masks import (
    RecordedMasks,
    Track,
    recompute_masks,
    track_silently,
)
from isbench.reporting.run_datasets import load_dataset_of
from isbench.reporting.same_objects import check_same_objects
from isbench.reporting.templates import read_template
from isbench.storage.store import Run

Groups: TypeAlias = Mapping[str, Sequence[Run]]  # data set -> the runs over it


class Page(NamedTuple):
    """A page, and why it has no pictures, or none of some runs."""

    html: str
    fault: IsbenchError | None  # None unless data, a model or weights are missing


def make_page(
    runs: Sequence[Run],
    max_clicks: int = 20,
    pictures: int = 200,
    data: Path | str | None = None,
    *,
    pair: bool = False,
    metrics: Sequence[Metric] = METRICS,
    track: Track = track_silently,
    labels: Mapping[str, str] = NO_LABELS,
    place: str | None = None,
    trusted: Trusted = NONE_TRUSTED,
    published: Sequence[PublishedFigure] = (),
    imported: Sequence[PublishedFigure] = (),
) -> Page:
    """Return a page of runs with pictures of objects.

    Parameters
    ----------
    runs : sequence of Run
        Complete runs.
    max_clicks : int
        Games are used up to this click.
    pictures : int
        The number of objects with pictures; with 0, neither data nor models are needed.
    data : Path, str or None
        The folder of the data sets, as for `load_dataset`.
    pair : bool
        Show two runs by their differences.
    metrics : sequence of Metric
        The figures in its tables.
    track : Track
        Shows the progress.
    labels : mapping
        Names of runs by their digest, instead of those made from what differs.
    place : str or None
        `READER:PLACE` of the runs' files, instead of the place in their meta files.
    trusted : mapping
        Cards of models that are not installed, from `load_trusted_cards`. The model that a run file
        names is not imported otherwise.
    published : sequence of PublishedFigure
        Published figures to add to its tables, from `list_published`.
    imported : sequence of PublishedFigure
        Figures from files of other evaluators, to add in the same way.

    Returns
    -------
    Page
        Without pictures, or without those of some runs, and with the reason, if data, a model or
        weights are missing.

    Raises
    ------
    IsbenchError
        For runs over different objects of one data set, and a negative number of pictures.
    """
    check_some(runs, "run")
    check_least("max_clicks", max_clicks, 1)
    check_least("pictures", pictures, 0)
    if pair and len(runs) != 2:
        raise IsbenchError(f"{len(runs)} runs to compare; wanted 2")
    root = None if data is None else Path(data)
    groups = _group_by_dataset(runs)
    title = "Interactive segmentation"
    if pair:
        title = f"Comparison of {' and '.join(run.spec.model for run in runs)}"
    drawn, sizes = ReportPictures(), {}
    fault: IsbenchError | None = None
    note = "No pictures were requested."
    if pictures:
        order = find_differing_objects if pair else find_worst_objects
        share = max(1, pictures // len(groups))
        keys = {name: order(members, max_clicks)[:share] for name, members in groups.items()}
        try:
            sizes = dict(_measure_objects(groups, root, place, track))
            note = ""
            added = _add_pictures(drawn, groups, keys, max_clicks, root, place, track, trusted)
            if not added.all_fit:
                note = (
                    f"Only the first {len(drawn.pictures)} of the {pictures} requested pictures "
                    "fit on the page."
                )
            if added.fault is not None:
                fault = added.fault
                some = f"Masks of some runs are missing: {fault} {note}".rstrip()
                note = some if drawn.pictures else f"No pictures: {fault}"
        except IsbenchError as error:
            fault = error
            note = f"No pictures: {error}"
    template = read_template("report")
    html = render_page(
        title, runs, max_clicks, drawn, sizes, note, template, pair, metrics, labels, published,
        imported,
    )  # fmt: skip
    return Page(html, fault)


def _group_by_dataset(runs: Sequence[Run]) -> Groups:
    """Return the runs over each data set; raises IsbenchError if their objects differ."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.spec.dataset, []).append(run)
    check_same_objects(runs, "a page shows them side by side")
    return groups


def _measure_objects(
    groups: Groups, data: Path | None, place: str | None, track: Track
) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield (data set, key) of each object and its share of the image's pixels."""
    for name, (run, *_) in groups.items():
        dataset = load_dataset_of(run, data, place)
        check_data(run.spec, dataset)
        for key in track(dataset.keys, len(dataset.keys), f"objects of {name}"):
            yield (name, key), float(load_sample(dataset, key).truth.mean())


class _Added(NamedTuple):
    """Whether all pictures fit on the page, and why the masks of a run are missing in them."""

    all_fit: bool
    fault: IsbenchError | None


def _add_pictures(
    pictures: ReportPictures,
    groups: Groups,
    keys: Mapping[str, Sequence[str]],
    max_clicks: int,
    data: Path | None,
    place: str | None,
    track: Track,
    trusted: Trusted,
) -> _Added:
    """Add pictures of these objects of each data set, without runs whose model is missing."""
    fault: IsbenchError | None = None
    for name, runs in groups.items():
        dataset = load_dataset_of(runs[0], data, place)
        columns: list[Iterator[RecordedMasks] | None] = []
        for run in runs:
            column = recompute_masks(run, dataset, keys[name], max_clicks, trusted)
            try:  # its first game loads the model
                columns.append(chain([next(column)], column))
            except IsbenchError as error:
                columns.append(None)
                fault = fault or error
        if not any(columns):
            continue
        missing: Iterator[RecordedMasks | None] = repeat(None)
        games = zip(*(column or missing for column in columns), strict=False)
        for recorded in track(games, len(keys[name]), f"pictures of {name}"):
            if not pictures.add(name, recorded):
                return _Added(False, fault)
    return _Added(True, fault)
