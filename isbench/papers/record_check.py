"""Checks records: a paper's table files against the runs, and the runs against replayed games.

Not here: which bounds replayed games must keep (`evaluation/replay_check`), and printing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.replay import check_data, model_from_spec, open_predictor
from isbench.evaluation.replay_check import (
    Depth,
    ReplayedGame,
    list_changes,
    list_excess,
    replay_games,
)
from isbench.models.known_weights import find_weights
from isbench.models.registry import load_card
from isbench.papers import all_tables
from isbench.papers.paper import Paper
from isbench.papers.register import TrainedWeights, read_register
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.compare import make_title
from isbench.storage.environment import describe_processor
from isbench.storage.processors import is_on_processor, read_processors
from isbench.storage.store import Run, parse_digest
from isbench.types import Dataset, LoadedModel

_ABSENT = (ImportError, OSError)  # raised for a missing library or file


class Finding(NamedTuple):
    """A result of the check of one run or table."""

    kind: str  # drift, within bounds, skipped, or replayed; the last is counted but not printed
    text: str = ""
    lacking: bool = False  # skipped because data, weights or a library are missing


DEPTHS = {"full": Depth(3, 20), "ci": Depth(2, 10)}  # what is replayed of each run, by budget


def check_records(
    paper: Paper, results: Path, budget: str = "full", data: Path | None = None
) -> Iterator[Finding]:
    """Yield the findings of the check of a folder: its tables, and with a budget its games.

    With the budget "none" no game is replayed. Raises IsbenchError if no run is finished.
    """
    runs, notes = choose_runs((), results)
    yield from check_tables(paper, runs, results)
    if budget in DEPTHS:
        yield from check_runs(runs, results, DEPTHS[budget], data)
    yield from (Finding("skipped", note) for note in notes)


def check_tables(paper: Paper, runs: Sequence[Run], results: Path) -> Iterator[Finding]:
    """Yield a drift for each line in which a folder's table files differ from its runs' tables."""
    register = read_register(results, runs)
    for name, text in all_tables.make_pages(paper, runs, register).items():
        path = results / name
        try:
            found = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            yield Finding(
                "drift",
                f"cannot read {path} ({reason}); write it with `isbench reproduce "
                f"--budget none --paper {paper.name}`",
            )
            continue
        for line in _list_differences(found, text.splitlines()):
            yield Finding("drift", f"{path} {line}")


def _list_differences(found: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    for _, a, b, c, d in SequenceMatcher(None, found, wanted, False).get_opcodes():
        if found[a:b] != wanted[c:d]:
            yield from (f"has: {line}" for line in found[a:b])
            yield from (f"lacks: {line}" for line in wanted[c:d])


def check_runs(
    runs: Sequence[Run], results: Path, depth: Depth, data: Path | None
) -> Iterator[Finding]:
    """Replay some games of each run and yield what is found, always the same games.

    Games of a network must match to the last pixel on the processor that the folder `results`
    records for the run; on others they may differ within bounds. `data` is the folder of the data
    sets.
    """
    recorded, load = read_processors(results), cache(partial(_load_local, data=data))
    trained = {one.digest: one for one in read_register(results, runs).weights}
    for run in runs:
        if weights := _find_unavailable(run, trained):
            yield Finding(
                "skipped",
                f"{make_title(run)}: weights {weights.name} do not come with isbench; "
                f"`{weights.command}` trains them",
            )
            continue
        yield from _replay(run, depth, load, _must_be_exact(run, recorded))


def _find_unavailable(run: Run, trained: Mapping[str, TrainedWeights]) -> TrainedWeights | None:
    """Return the registered weights of a run, None if it has others, or if their file is here.

    Nothing is lacking where such a run is skipped: these files are not shipped on purpose.
    """
    weights = trained.get(run.spec.weights or "")
    if weights is None:
        return None
    try:
        find_weights(load_card(run.spec.model), weights.digest)
    except IsbenchError:
        return weights
    return None


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
    return is_on_processor(run) and recorded.get(parse_digest(run.path)) == describe_processor()


def _replay(
    run: Run, depth: Depth, load: Callable[[str], _LocalDataset], exact: bool
) -> Iterator[Finding]:
    """Replay some of a run's games and yield the findings."""
    try:
        dataset, content = load(run.spec.dataset)
        check_data(run.spec, dataset, content)
        model = model_from_spec(run.spec)
    except IsbenchError as error:
        absent = error.__cause__ is None or isinstance(error.__cause__, _ABSENT)
        yield Finding("skipped" if absent else "drift", f"{make_title(run)}: {error}", absent)
        return
    if model.card.adaptive:
        reason = "the model learns from object to object, so every game would have to be replayed"
        yield Finding("skipped", f"{make_title(run)}: {reason}")
        return
    try:
        games = replay_run(run, model, dataset, depth)
    except IsbenchError as error:  # the card is loaded: only a library it needs can be missing
        absent = isinstance(error.__cause__, _ABSENT) and not isinstance(error, PredictorError)
        yield Finding("skipped" if absent else "drift", f"{make_title(run)}: {error}", absent)
        return
    yield Finding("replayed")
    yield from judge_games(run, games, depth, exact)


def replay_run(run: Run, model: LoadedModel, dataset: Dataset, depth: Depth) -> list[ReplayedGame]:
    """Replay some of a run's games, always the same ones; return the old and the new games."""
    with open_predictor(model) as predictor:
        return replay_games(predictor, dataset, run.trajectories, run.spec.rules, depth)


def judge_games(
    run: Run, games: list[ReplayedGame], depth: Depth, exact: bool
) -> Iterator[Finding]:
    """Yield the drifts: every changed game if `exact`, else only what exceeds the bounds."""
    changed = list(list_changes(games))
    clicks = min(depth.clicks, run.spec.rules.max_clicks)
    drifts = (
        changed if exact else list(list_excess(games, replace(run.spec.rules, max_clicks=clicks)))
    )
    for text in drifts:
        yield Finding("drift", f"{make_title(run)}, {text}")
    if changed and not drifts:
        yield Finding(
            "within bounds", f"{make_title(run)}: {len(changed)} of {len(games)} games changed"
        )
