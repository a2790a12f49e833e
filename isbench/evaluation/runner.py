"""Runs a model on a data set and records it: resume, shard, play, record, seal."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache as cache_result
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol

from isbench import datasets
from isbench.datasets.fingerprints import digest_files, fingerprint
from isbench.errors import IsbenchError, PredictorError, check_least
from isbench.evaluation.clickers.registry import make_clicker, parse_clicker
from isbench.evaluation.encoding_cache import open_cache
from isbench.evaluation.executors.processes import (
    Executor,
    LostObject,
    begins_here,
    play_here,
)
from isbench.evaluation.job import Job, check_model, opencv_threads
from isbench.evaluation.recheck import recheck_run
from isbench.evaluation.spec import make_spec, with_dataset_defaults
from isbench.files.json_text import is_text
from isbench.metrics import find_image
from isbench.models.loading import load_model
from isbench.models.predictor import BuiltModel, build_model
from isbench.models.registry import check_card, check_libraries
from isbench.models.source import digest_source
from isbench.protocol import check_stop_iou
from isbench.storage import run_file, saved_masks, store
from isbench.storage.environment import LoadMeter, describe_environment
from isbench.storage.records import Trajectories
from isbench.storage.store import Run, Shard
from isbench.types import (
    Dataset,
    Game,
    LoadedModel,
    ModelCard,
    Rules,
    Spec,
    Trajectory,
)

RECHECK = 2  # recorded games that are replayed when the model's code has changed

_CHUNK = 8  # most objects of one image per chunk
_CHUNKS_OF_GPU = 8  # batches per chunk on a GPU


class Watch(Protocol):
    """Callbacks for the progress of a run."""

    def start(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        """Handle the start of a run of `total` objects, with those already `recorded`."""

    def add_game(self, game: Game) -> None:
        """Handle a game that was just recorded."""

    def note(self, text: str) -> None:
        """Handle a message for the user."""


class Silent:
    """A watch that ignores everything."""

    def start(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        """Do nothing."""

    def add_game(self, game: Game) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


def run(
    model: LoadedModel | ModelCard | str,
    dataset: Dataset | str,
    rules: Rules = Rules(),
    *,
    out: Path | str = "runs",
    workers: int | None = 1,
    watch: Watch = Silent(),
    executor: Executor = play_here,
    shard: tuple[int, int] | None = None,
    save_masks: bool = False,
    recheck: int = RECHECK,
    cache: Path | str | None = None,
) -> Run:
    """Play the objects that are not recorded yet and return the complete run, its file sealed.

    A sealed run with the same or longer games is reused without playing.

    Parameters
    ----------
    model : LoadedModel, ModelCard or str
        A loaded model, or a card or name to load with the defaults of `load_model`.
    dataset : Dataset or str
        A data set or its name.
    rules : Rules
        How a game is played.
    out : Path or str
        The folder of run files.
    workers : int or None
        None: as many as finish soonest, one per GPU, as `isbench run` plays. With None or more than
        1, objects may be played in processes: `model` and `dataset.load` must be picklable, and a
        script must guard its entry point with `if __name__ == "__main__"`.
    watch : Watch
        Callbacks for the progress.
    executor : Executor
        Where the objects are played: local processes, or a Ray cluster
        (`isbench.evaluation.executors.ray_cluster.Ray`).
    shard : tuple of two ints or None
        Play only this part, (1, 4) to (4, 4) for four machines; `merge` joins the parts.
    save_masks : bool
        Save the masks of the games in a file next to the run.
    recheck : int
        Number of recorded games to replay first if the record was made with other code of the
        model.
    cache : Path, str or None
        A folder in which the model's encodings of images are kept and found again; the games are
        the same as without it. Only for models whose predictor has `pack` and `unpack`.

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
    ClickerError
        If the clicker breaks its contract.
    """
    named, out = Path(out), Path(out).absolute()  # a model may change the working folder
    part = _check_arguments(workers, shard)
    check_stop_iou(rules.stop_iou)
    model, dataset = _load(model, dataset)
    build = cache_result(partial(_build, model, watch))  # once in this process
    model = _settle_backend(model, build)
    files = digest_files(dataset)
    spec = make_spec(model, dataset, rules, fingerprint(dataset, files) if files else None)
    sources = digest_source(model.card)
    check_again = partial(_recheck, build, dataset, sources, recheck, watch)
    existing = None if model.card.adaptive else store.find_longer_run(out, spec)
    if existing is not None:
        run_file.clean_up(out, spec)
        existing = store.with_given_folder(existing, named)
        watch.note(f"already recorded in {existing.path}, nothing to play")
        check_again(existing)
        if save_masks and (fault := saved_masks.find_fault(existing.path, dataset.keys)):
            watch.note(f"{fault}: reports recompute them")
        return existing
    kept = _check_model(model, build, cache)
    make_clicker(spec.rules.clicker)  # so that its errors appear before the run starts
    if model.card.adaptive:
        _refuse_shard(model, part)
        _refuse_answers(model, spec.rules)
        workers, executor = 1, play_here
    at_start = {dataset.files[name]: digest for name, digest in files.items()}
    job = Job(model, dataset, spec.rules, at_start, save_masks, cache=kept)
    with run_file.open_run(out, spec, part) as file:
        if file is not None:
            _recheck_started(file, model, check_again)
            job = _share_predictor(job, build, executor, workers)
            build.cache_clear()  # worker processes build their own
            _start_session(file, dataset, {"sources": sources, "workers": workers or "auto"}, watch)
            keys = _list_keys(dataset, part)
            watch.start(spec, len(keys), _read_recorded(file))
            lost: list[LostObject] = []
            meter = LoadMeter()
            job = replace(job, repeated=_choose_repeated(keys, file.recorded, model))
            for game in executor(job, _make_chunks(keys, file.recorded, job), workers):
                if isinstance(game, LostObject):
                    lost.append(game)
                    watch.note(_describe_lost(game))
                elif game.trajectory.key not in file.recorded:
                    _record(file, game, watch)
            _record_load(file, meter, executor)
            _refuse_lost(file, lost)
            file.seal()
    return store.with_given_folder(store.read(store.locate_run(out, spec, part)), named)


def _check_arguments(workers: int | None, shard: tuple[int, int] | None) -> Shard | None:
    """Return the shard; raises IsbenchError for impossible values."""
    if workers is not None:
        check_least("workers", workers, 1)
    if shard is None:
        return None
    part = Shard(*shard)
    if not 1 <= part.number <= part.of:
        message = f"shard is {part.number}/{part.of}; wanted 1/4 to 4/4 for four machines"
        raise IsbenchError(message, setting="shard")
    return part


def _load(
    model: LoadedModel | ModelCard | str, dataset: Dataset | str
) -> tuple[LoadedModel, Dataset]:
    """Return the loaded model, with the data set's options, and the data set."""
    model = model if isinstance(model, LoadedModel) else load_model(model)
    if isinstance(dataset, str):
        dataset = datasets.load_dataset(dataset)
    datasets.check_keys(dataset.keys, f"data set {dataset.name}")
    check_card(model.card)
    check_libraries(model.card)
    return with_dataset_defaults(model, dataset), dataset


