"""`isbench reproduce --check`: compare tables with the records, and records with replayed games."""

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
from isbench.papers.published import read_published
from isbench.reporting import writer
from isbench.reporting.compare import run_title
from isbench.storage.environment import processor
from isbench.storage.store import Run, digest_of_path
from isbench.types import Dataset, LoadedModel

NEED_DATA = "ISBENCH_NEED_DATA"  # set where missing data is a failure, as in CI
_ABSENT = (ImportError, OSError)  # raised for a missing library or file
DEPTHS = {"full": Depth(3, 20), "ci": Depth(2, 10), "none": Depth(0, 0)}


class Finding(NamedTuple):
    """A result of the check of one run or table."""

    kind: str  # drift, within bounds, skipped, or replayed; the last is counted but not printed
    text: str = ""
    lacking: bool = False  # skipped because data, weights or a library are missing


def check_records(results: Path, budget: str, data: Path | None) -> int:
    """Print one line per finding and their counts; return 1 if the check fails, else 0."""
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
            f"isbench: {found['lacking']} runs could not be replayed and {NEED_DATA} is set; pass "
            "the data folder with --data, download the weights, or unset the variable",
            err=True,
        )
    return 1 if drifts or needed else 0


def _findings(runs: list[Run], results: Path, depth: Depth, data: Path | None) -> Iterator[Finding]:
    for text in list_stale(runs, results):
        yield Finding("drift", text)
    if depth.objects:
        recorded, load = read_processors(results), cache(partial(_load_local, data=data))
        for run in runs:
            yield from _replay(run, depth, load, _must_be_exact(run, recorded))


def list_stale(runs: list[Run], results: Path) -> Iterator[str]:
    """Yield the lines in which the table files differ from the tables made from the records."""
    for name, text in all_tables.make_pages(read_published(), runs).items():
        path, wanted = results / name, text.splitlines()
        try:
            found = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            reason = error.strerror or error
            yield f"cannot read {path} ({reason}); write it with `isbench reproduce --budget none`"
            continue
        for _, a, b, c, d in SequenceMatcher(None, found, wanted, False).get_opcodes():
            if found[a:b] != wanted[c:d]:
                yield from (f"{path} has: {line}" for line in found[a:b])
                yield from (f"{path} lacks: {line}" for line in wanted[c:d])


class _LocalDataset(NamedTuple):
    """A data set on this machine and the fingerprint of its content."""

    dataset: Dataset
    content: str


def _load_local(name: str, data: Path | None) -> _LocalDataset:
    dataset = load_dataset(name, data)
    return _LocalDataset(dataset, fingerprint(dataset))


def _must_be_exact(run: Run, recorded: Mapping[str, str]) -> bool:
    """Whether replayed games must match to the last pixel; only networks depend on the machine.

    `recorded` is the processor of each run by digest.
    """
    if run.spec.backend is None:
        return True
    return is_on_processor(run) and recorded.get(digest_of_path(run.path)) == processor()


def _replay(
    run: Run, depth: Depth, load: Callable[[str], _LocalDataset], exact: bool
) -> Iterator[Finding]:
    """Replay some of a run's games and yield the findings."""
    try:
        dataset, model = _check_dataset(run, load(run.spec.dataset)), model_from_spec(run.spec)
    except IsbenchError as error:
        absent = error.__cause__ is None or isinstance(error.__cause__, _ABSENT)
        yield Finding("skipped" if absent else "drift", f"{run_title(run)}: {error}", absent)
        return
    if model.card.adaptive:
        reason = "the model learns from object to object, so every game would have to be replayed"
        yield Finding("skipped", f"{run_title(run)}: {reason}")
        return
    try:
        games = replay_run(run, model, dataset, depth)
    except IsbenchError as error:  # the card is loaded: only a library it needs can be missing
        absent = isinstance(error.__cause__, _ABSENT) and not isinstance(error, PredictorError)
        yield Finding("skipped" if absent else "drift", f"{run_title(run)}: {error}", absent)
        return
    yield Finding("replayed")
    yield from judge_games(run, games, depth, exact)


def _check_dataset(run: Run, local: _LocalDataset) -> Dataset:
    """Return the data set; raises IsbenchError if its content is not that of the run."""
    if local.content != run.spec.fingerprint:
        raise IsbenchError(
            f"the local files of {run.spec.dataset} are not those that the run was played on"
        )
    return local.dataset


def replay_run(run: Run, model: LoadedModel, dataset: Dataset, depth: Depth) -> list[Replayed]:
    """Replay some of a run's games, always the same ones; return the old and the new games."""
    with open_predictor(model) as predictor:
        return replay_games(predictor, dataset, run.trajectories, run.spec.rules, depth)


def judge_games(run: Run, games: list[Replayed], depth: Depth, exact: bool) -> Iterator[Finding]:
    """Yield the drifts: every changed game if `exact`, else only what exceeds the bounds."""
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
