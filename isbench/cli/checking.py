"""`isbench reproduce --check`: committed tables against records, and records against games."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from isbench import metrics, report
from isbench.cli.machine import machines, processor
from isbench.compare import title
from isbench.datasets import load_dataset
from isbench.datasets.content import fingerprint
from isbench.errors import IsbenchError
from isbench.paper import book
from isbench.replay import again, at_work, difference, drawn, rebuilt, shortened
from isbench.store import Run, digest_in
from isbench.types import Dataset, Trajectory

TOLERANCE = 2.0  # clicks of NoC over the replayed objects, on a processor of another type


class Depth(NamedTuple):
    """How much of a run is played again."""

    objects: int
    clicks: int


DEPTHS = {"full": Depth(3, 20), "ci": Depth(2, 10), "none": Depth(0, 0)}


def check_records(results: Path, budget: str, data: Path | None) -> int:
    """Print a line for each drift and each run that is skipped; return 1 if anything drifted."""
    runs, notes = report.choose((), results)
    for note in notes:
        click.echo(f"skipped: {note}", err=True)
    count = 0
    for drift in (*stale(runs, results / "TABLES.md"), *_strayed(runs, results, budget, data)):
        click.echo(f"drift: {drift}", err=True)
        count += 1
    click.echo(f"{len(runs)} runs, {count} drift{'' if count == 1 else 's'}")
    return 1 if count else 0


def stale(runs: list[Run], path: Path) -> Iterator[str]:
    """Yield where a page of tables differs from what the records give."""
    wanted = book.text(book.sections(report.published(), runs)[0]).splitlines()
    try:
        found = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        yield f"cannot read {path} ({error.strerror or error}); write it by `isbench reproduce`"
        return
    signs = {"-": "has", "+": "lacks"}
    for line in difflib.ndiff(found, wanted):
        if line[0] in signs:
            yield f"{path} {signs[line[0]]}: {line[2:]}"


def _strayed(runs: list[Run], results: Path, budget: str, data: Path | None) -> Iterator[str]:
    noted, here = machines(results), processor()
    sets: dict[str, Dataset] = {}
    for run in runs:
        if not DEPTHS[budget].objects or (budget == "ci" and run.spec.dataset != "sample"):
            continue
        try:
            dataset = _data_of(run, sets, data)
            moved = replayed(run, dataset, DEPTHS[budget])
        except IsbenchError as error:
            click.echo(f"skipped: {title(run)}: {error}", err=True)
            continue
        on_cpu = run.spec.backend in (None, "eager-cpu")  # a graphics card is not noted
        same = on_cpu and noted.get(digest_in(run.path)) == here
        yield from judged(run, moved, None if same else TOLERANCE)


def _data_of(run: Run, sets: dict[str, Dataset], data: Path | None) -> Dataset:
    """Return a run's data set; raises IsbenchError unless it is here as it was played on."""
    name = run.spec.dataset
    if name not in sets:
        sets[name] = load_dataset(name, data)
    if fingerprint(sets[name]) != run.spec.fingerprint:
        raise IsbenchError(f"the files of {name} that are here are not those it was played on")
    return sets[name]


class Replayed(NamedTuple):
    """A game as it was recorded and as it goes now, both as short."""

    recorded: Trajectory
    now: Trajectory


def replayed(run: Run, dataset: Dataset, depth: Depth) -> list[Replayed]:
    """Return some of a run's games, played again; raises IsbenchError where that cannot be."""
    card = rebuilt(run.spec)
    if card.adaptive:
        raise IsbenchError("the model learns from object to object, and all would be played again")
    found = []
    keys = drawn([game.key for game in run.trajectories], depth.objects)
    with at_work(card) as predictor:
        for game in run.trajectories:
            if game.key in keys:
                short, rules = shortened(game, run.spec.rules, depth.clicks)
                found.append(Replayed(short, again(predictor, dataset.load(game.key), rules)))
    return found


def judged(run: Run, games: list[Replayed], tolerance: float | None) -> Iterator[str]:
    """Yield what drifted: every game that changed, or with a tolerance NoC beyond it."""
    changed = [(game.recorded.key, difference(*game)) for game in games]
    changed = [(key, how) for key, how in changed if how]
    if tolerance is None:
        yield from (f"{title(run)}, object {key}: {how}" for key, how in changed)
        return
    if not changed:
        return
    budget = max(len(game.recorded.clicks) for game in games)
    target = min(0.90, run.spec.rules.stop_iou)
    before, after = (
        float(np.mean(metrics.clicks_to(metrics.curves(part, budget), target)))
        for part in zip(*games, strict=True)
    )
    told = (
        f"{title(run)}: {len(changed)} of {len(games)} games changed on another processor, NoC "
        f"from {before:.2f} to {after:.2f}"
    )
    if abs(before - after) > tolerance:
        yield f"{told}, more than {tolerance:g} clicks"
    else:
        click.echo(f"within {tolerance:g} clicks: {told}", err=True)