def _build(model: LoadedModel, watch: Watch) -> BuiltModel:
    with opencv_threads():
        return build_model(model, watch.note)


def _settle_backend(model: LoadedModel, build: Callable[[], BuiltModel]) -> LoadedModel:
    """Return the model with the backend that plays, which is part of the Spec."""
    return build().model if model.runtime is not None and model.runtime.fallback else model


def _share_predictor(
    job: Job, build: Callable[[], BuiltModel], executor: Executor, workers: int | None
) -> Job:
    """Return the job with the predictor that was checked, if it plays in this process.

    One that learns from object to object has learned from the check, so it is built again.
    """
    if executor is not play_here or job.model.card.adaptive or not begins_here(job, workers):
        return job
    return replace(job, built=build())


def _check_model(
    model: LoadedModel, build: Callable[[], BuiltModel], cache: Path | str | None
) -> Path | None:
    """Check a model before a run, and that its encodings can be kept; return their folder."""
    if model.runtime is not None or cache is not None:
        check_model(build(), cache is not None)
    if cache is None:
        return None
    root = Path(cache).absolute()  # workers may have another working folder
    open_cache(model, root)
    return root


def _refuse_shard(model: LoadedModel, shard: Shard | None) -> None:
    if shard is not None:
        raise IsbenchError(
            f"model {model.name} learns from object to object and cannot be sharded; play all",
            setting="shard",
        )


