"""The game: click, ask the model, score, until every object is done.

Nothing here knows a model, a data set or a disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from time import perf_counter
from traceback import format_exc
from typing import Any
from zlib import crc32

import numpy as np

from isbench.errors import IsbenchError, PredictorError, unknown
from isbench.evaluation.clicker import CLICKERS
from isbench.protocol import is_over
from isbench.storage.masks import encode_rle
from isbench.types import (
    Click,
    Encoded,
    Game,
    Image,
    Mask,
    Prediction,
    Predictor,
    Rules,
    Sample,
    State,
    Trajectory,
    Turn,
)

_CLICKING = 4  # threads that score and click where objects are played side by side


def play(
    predictor: Predictor,
    samples: Iterable[Sample],
    rules: Rules = Rules(),
    batch: int = 1,
    keep_masks: bool = False,
) -> Iterator[Game]:
    """Play every sample to its end and yield the games as they finish, with their masks if asked.

    With `batch` 1 objects are played one after the other, and the seconds of `predict` noted. With
    more, two groups of at most `batch` objects take turns: the predictor, always in one thread of
    its own, answers all objects of one group in one call while those of the other are scored,
    clicked and replaced. On a CPU neither changes a trajectory. Raises PredictorError naming the
    object when an answer breaks the contract, IsbenchError for a sample that the rules reject.
    """
    if rules.clicker not in CLICKERS:
        raise unknown("clicker", rules.clicker, CLICKERS)
    session, objects = (
        _PredictorSession(predictor),
        map(partial(_start_object, rules, keep_masks), samples),
    )
    if batch == 1:
        yield from _one_by_one(session, objects, rules)
    else:
        yield from _side_by_side(session, objects, rules, batch)


def _one_by_one(
    session: _PredictorSession, objects: Iterable[_ActiveObject], rules: Rules
) -> Iterator[Game]:
    for active in objects:
        session.start([active])
        while not active.overlap or not is_over(active.overlap, rules):
            _click(rules, active)
            started = perf_counter()
            answers = session.predict([active])
            active.seconds.append(perf_counter() - started)
            _accept(answers, [active])
            _score(active)
        yield _game(active)


def _side_by_side(
    session: _PredictorSession, objects: Iterator[_ActiveObject], rules: Rules, batch: int
) -> Iterator[Game]:
    with ThreadPoolExecutor(1) as asking, ThreadPoolExecutor(_CLICKING) as clicking:
        ahead = _ahead(objects, batch)
        asked: deque[tuple[list[_ActiveObject], Future[Sequence[Prediction]]]] = deque()

        def ask(group: list[_ActiveObject]) -> None:
            group.extend(islice(ahead, batch - len(group)))
            list(clicking.map(partial(_click, rules), group))
            if group:
                asked.append((group, asking.submit(session.start_and_predict, group)))

        ask([])
        ask([])
        while asked:
            group, answers = asked.popleft()
            _accept(answers.result(), group)
            list(clicking.map(_score, group))
            done = [active for active in group if is_over(active.overlap, rules)]
            ask([active for active in group if not is_over(active.overlap, rules)])
            yield from map(_game, done)


def _ahead(objects: Iterator[_ActiveObject], count: int) -> Iterator[_ActiveObject]:
    """Yield the objects, `count` of which a thread loads ahead."""
    with ThreadPoolExecutor(1) as loading:
        loaded: deque[Future[_ActiveObject | None]] = deque()
        load = partial(next, objects, None)
        loaded.extend(loading.submit(load) for _ in range(count))
        while (active := loaded.popleft().result()) is not None:
            loaded.append(loading.submit(load))
            yield active


@dataclass
class _ActiveObject:
    """An object being played; the only thing here that changes."""

    sample: Sample
    mask: Mask
    state: State = None
    started: bool = False
    clicks: list[Click] = field(default_factory=list)
    overlap: list[tuple[int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    masks: list[Mapping[str, Any]] | None = None  # None: not kept


def _start_object(rules: Rules, keep_masks: bool, sample: Sample) -> _ActiveObject:
    _check(sample)
    if rules.reject_empty and not sample.truth.any():
        raise IsbenchError(
            f"object {sample.key} has no scored pixel; the strict preset refuses it: "
            "mend its mask, or use --preset ritm-2021"
        )
    blank = np.zeros(sample.truth.shape, dtype=bool)
    start = blank if sample.initial is None else sample.initial
    return _ActiveObject(sample, start, masks=[] if keep_masks else None)


@dataclass
class _PredictorSession:
    """The predictor, and the last image that it encoded: objects of one image share one array."""

    predictor: Predictor
    image: Image | None = None
    encoded: Encoded = None

    def start_and_predict(self, group: Sequence[_ActiveObject]) -> Sequence[Prediction]:
        """Start the objects of a group that are new, and predict all of them."""
        self.start(group)
        return self.predict(group)

    def start(self, group: Sequence[_ActiveObject]) -> None:
        """Start each object that the predictor has not seen yet."""
        for active in group:
            if active.started:
                continue
            sample = active.sample
            with _name_object_in_errors(sample.key):
                if sample.image is not self.image:
                    self.image, self.encoded = sample.image, self.predictor.begin(sample.image)
                active.state = self.predictor.start(self.encoded, sample.initial)
            active.started = True

    def predict(self, group: Sequence[_ActiveObject]) -> Sequence[Prediction]:
        """Return the predictor's answer to the clicks of each object."""
        turns = [Turn(active.state, tuple(active.clicks)) for active in group]
        with _name_object_in_errors(group[0].sample.key):
            return self.predictor.predict(turns)


