"""From a model and a data set to a recorded run: resume, shard, play, record, seal."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np

from isbench import datasets, pool, presets, store, weights
from isbench.datasets.content import digests, fingerprint, keys_digest
from isbench.datasets.pictures import DECODER, witnessed
from isbench.engine import check_answers, play
from isbench.environment import describe_environment
from isbench.errors import IsbenchError, PredictorError
from isbench.metrics import image_of
from isbench.pool import Executor, Lost, Play, play_here
from isbench.recheck import recheck
from isbench.records import Trajectories
from isbench.registry import check_card, load_model
from isbench.source import digest_source
from isbench.store import Shard
from isbench.types import (
    Click,
    Dataset,
    Game,
    Model,
    Predictor,
    Rules,
    Runtime,
    Sample,
    Scalar,
    Spec,
    Trajectory,
    Turn,
)

RECHECKED = 2  # recorded games that are played again where the model's code has changed
THREADS = 1  # of OpenCV in each process; recorded, since some models' masks depend on it
# options of these values are replaced by what the data set says
LEFT_TO_DATA: Mapping[str, Scalar] = {"zoom_target": 0, "longest_side": -1}
Hands: TypeAlias = Iterable[Sequence[str]]

BATCH = 8  # objects on the table where there is a GPU to be kept busy
_HAND = 8  # objects of one image that a worker is dealt at a time
_HANDS_OF_GPU = 8  # times as many as are on its table


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
    _check(rules, workers, shard)
    check_card(model)
    model = fitted(weights.prepared(model) if model.runtime is None else model, dataset)
    files = digests(dataset)
    content = fingerprint(dataset, files) if files else None
    out, spec = Path(out), specify(model, dataset, rules, content)
    sources = digest_source(model)
    check_again = partial(_recheck, model, dataset, sources, rechecked, watch)
    answered = None if model.adaptive else store.covering(out, spec)
    if answered is not None:
        watch.note(f"answered by {answered.path}, nothing to play")
        check_again(answered)
        if save_masks and not store.saved_masks(answered.path):
            watch.note("it was played without --save-masks: reports compute its masks again")
        return answered
    check(model)
    at_start = {dataset.files[name]: digest for name, digest in files.items()}
    if shard is not None and model.adaptive:
        raise IsbenchError(f"model {model.name} learns from object to object: it has no shards")
    if model.adaptive:
        workers, executor = 1, play_here
    with _threads(THREADS), store.opened(out, spec, shard) as file:
        if file is not None:
            check_again(store.read(file.path))
            table = _Table(model, dataset, rules, at_start, save_masks)
            crew = {**describe_environment(), "sources": sources, "workers": workers or "auto"}
            warnings = list(_warnings(out, dataset, spec))
            file.session({**crew, "started": _now(), "warnings": warnings})
            for warning in warnings:
                watch.note(warning)
            _fill(file, table, _share(dataset, shard), partial(_dealt, executor, workers), watch)
    return store.read(store.place(out, spec, shard))


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
    with _threads(THREADS):
        note = recheck(recorded, sources, dataset, partial(build, model), objects)
    if note:
        watch.note(note)


def specify(model: Model, dataset: Dataset, rules: Rules, content: str | None = None) -> Spec:
    """Return all that decides the numbers of a run; `content` is the fingerprint if it is known."""
    runtime = model.runtime
    libraries = dict(model.libraries)
    if runtime is not None and runtime.backend == "openvino":
        libraries["openvino"] = version("openvino")
    return Spec(
        model=model.name,
        version=model.version,
        libraries=libraries,
        options=dict(model.options),
        weights=runtime.digest if runtime else None,
        dataset=dataset.name,
        limit=dataset.limit,
        objects=len(dataset.keys),
        keys=keys_digest(dataset.keys),
        fingerprint=fingerprint(dataset) if content is None else content,
        decoder=DECODER,
        preset=presets.name_of(rules),
        preset_digest=presets.digest_of(rules),
        rules=rules,
        backend=runtime.computed if runtime else None,
        precision=runtime.precision if runtime else None,
        threads=runtime.threads if runtime else THREADS,
    )


@dataclass(frozen=True)
class _Table:
    """What is played; called, it builds the predictor and returns how to play keys.

    A card that was found by name goes to a worker as its name, since what it builds may not be
    picklable.
    """

    model: Model
    dataset: Dataset
    rules: Rules
    files: Mapping[Path, str]  # sha256 of each when the run began
    save_masks: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        card = self.model.place or self.model
        chosen = self.model.options, self.model.runtime
        return _sent, (card, chosen, self.dataset, self.rules, self.files, self.save_masks)

    def __call__(self) -> Play:
        cv2.setNumThreads(THREADS)
        if self.model.runtime is not None:
            from isbench.nn.compute import settle  # torch, which only networks wait for

            settle(self.model.runtime.device, pool.number())
        predictor = build(self.model)
        return lambda keys: self._games(predictor, keys)

    @property
    def batch(self) -> int:
        """How many objects are played side by side."""
        runtime = self.model.runtime
        return 1 if runtime is None or runtime.device == "cpu" else BATCH

    def _games(self, predictor: Predictor, keys: Sequence[str]) -> Iterator[Game]:
        with _named(self.model.name):
            samples = map(self._load, keys)
            yield from play(predictor, samples, self.rules, self.batch, self.save_masks)

    def _load(self, key: str) -> Sample:
        """Return an object, once sure that its files are what the run's fingerprint says."""
        with witnessed() as seen:
            sample = self.dataset.load(key)
        for path, digest in seen.items():
            if self.files.get(path, digest) != digest:
                raise IsbenchError(
                    f"{path} changed after the run began; nothing was played on it: restore it and "
                    "run the same command, or run it on the data as they are now, as another run"
                )
        return sample