def _refuse_answers(model: LoadedModel, rules: Rules) -> None:
    """Raise IsbenchError for a clicker whose proposals an adaptive model would all learn from."""
    if parse_clicker(rules.clicker).card.sees_answers:
        raise IsbenchError(
            f"model {model.name} learns from every click, also from those that the clicker "
            f"{rules.clicker} drops; choose another clicker, such as human",
            setting="clicker",
        )


def _recheck(
    build: Callable[[], BuiltModel],
    dataset: Dataset,
    sources: Mapping[str, str],
    objects: int,
    watch: Watch,
    recorded: Run,
) -> None:
    """Replay some recorded games if they were recorded with other code of the model."""
    with opencv_threads():
        note = recheck_run(recorded, sources, dataset, lambda: build().predictor, objects)
    if note:
        watch.note(note)


def _recheck_started(
    file: run_file.RunFile, model: LoadedModel, check_again: Callable[[Run], None]
) -> None:
    """Recheck the games of a run that is continued, unless each depends on all before it."""
    if file.recorded and not model.card.adaptive:
        check_again(store.read(file.path))


def _list_keys(dataset: Dataset, shard: Shard | None) -> Sequence[str]:
    """Return the keys of a shard, keeping each image's objects together; all keys without one."""
    if shard is None:
        return dataset.keys
    images = [tuple(group) for _, group in groupby(dataset.keys, key=find_image)]
    return [key for image in images[shard.number - 1 :: shard.of] for key in image]


def _start_session(
    file: run_file.RunFile, dataset: Dataset, facts: Mapping[str, object], watch: Watch
) -> None:
    """Record who plays, and warn of what may surprise; raises IsbenchError for foreign games."""
    unexpected = file.recorded.keys() - set(dataset.keys)
    if unexpected:
        raise IsbenchError(
            f"{file.path} has object {min(unexpected)}, which is not in {dataset.name}; move the "
            "file away"
        )
    warnings = list(_list_warnings(file.path.parents[1], dataset, file.spec))
    # a place that is not UTF-8 cannot be recorded: its files are found by `--dataset` only
    place = {"place": dataset.place} if dataset.place and is_text(dataset.place) else {}
    started = {"started": _format_time(), "warnings": warnings}
    session = {**describe_environment(), **facts, **place, **started}
    file.session(session)
    for warning in warnings:
        watch.note(warning)


def _record_load(file: run_file.RunFile, meter: LoadMeter, executor: Executor) -> None:
    """Record how busy this machine was, if it played the objects."""
    if executor is play_here:
        file.load(meter.read())


def _read_recorded(file: run_file.RunFile) -> Trajectories:
    return Trajectories(tuple(file.recorded), tuple(file.recorded.values()))


def _describe_lost(lost: LostObject) -> str:
    return f"object {lost.key} is skipped: its workers died (exit code {lost.exit_code})"


def _refuse_lost(file: run_file.RunFile, lost: Sequence[LostObject]) -> None:
    if lost:
        keys = ", ".join(one.key for one in lost)
        raise PredictorError(
            f"model {file.spec.model}: workers died repeatedly at {keys} (exit code "
            f"{lost[0].exit_code}); the other {len(file.recorded)} objects are recorded in "
            f"{file.path}: run the same command again to retry"
        )


def _record(file: run_file.RunFile, game: Game, watch: Watch) -> None:
    """Append a game to the run file, and report it."""
    file.append(game)
    watch.add_game(game)
    if game.note:
        watch.note(game.note)


def _choose_repeated(keys: Sequence[str], recorded: Container[str], model: LoadedModel) -> str:
    """Return the object whose first turns are asked again, "" for a model that may change."""
    if model.card.adaptive:
        return ""
    return next((key for key in keys if key not in recorded), "")


def _make_chunks(
    keys: Sequence[str], recorded: Container[str], job: Job
) -> Iterator[Sequence[str]]:
    """Yield the missing keys in chunks of objects of one image, which is then decoded once.

    Chunks for a GPU are larger, since it plays objects in batches. An adaptive model gets all keys,
    since its state is not saved.
    """
    if job.model.card.adaptive:
        yield keys
        return
    missing = [key for key in keys if key not in recorded]
    if job.batch > 1:
        yield from _split(missing, _CHUNKS_OF_GPU * job.batch)
        return
    for _, group in groupby(missing, key=find_image):
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


def _format_time() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
