"""The game loop: click, predict, score, until every object is finished.

Independent of any particular model, data set or storage.
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
from isbench.metrics import count_overlap
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

_SCORING_THREADS = 4  # threads that score and click when objects are played in batches


def play(
    predictor: Predictor,
    samples: Iterable[Sample],
    rules: Rules = Rules(),
    batch: int = 1,
    keep_masks: bool = False,
) -> Iterator[Game]:
    """Play every sample to its end and yield the games as they finish.

    Parameters
    ----------
    predictor : Predictor
        The model under evaluation.
    samples : iterable of Sample
        Loaded lazily; with `batch` above 1, ahead of time in a thread.
    rules : Rules
        How a game is played.
    batch : int
        With 1, objects are played one after the other and the seconds of each `predict` are
        recorded. With more, two groups of at most `batch` objects alternate: the predictor, always
        in one dedicated thread, answers one group in a single call while the other group is scored,
        clicked and refilled. On a CPU `batch` does not change a trajectory.
    keep_masks : bool
        Keep the mask after each click, as COCO run lengths.

    Yields
    ------
    Game
        In the order in which games finish.

    Raises
    ------
    PredictorError
        If a prediction breaks the contract; the message names the object.
    IsbenchError
        For a sample that the rules reject.
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
        yield _finish_game(active)


def _side_by_side(
    session: _PredictorSession, objects: Iterator[_ActiveObject], rules: Rules, batch: int
) -> Iterator[Game]:
    with ThreadPoolExecutor(1) as predict_pool, ThreadPoolExecutor(_SCORING_THREADS) as score_pool:
        ahead = _load_ahead(objects, batch)
        pending: deque[tuple[list[_ActiveObject], Future[Sequence[Prediction]]]] = deque()

        def submit(group: list[_ActiveObject]) -> None:
            group.extend(islice(ahead, batch - len(group)))
            list(score_pool.map(partial(_click, rules), group))
            if group:
                pending.append((group, predict_pool.submit(session.start_and_predict, group)))

        submit([])
        submit([])
        while pending:
            group, answers = pending.popleft()
            _accept(answers.result(), group)
            list(score_pool.map(_score, group))
            finished = [active for active in group if is_over(active.overlap, rules)]
            submit([active for active in group if not is_over(active.overlap, rules)])
            yield from map(_finish_game, finished)


def _load_ahead(objects: Iterator[_ActiveObject], count: int) -> Iterator[_ActiveObject]:
    """Yield the objects, with `count` of them loaded in advance by a thread."""
    with ThreadPoolExecutor(1) as load_pool:
        pending: deque[Future[_ActiveObject | None]] = deque()
        load = partial(next, objects, None)
        pending.extend(load_pool.submit(load) for _ in range(count))
        while (active := pending.popleft().result()) is not None:
            pending.append(load_pool.submit(load))
            yield active


@dataclass
class _ActiveObject:
    """An object being played; the only mutable state here."""

    sample: Sample
    mask: Mask
    state: State = None
    started: bool = False
    clicks: list[Click] = field(default_factory=list)
    overlap: list[tuple[int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    masks: list[Mapping[str, Any]] | None = None  # None: masks are not kept


def _start_object(rules: Rules, keep_masks: bool, sample: Sample) -> _ActiveObject:
    _check(sample)
    if rules.reject_empty and not sample.truth.any():
        raise IsbenchError(
            f"object {sample.key} has no scored pixel, which the strict preset rejects: "
            "fix its mask, or use --preset ritm-2021"
        )
    blank = np.zeros(sample.truth.shape, dtype=bool)
    start = blank if sample.initial is None else sample.initial
    return _ActiveObject(sample, start, masks=[] if keep_masks else None)


@dataclass
class _PredictorSession:
    """The predictor and the last image it encoded; objects of one image share the array."""

    predictor: Predictor
    image: Image | None = None
    encoded: Encoded = None

    def start_and_predict(self, group: Sequence[_ActiveObject]) -> Sequence[Prediction]:
        """Start the new objects of a group, then predict all of them."""
        self.start(group)
        return self.predict(group)

    def start(self, group: Sequence[_ActiveObject]) -> None:
        """Start each object that has not been started yet."""
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
    """Raise IsbenchError for a sample that would be scored incorrectly."""
    shape = sample.image.shape[:2]
    for name, mask in (("truth", sample.truth), ("ignore", sample.ignore)):
        if mask.shape != shape or mask.dtype != np.bool_:
            raise IsbenchError(
                f"object {sample.key}: {name} is {mask.shape} of {mask.dtype}; "
                f"wanted {shape} of bool, the size of its image"
            )
    if (sample.truth & sample.ignore).any():
        raise IsbenchError(
            f"object {sample.key}: truth and ignore overlap; wanted truth without ignored pixels"
        )


@contextmanager
def _name_object_in_errors(key: str) -> Iterator[None]:
    """Turn any exception of a model into a PredictorError that names the object."""
    try:
        yield
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        wrapped = PredictorError(f"object {key}: the model raised {type(error).__name__}: {error}")
        wrapped.details = format_exc()
        raise wrapped from error


def _click(rules: Rules, active: _ActiveObject) -> None:
    """Append the clicker's next click."""
    sample = active.sample
    # seeded by object and click, so that neither order nor sharding changes a game
    rng = np.random.default_rng([rules.seed, crc32(sample.key.encode()), len(active.clicks)])
    clicker = CLICKERS[rules.clicker]
    active.clicks.append(clicker(active.mask, sample.truth, sample.ignore, active.clicks, rng))


def _accept(answers: Sequence[Prediction], group: Sequence[_ActiveObject]) -> None:
    """Check the answers against the contract and store them in the group."""
    check_answers(answers, [(active.sample.key, active.sample.truth.shape) for active in group])
    for active, answer in zip(group, answers, strict=True):
        active.mask, active.state = answer


def _score(active: _ActiveObject) -> None:
    """Append (intersection, union) in pixels, without ignored ones; keep the mask if asked."""
    sample = active.sample
    active.overlap.append(count_overlap(active.mask, sample.truth, sample.ignore))
    if active.masks is not None:
        active.masks.append(encode_rle(active.mask))


def check_answers(
    answers: Sequence[Prediction], wanted: Sequence[tuple[str, tuple[int, ...]]]
) -> None:
    """Raise PredictorError unless there is a (H, W) bool mask for each wanted (key, shape)."""
    if not isinstance(answers, Sequence) or len(answers) != len(wanted):
        got = len(answers) if isinstance(answers, Sequence) else type(answers).__name__
        raise PredictorError(
            f"object {wanted[0][0]}: predict returned {got} for {len(wanted)} turns; "
            "wanted a list with one Prediction per turn"
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


def _finish_game(active: _ActiveObject) -> Game:
    clicks, overlap = tuple(active.clicks), tuple(active.overlap)
    trajectory = Trajectory(active.sample.key, clicks, overlap)
    return Game(trajectory, tuple(active.seconds), tuple(active.masks or ()))
