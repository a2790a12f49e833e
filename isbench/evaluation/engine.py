"""The game loop: click, predict, score, until every object is finished.

Independent of any particular model, clicker, data set or storage.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Any
from zlib import crc32

import numpy as np

from isbench.datasets.loading import check_sample
from isbench.errors import IsbenchError
from isbench.evaluation.clickers.registry import make_clicker
from isbench.evaluation.session import ObjectTurn, PredictorSession
from isbench.metrics import count_overlap
from isbench.protocol import is_over
from isbench.storage.masks import encode_rle
from isbench.types import (
    Click,
    ClickFunction,
    ClickInput,
    Game,
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
    ClickerError
        If the clicker raises an exception or returns no click on the image.
    IsbenchError
        For a clicker that cannot be made, and a sample that the rules reject.
    """
    clicker = make_clicker(rules.clicker)
    session = PredictorSession(predictor)
    objects = map(partial(_make_active, rules, keep_masks), samples)
    if batch > 1:
        yield from _play_in_batches(session, clicker, objects, rules, batch)
        return
    for active in objects:
        _start(session, active)
        while not active.overlap or not is_over(active.overlap, rules):
            _click(clicker, rules, active)
            started = perf_counter()
            (answer,) = session.predict([active.next_turn()])
            active.seconds.append(perf_counter() - started)
            _score(active, answer)
        yield _finish_game(active)


def _play_in_batches(
    session: PredictorSession,
    clicker: ClickFunction,
    objects: Iterator[_ActiveObject],
    rules: Rules,
    batch: int,
) -> Iterator[Game]:
    """Play two groups of objects alternately, as `play` describes."""
    with ThreadPoolExecutor(1) as predict_pool, ThreadPoolExecutor(_SCORING_THREADS) as score_pool:
        ahead = _load_ahead(objects, batch)
        pending: deque[tuple[list[_ActiveObject], Future[Sequence[Prediction]]]] = deque()

        def submit(group: list[_ActiveObject]) -> None:
            group.extend(islice(ahead, batch - len(group)))
            list(score_pool.map(partial(_click, clicker, rules), group))
            if group:
                answers = predict_pool.submit(_start_and_predict, session, group)
                pending.append((group, answers))

        submit([])
        submit([])
        while pending:
            group, answers = pending.popleft()
            list(score_pool.map(_score, group, answers.result()))
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

    def next_turn(self) -> ObjectTurn:
        """Return what the model gets after the last click."""
        turn = Turn(self.state, tuple(self.clicks))
        return ObjectTurn(self.sample.key, self.sample.truth.shape, turn)


def _make_active(rules: Rules, keep_masks: bool, sample: Sample) -> _ActiveObject:
    check_sample(sample)
    if rules.reject_empty and not sample.truth.any():
        raise IsbenchError(
            f"object {sample.key} has no scored pixel, which the strict preset rejects: "
            "fix its mask, or use the preset ritm-2021",
            setting="preset",
        )
    blank = np.zeros(sample.truth.shape, dtype=bool)
    start = blank if sample.initial is None else sample.initial
    return _ActiveObject(sample, start, masks=[] if keep_masks else None)


def _start(session: PredictorSession, active: _ActiveObject) -> None:
    sample = active.sample
    active.state = session.start(sample.key, sample.image, sample.initial)
    active.started = True


def _start_and_predict(
    session: PredictorSession, group: Sequence[_ActiveObject]
) -> Sequence[Prediction]:
    """Start the new objects of a group, then predict all of them."""
    for active in group:
        if not active.started:
            _start(session, active)
    return session.predict([active.next_turn() for active in group])


def _click(clicker: ClickFunction, rules: Rules, active: _ActiveObject) -> None:
    """Append the clicker's next click."""
    sample = active.sample
    # seeded by object and click, so that neither order nor sharding changes a game
    rng = np.random.default_rng([rules.seed, crc32(sample.key.encode()), len(active.clicks)])
    given = ClickInput(
        key=sample.key,
        image=sample.image,
        mask=active.mask,
        truth=sample.truth,
        ignore=sample.ignore,
        clicks=tuple(active.clicks),
        rng=rng,
    )
    active.clicks.append(clicker(given))


def _score(active: _ActiveObject, answer: Prediction) -> None:
    """Store an answer and append its (intersection, union) in pixels, without ignored ones."""
    active.mask, active.state = answer
    sample = active.sample
    active.overlap.append(count_overlap(active.mask, sample.truth, sample.ignore))
    if active.masks is not None:
        active.masks.append(encode_rle(active.mask))


def _finish_game(active: _ActiveObject) -> Game:
    clicks, overlap = tuple(active.clicks), tuple(active.overlap)
    trajectory = Trajectory(active.sample.key, clicks, overlap)
    return Game(trajectory, tuple(active.seconds), tuple(active.masks or ()))
