"""Runs a model on a data set and records it: resume, shard, play, record, seal."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeAlias

from isbench import datasets
from isbench.datasets.fingerprints import digest_files, fingerprint
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.executors.processes import Executor, Lost, Play, play_here
from isbench.evaluation.job import Job, build_predictor, check_model, opencv_threads
from isbench.evaluation.recheck import recheck
from isbench.evaluation.spec import make_spec, with_dataset_defaults
from isbench.metrics import image_of
from isbench.models import weights
from isbench.models.registry import check_card, load_model
from isbench.models.source import digest_source
from isbench.storage import run_file, saved_masks, store
from isbench.storage.environment import describe_environment
from isbench.storage.records import Trajectories
from isbench.storage.store import Shard
from isbench.types import (
    Dataset,
    Game,
    Model,
    Rules,
    Spec,
    Trajectory,
)

RECHECKED = 2  # recorded games that are replayed when the model's code has changed
Chunks: TypeAlias = Iterable[Sequence[str]]

_CHUNK = 8  # most objects of one image per chunk
_CHUNKS_OF_GPU = 8  # batches per chunk on a GPU


class Watch(Protocol):
    """Callbacks for the progress of a run."""

    def started(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        """Handle the start of a run of `total` objects, with those already `recorded`."""

    def played(self, game: Game) -> None:
        """Handle a game that was just recorded."""

    def note(self, text: str) -> None:
        """Handle a message for the user."""


class Silent:
    """A watch that ignores everything."""

    def started(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        """Do nothing."""

    def played(self, game: Game) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


def run(
    model: Model | str,
    dataset: Dataset | str,
    rules: Rules = Rules(),
    *,
    out: Path | str = "runs",
    workers: int | None = 1,
    watch: Watch = Silent(),
    executor: Executor = play_here,
    shard: Shard | None = None,
    save_masks: bool = False,
    rechecked: int = RECHECKED,
) -> store.Run:
    """Play the objects that are not recorded yet and return the complete run, its file sealed.

    A sealed run with the same or longer games is reused without playing.

    Parameters
    ----------
    model : Model or str
        A card or a model's name.
    dataset : Dataset or str
        A data set or its name.
    rules : Rules
        How a game is played.
    out : Path or str
        The folder of run files.
    workers : int or None
        With more than 1, or None (choose the fastest), objects are played in processes: `model` and
        `dataset.load` must be picklable, and a script must guard its entry point with
        `if __name__ == "__main__"`.
    watch : Watch
        Callbacks for the progress.
    executor : Executor
        Where the objects are played: local processes, or a Ray cluster.
    shard : Shard or None
        Play only the objects of this shard; `merge` joins shards.
    save_masks : bool
        Save the masks of the games in a file next to the run.
    rechecked : int
        Number of recorded games to replay first if the record was made with other code of the
        model.

    Returns
    -------
    Run
        The run as stored.

    Raises
    ------
    IsbenchError
        For invalid input, and if a replayed game changed.
    PredictorError
        If the model breaks its contract or kills its workers.
    """
    model = load_model(model) if isinstance(model, str) else model
    dataset = datasets.load_dataset(dataset) if isinstance(dataset, str) else dataset
    _check_arguments(workers, shard)
    check_card(model)
    model = with_dataset_defaults(
        weights.load_weights(model) if model.runtime is None else model, dataset
    )
    files = digest_files(dataset)
    content = fingerprint(dataset, files) if files else None
    out, spec = Path(out), make_spec(model, dataset, rules, content)
    sources = digest_source(model)
    check_again = partial(_recheck, model, dataset, sources, rechecked, watch)
    existing = None if model.adaptive else store.find_longer_run(out, spec)
    if existing is not None:
        watch.note(f"already recorded in {existing.path}, nothing to play")
        check_again(existing)
        if save_masks and not saved_masks.read(existing.path):
            watch.note("it was played without --save-masks: reports recompute its masks")
        return existing
    check_model(model)
    at_start = {dataset.files[name]: digest for name, digest in files.items()}
    if shard is not None and model.adaptive:
        raise IsbenchError(
            f"model {model.name} learns from object to object and cannot be sharded; omit --shard"
        )
    if model.adaptive:
        workers, executor = 1, play_here
    with run_file.open_run(out, spec, shard) as file:
        if file is not None:
            if file.recorded:
                check_again(store.read(file.path))
            job = Job(model, dataset, rules, at_start, save_masks)
            session = {**describe_environment(), "sources": sources, "workers": workers or "auto"}
            warnings = list(_list_warnings(out, dataset, spec))
            file.session({**session, "started": _timestamp(), "warnings": warnings})
            for warning in warnings:
                watch.note(warning)
            _play_missing(
                file,
                job,
                _keys_of_shard(dataset, shard),
                partial(_execute, executor, workers),
                watch,
            )
    return store.read(store.run_path(out, spec, shard))


def _recheck(
    model: Model,
    dataset: Dataset,
    sources: Mapping[str, str],
    objects: int,
    watch: Watch,
    recorded: store.Run,
) -> None:
    """Replay some recorded games if they were recorded with other code of the model."""
    if model.adaptive:  # a game depends on all games before it
        return
    with opencv_threads():
        note = recheck(recorded, sources, dataset, partial(build_predictor, model), objects)
    if note:
        watch.note(note)


def _check_arguments(workers: int | None, shard: Shard | None) -> None:
    if workers is not None and workers < 1:
        raise IsbenchError(f"workers is {workers}; wanted at least 1")
    if shard is not None and not 1 <= shard.number <= shard.of:
        raise IsbenchError(f"shard is {shard.number}/{shard.of}; wanted 1/{shard.of} or more")


def _execute(
    executor: Executor, workers: int | None, make_play: Callable[[], Play], chunks: Chunks
) -> Iterator[Game | Lost]:
    return executor(make_play, chunks, workers)


def _keys_of_shard(dataset: Dataset, shard: Shard | None) -> Sequence[str]:
    """Return the keys of a shard, keeping each image's objects together; all keys without one."""
    if shard is None:
        return dataset.keys
    images = [tuple(group) for _, group in groupby(dataset.keys, key=image_of)]
    return [key for image in images[shard.number - 1 :: shard.of] for key in image]