def _check(sample: Sample) -> None:
    """Refuse a sample that would be scored wrongly."""
    shape = sample.image.shape[:2]
    for name, mask in (("truth", sample.truth), ("ignore", sample.ignore)):
        if mask.shape != shape or mask.dtype != np.bool_:
            raise IsbenchError(
                f"object {sample.key}: {name} is {mask.shape} of {mask.dtype}; "
                f"wanted {shape} of bool, as its image"
            )
    if (sample.truth & sample.ignore).any():
        raise IsbenchError(
            f"object {sample.key}: truth and ignore overlap; wanted truth without ignored pixels"
        )


@contextmanager
def _name_object_in_errors(key: str) -> Iterator[None]:
    """Turn whatever a model raises into a PredictorError that names the object."""
    try:
        yield
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything
        blamed = PredictorError(f"object {key}: the model raised {type(error).__name__}: {error}")
        blamed.details = format_exc()
        raise blamed from error


def _click(rules: Rules, active: _ActiveObject) -> None:
    """Click where the mask is most wrong."""
    sample = active.sample
    # lots depend on the object and the click alone, so neither order nor sharding changes a game
    rng = np.random.default_rng([rules.seed, crc32(sample.key.encode()), len(active.clicks)])
    clicker = CLICKERS[rules.clicker]
    active.clicks.append(clicker(active.mask, sample.truth, sample.ignore, active.clicks, rng))


def _accept(answers: Sequence[Prediction], group: Sequence[_ActiveObject]) -> None:
    """Put the answers on the group, once they are what the contract says."""
    check_answers(answers, [(active.sample.key, active.sample.truth.shape) for active in group])
    for active, answer in zip(group, answers, strict=True):
        active.mask, active.state = answer


def _score(active: _ActiveObject) -> None:
    """Count (intersection, union) in pixels, ignored ones left out; keep the mask if asked."""
    truth = active.sample.truth
    scored = active.mask > active.sample.ignore
    overlap = int(np.count_nonzero(scored & truth)), int(np.count_nonzero(scored | truth))
    active.overlap.append(overlap)
    if active.masks is not None:
        active.masks.append(encode_rle(active.mask))


def check_answers(
    answers: Sequence[Prediction], wanted: Sequence[tuple[str, tuple[int, ...]]]
) -> None:
    """Raise PredictorError unless there is a (H, W) bool mask for each (key, shape) wanted."""
    if not isinstance(answers, Sequence) or len(answers) != len(wanted):
        got = len(answers) if isinstance(answers, Sequence) else type(answers).__name__
        raise PredictorError(
            f"object {wanted[0][0]}: predict returned {got} for {len(wanted)} turns; "
            "wanted a list of one Prediction a turn"
        )
    for answer, (key, shape) in zip(answers, wanted, strict=True):
        if not isinstance(answer, Prediction):
            raise PredictorError(
                f"object {key}: predict returned a {type(answer).__name__} for a turn; "
                "wanted an isbench.Prediction(mask, state)"
            )
        mask = answer.mask
        if not isinstance(mask, np.ndarray) or mask.shape != shape or mask.dtype != np.bool_:
            found = getattr(mask, "shape", None)
            kind = type(mask).__name__ if found is None else f"shape {found} of {mask.dtype}"
            raise PredictorError(
                f"object {key}: predict returned a mask of {kind}; wanted shape {shape} of bool"
            )


def _game(active: _ActiveObject) -> Game:
    clicks, overlap = tuple(active.clicks), tuple(active.overlap)
    trajectory = Trajectory(active.sample.key, clicks, overlap)
    return Game(trajectory, tuple(active.seconds), tuple(active.masks or ()))