def _sent(
    card: Model | str, chosen: tuple[Mapping[str, Scalar], Runtime | None], *rest: Any
) -> _Table:
    """Return the table that a worker was sent."""
    model = load_model(card) if isinstance(card, str) else card
    options, runtime = chosen
    return _Table(replace(model, options=options, runtime=runtime), *rest)


def build(model: Model) -> Predictor:
    """Return the model's predictor; raises IsbenchError when its options or libraries do not do."""
    try:
        if model.runtime is not None:
            return model.build(**model.options, runtime=model.runtime)
        return model.build(**model.options)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything
        options = ", ".join(f"{key}={value}" for key, value in model.options.items()) or "none"
        raise IsbenchError(
            f"model {model.name} cannot be built (options: {options}): "
            f"{type(error).__name__}: {error}"
        ) from error


def check(model: Model) -> None:
    """Build a network and let it answer once, so that what is wrong with it is known at the start.

    Raises IsbenchError for weights that do not fit, PredictorError for an answer that is none.
    """
    if model.network is None:
        return
    predictor, side = build(model), 64
    state = predictor.start(predictor.begin(np.zeros((side, side, 3), np.uint8)), None)
    with _named(model.name):
        answers = predictor.predict([Turn(state, (Click(side // 2, side // 2, True),))])
        check_answers(answers, [("of the trial", (side, side))])


def _check(rules: Rules, workers: int | None, shard: Shard | None) -> None:
    if workers is not None and workers < 1:
        raise IsbenchError(f"workers is {workers}; wanted at least 1")
    if shard is not None and not 1 <= shard.number <= shard.of:
        raise IsbenchError(f"shard is {shard.number}/{shard.of}; wanted 1/{shard.of} or more")
    if rules.max_clicks < 1:
        raise IsbenchError(f"max_clicks is {rules.max_clicks}; wanted at least 1")
    if not rules.stop_iou > 0:  # nan too
        raise IsbenchError(f"stop_iou is {rules.stop_iou}; wanted above 0 (above 1 never stops)")


def fitted(model: Model, dataset: Dataset) -> Model:
    """Return the model with what its options leave to the data set filled in."""
    filled = {
        name: getattr(dataset, name)
        for name, left in LEFT_TO_DATA.items()
        if model.options.get(name) == left
    }
    return replace(model, options={**model.options, **filled})


def _dealt(
    executor: Executor, workers: int | None, make_play: Callable[[], Play], hands: Hands
) -> Iterator[Game | Lost]:
    return executor(make_play, hands, workers)


def _share(dataset: Dataset, shard: Shard | None) -> Sequence[str]:
    """Return the keys of a shard, those of one image in the same; all keys of the whole."""
    if shard is None:
        return dataset.keys
    images = [tuple(group) for _, group in groupby(dataset.keys, key=image_of)]
    return [key for image in images[shard.number - 1 :: shard.of] for key in image]


def _fill(
    file: store.RunFile,
    table: _Table,
    keys: Sequence[str],
    deal: Callable[[Callable[[], Play], Hands], Iterator[Game | Lost]],
    watch: Watch,
) -> None:
    """Play those of the keys that the file lacks, and seal it."""
    dataset, spec = table.dataset, file.spec
    strange = file.recorded.keys() - set(dataset.keys)
    if strange:
        raise IsbenchError(
            f"{file.path} has object {min(strange)} that {dataset.name} has not; move the file away"
        )
    before = Trajectories(tuple(file.recorded), tuple(file.recorded.values()))
    watch.started(spec, len(keys), before)
    lost = []
    for game in deal(table, _hands(keys, file.recorded, table)):
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


def _hands(keys: Sequence[str], recorded: Container[str], table: _Table) -> Iterator[Sequence[str]]:
    """Yield what is to be played in hands: objects of one image, which is then decoded once.

    A GPU is dealt more at a time, since it plays several side by side; a model that learns is dealt
    all, since what it has learned is in no file.
    """
    if table.model.adaptive:
        yield keys
        return
    left = [key for key in keys if key not in recorded]
    if table.batch > 1:
        yield from _parted(left, _HANDS_OF_GPU * table.batch)
        return
    for _, group in groupby(left, key=image_of):
        yield from _parted(list(group), _HAND)


def _parted(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _warnings(out: Path, dataset: Dataset, spec: Spec) -> Iterator[str]:
    if not datasets.is_known(dataset.name, spec.fingerprint):
        yield (
            f"the files of {dataset.name} are none of those known (fingerprint "
            f"{str(spec.fingerprint)[:12]}); `isbench data verify {dataset.name}` tells more"
        )
    yield from dataset.notes
    for path, differing in store.unlike(out, spec):
        yield (
            f"{path} was begun under another {', '.join(differing)}; it is left as it is, "
            "and this run starts anew"
        )


@contextmanager
def _named(model: str) -> Iterator[None]:
    """Put the model's name before what a predictor did wrong."""
    try:
        yield
    except PredictorError as error:
        named = PredictorError(f"model {model}: {error}")
        named.details = error.details
        raise named from error


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
