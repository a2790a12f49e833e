"""`isbench reproduce --check`: committed tables against records, and records against games."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import click

from isbench.cli.processors import is_on_processor, read_processors
from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.replay import model_from_spec, open_predictor
from isbench.evaluation.replay_check import Depth, Replayed, list_changes, list_excess, replay_games
from isbench.papers import all_tables
from isbench.reporting import writer
from isbench.reporting.compare import run_title
from isbench.storage.environment import processor
from isbench.storage.store import Run, digest_of_path
from isbench.types import Dataset, Model

NEED_DATA = "ISBENCH_NEED_DATA"  # set where nothing may be lacking, as in CI
_ABSENT = (ImportError, OSError)  # what a library or a file that is not here raises


DEPTHS = {"full": Depth(3, 20), "ci": Depth(2, 10), "none": Depth(0, 0)}


class Finding(NamedTuple):
    """What came out about a run or a table."""

    kind: str  # drift, within bounds, skipped, or replayed, of which nothing is said
    text: str = ""
    lacking: bool = False  # skipped since data, weights or a library are not at hand


def check_records(results: Path, budget: str, data: Path | None) -> int:
    """Print a line for each finding and how many there are; return 1 if the check failed."""
    runs, notes = writer.choose_runs((), results)
    found: Counter[str] = Counter()
    for finding in _findings(runs, results, DEPTHS[budget], data):
        found[finding.kind] += 1
        found["lacking"] += finding.lacking
        if finding.text:
            click.echo(f"{finding.kind}: {finding.text}", err=True)
    for note in notes:
        click.echo(f"skipped: {note}", err=True)
    drifts = found["drift"]
    click.echo(
        f"{len(runs) + len(notes)} runs, {found['replayed']} replayed, "
        f"{found['skipped'] + len(notes)} skipped, {drifts} drift{'' if drifts == 1 else 's'}"
    )
    needed = bool(os.environ.get(NEED_DATA)) and found["lacking"] > 0
    if needed:
        click.echo(
            f"isbench: {found['lacking']} runs could not be replayed and {NEED_DATA} is set; name "
            "the folder of the data sets by --data, fetch the weights, or unset it",
            err=True,
        )
    return 1 if drifts or needed else 0


def _findings(runs: list[Run], results: Path, depth: Depth, data: Path | None) -> Iterator[Finding]:
    for text in list_stale(runs, results):
        yield Finding("drift", text)
    if depth.objects:
        noted, data_of = read_processors(results), cache(partial(_load_here, data=data))
        for run in runs:
            yield from _replay(run, depth, data_of, _is_exact(run, noted))


def list_stale(runs: list[Run], results: Path) -> Iterator[str]:
    """Yield where the files of tables differ from what the records give."""
    for name, text in all_tables.make_pages(writer.read_published(), runs).items():
        path, wanted = results / name, text.splitlines()
        try:
            found = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            reason = error.strerror or error
            yield f"cannot read {path} ({reason}); write it by `isbench reproduce --budget none`"
            continue
        for _, a, b, c, d in SequenceMatcher(None, found, wanted, False).get_opcodes():
            if found[a:b] != wanted[c:d]:
                yield from (f"{path} has: {line}" for line in found[a:b])
                yield from (f"{path} lacks: {line}" for line in wanted[c:d])


class _Here(NamedTuple):
    """A data set as it is on this machine."""

    dataset: Dataset
    content: str


def _load_here(name: str, data: Path | None) -> _Here:
    dataset = load_dataset(name, data)
    return _Here(dataset, fingerprint(dataset))


def _is_exact(run: Run, noted: Mapping[str, str]) -> bool:
    """Whether its games must go as recorded to the last pixel: only networks depend on where."""
    if run.spec.backend is None:
        return True
    return is_on_processor(run) and noted.get(digest_of_path(run.path)) == processor()


def _replay(
    run: Run, depth: Depth, data_of: Callable[[str], _Here], exact: bool
) -> Iterator[Finding]:
    """Yield what came out of playing some of a run's games again."""
    try:
        dataset, card = _check_dataset(run, data_of(run.spec.dataset)), model_from_spec(run.spec)
    except IsbenchError as error:
        absent = error.__cause__ is None or isinstance(error.__cause__, _ABSENT)
        yield Finding("skipped" if absent else "drift", f"{run_title(run)}: {error}", absent)
        return
    if card.adaptive:
        why = "the model learns from object to object, and all would be played again"
        yield Finding("skipped", f"{run_title(run)}: {why}")
        return
    try:
        games = replay_run(run, card, dataset, depth)
    except IsbenchError as error:  # the model is here: only a library that it asks for may lack
        absent = isinstance(error.__cause__, _ABSENT) and not isinstance(error, PredictorError)
        yield Finding("skipped" if absent else "drift", f"{run_title(run)}: {error}", absent)
        return
    yield Finding("replayed")
    yield from judge_games(run, games, depth, exact)


def _check_dataset(run: Run, here: _Here) -> Dataset:
    """Return the data set; raises IsbenchError unless it is as the run was played on."""
    if here.content != run.spec.fingerprint:
        raise IsbenchError(
            f"the files of {run.spec.dataset} that are here are not those it was played on"
        )
    return here.dataset


def replay_run(run: Run, card: Model, dataset: Dataset, depth: Depth) -> list[Replayed]:
    """Return some of a run's games, always the same ones, as they were and as they go now."""
    with open_predictor(card) as predictor:
        return replay_games(predictor, dataset, run.trajectories, run.spec.rules, depth)


def judge_games(run: Run, games: list[Replayed], depth: Depth, exact: bool) -> Iterator[Finding]:
    """Yield what drifted: every game that changed, or only what is beyond the bounds."""
    changed = list(list_changes(games))
    clicks = min(depth.clicks, run.spec.rules.max_clicks)
    drifts = (
        changed if exact else list(list_excess(games, replace(run.spec.rules, max_clicks=clicks)))
    )
    for text in drifts:
        yield Finding("drift", f"{run_title(run)}, {text}")
    if changed and not drifts:
        yield Finding(
            "within bounds", f"{run_title(run)}: {len(changed)} of {len(games)} games changed"
        )