def _play_missing(
    file: run_file.RunFile,
    job: Job,
    keys: Sequence[str],
    assign: Callable[[Callable[[], Play], Chunks], Iterator[Game | Lost]],
    watch: Watch,
) -> None:
    """Play the keys that are missing from the file, then seal it."""
    dataset, spec = job.dataset, file.spec
    unexpected = file.recorded.keys() - set(dataset.keys)
    if unexpected:
        raise IsbenchError(
            f"{file.path} has object {min(unexpected)}, which is not in {dataset.name}; move the "
            "file away"
        )
    before = Trajectories(tuple(file.recorded), tuple(file.recorded.values()))
    watch.started(spec, len(keys), before)
    lost = []
    for game in assign(job, _make_chunks(keys, file.recorded, job)):
        if isinstance(game, Lost):
            lost.append(game)
            watch.note(
                f"object {game.key} is skipped: its workers died (exit code {game.exit_code})"
            )
        elif game.trajectory.key not in file.recorded:
            file.append(game)
            watch.played(game)
    if lost:
        keys = ", ".join(one.key for one in lost)
        raise PredictorError(
            f"model {spec.model}: workers died repeatedly at {keys} (exit code "
            f"{lost[0].exit_code}); the other {len(file.recorded)} objects are recorded in "
            f"{file.path}: run the same command again to retry"
        )
    file.seal()


def _make_chunks(
    keys: Sequence[str], recorded: Container[str], job: Job
) -> Iterator[Sequence[str]]:
    """Yield the missing keys in chunks of objects of one image, which is then decoded once.

    Chunks for a GPU are larger, since it plays objects in batches. An adaptive model gets all keys,
    since its state is not saved.
    """
    if job.model.adaptive:
        yield keys
        return
    missing = [key for key in keys if key not in recorded]
    if job.batch > 1:
        yield from _split(missing, _CHUNKS_OF_GPU * job.batch)
        return
    for _, group in groupby(missing, key=image_of):
        yield from _split(list(group), _CHUNK)


def _split(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _list_warnings(out: Path, dataset: Dataset, spec: Spec) -> Iterator[str]:
    if not datasets.is_known(dataset.name, spec.fingerprint):
        yield (
            f"the files of {dataset.name} are not a known version (fingerprint "
            f"{str(spec.fingerprint)[:12]}); see `isbench data verify {dataset.name}`"
        )
    yield from dataset.notes
    for path, differing in store.find_stale_runs(out, spec):
        yield (
            f"{path} was started with another {', '.join(differing)}; it is left unchanged, "
            "and this run starts from the beginning"
        )


def _timestamp() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
