"""From a model and a data set to a recorded run: resume, shard, play, record, seal."""

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
from isbench.evaluation.job import THREADS, Job, build_predictor, check_model, opencv_threads
from isbench.evaluation.recheck import recheck
from isbench.evaluation.spec import make_spec, with_dataset_defaults
from isbench.metrics import image_of
from isbench.models import weights
from isbench.models.registry import check_card, load_model
from isbench.models.source import digest_source
from isbench.storage import store
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

RECHECKED = 2  # recorded games that are played again where the model's code has changed
Chunks: TypeAlias = Iterable[Sequence[str]]

_CHUNK = 8  # objects of one image that a worker is assigned at a time
_CHUNKS_OF_GPU = 8  # times as many as are on its job


class Watch(Protocol):
    """Whoever wants to know how a run goes."""

    def started(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        """Hear that a run of `total` objects begins, some of them recorded before."""

    def played(self, game: Game) -> None:
        """Hear that a game was recorded."""

    def note(self, text: str) -> None:
        """Hear what a person should know."""


class Silent:
    """Watches and says nothing."""

    def started(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        """Say nothing."""

    def played(self, game: Game) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


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
    """Play what is not recorded yet and return the whole run, its file sealed.

    A sealed run of the same or of longer games answers without playing. With workers but 1 (None:
    as many as end soonest) the objects are played in processes: `model` and `dataset.load` must
    then be picklable, and a script must guard its entry by `if __name__ == "__main__"`. Of a
    `shard` only the objects are played that are its own; `merge` joins shards. `save_masks` keeps
    the masks of what is played in a file beside the run. Where a record was made by other code of
    the model, `rechecked` of its games are played again first. Raises IsbenchError for bad input
    and for such a game that changed, PredictorError when the model breaks its contract or kills its
    workers.
    """
    model = load_model(model) if isinstance(model, str) else model
    dataset = datasets.load_dataset(dataset) if isinstance(dataset, str) else dataset
    _check_arguments(rules, workers, shard)
    check_card(model)
    model = with_dataset_defaults(
        weights.load_weights(model) if model.runtime is None else model, dataset
    )
    files = digest_files(dataset)
    content = fingerprint(dataset, files) if files else None
    out, spec = Path(out), make_spec(model, dataset, rules, content)
    sources = digest_source(model)
    check_again = partial(_recheck, model, dataset, sources, rechecked, watch)
    answered = None if model.adaptive else store.find_longer_run(out, spec)
    if answered is not None:
        watch.note(f"answered by {answered.path}, nothing to play")
        check_again(answered)
        if save_masks and not store.read_saved_masks(answered.path):
            watch.note("it was played without --save-masks: reports compute its masks again")
        return answered
    check_model(model)
    at_start = {dataset.files[name]: digest for name, digest in files.items()}
    if shard is not None and model.adaptive:
        raise IsbenchError(f"model {model.name} learns from object to object: it has no shards")
    if model.adaptive:
        workers, executor = 1, play_here
    with opencv_threads(THREADS), store.open_run(out, spec, shard) as file:
        if file is not None:
            check_again(store.read(file.path))
            job = Job(model, dataset, rules, at_start, save_masks)
            session = {**describe_environment(), "sources": sources, "workers": workers or "auto"}
            warnings = list(_warnings(out, dataset, spec))
            file.session({**session, "started": _now(), "warnings": warnings})
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
    """Play some recorded games again where other code of the model recorded them."""
    if model.adaptive:  # a game depends on all before it
        return
    with opencv_threads(THREADS):
        note = recheck(recorded, sources, dataset, partial(build_predictor, model), objects)
    if note:
        watch.note(note)


def _check_arguments(rules: Rules, workers: int | None, shard: Shard | None) -> None:
    if workers is not None and workers < 1:
        raise IsbenchError(f"workers is {workers}; wanted at least 1")
    if shard is not None and not 1 <= shard.number <= shard.of:
        raise IsbenchError(f"shard is {shard.number}/{shard.of}; wanted 1/{shard.of} or more")
    if rules.max_clicks < 1:
        raise IsbenchError(f"max_clicks is {rules.max_clicks}; wanted at least 1")
    if not rules.stop_iou > 0:  # nan too
        raise IsbenchError(f"stop_iou is {rules.stop_iou}; wanted above 0 (above 1 never stops)")


def _execute(
    executor: Executor, workers: int | None, make_play: Callable[[], Play], chunks: Chunks
) -> Iterator[Game | Lost]:
    return executor(make_play, chunks, workers)


def _keys_of_shard(dataset: Dataset, shard: Shard | None) -> Sequence[str]:
    """Return the keys of a shard, those of one image in the same; all keys of the whole."""
    if shard is None:
        return dataset.keys
    images = [tuple(group) for _, group in groupby(dataset.keys, key=image_of)]
    return [key for image in images[shard.number - 1 :: shard.of] for key in image]


def _play_missing(
    file: store.RunFile,
    job: Job,
    keys: Sequence[str],
    assign: Callable[[Callable[[], Play], Chunks], Iterator[Game | Lost]],
    watch: Watch,
) -> None:
    """Play those of the keys that the file lacks, and seal it."""
    dataset, spec = job.dataset, file.spec
    strange = file.recorded.keys() - set(dataset.keys)
    if strange:
        raise IsbenchError(
            f"{file.path} has object {min(strange)} that {dataset.name} has not; move the file away"
        )
    before = Trajectories(tuple(file.recorded), tuple(file.recorded.values()))
    watch.started(spec, len(keys), before)
    lost = []
    for game in assign(job, _make_chunks(keys, file.recorded, job)):
        if isinstance(game, Lost):
            lost.append(game)
            watch.note(f"object {game.key} is given up: its workers died (exit {game.exit_code})")
        elif game.trajectory.key not in file.recorded:
            file.append(game)
            watch.played(game)
    if lost:
        keys = ", ".join(one.key for one in lost)
        raise PredictorError(
            f"model {spec.model}: workers died again and again at {keys} (exit code "
            f"{lost[0].exit_code}); the other {len(file.recorded)} objects are recorded in "
            f"{file.path}, and the same command tries these again"
        )
    file.seal()


def _make_chunks(
    keys: Sequence[str], recorded: Container[str], job: Job
) -> Iterator[Sequence[str]]:
    """Yield what is to be played in chunks: objects of one image, which is then decoded once.

    A GPU gets more at a time, since it plays several side by side; a model that learns gets all,
    since what it has learned is in no file.
    """
    if job.model.adaptive:
        yield keys
        return
    left = [key for key in keys if key not in recorded]
    if job.batch > 1:
        yield from _split(left, _CHUNKS_OF_GPU * job.batch)
        return
    for _, group in groupby(left, key=image_of):
        yield from _split(list(group), _CHUNK)


def _split(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _warnings(out: Path, dataset: Dataset, spec: Spec) -> Iterator[str]:
    if not datasets.is_known(dataset.name, spec.fingerprint):
        yield (
            f"the files of {dataset.name} are none of those known (fingerprint "
            f"{str(spec.fingerprint)[:12]}); `isbench data verify {dataset.name}` tells more"
        )
    yield from dataset.notes
    for path, differing in store.find_stale_runs(out, spec):
        yield (
            f"{path} was begun under another {', '.join(differing)}; it is left as it is, "
            "and this run starts anew"
        )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
