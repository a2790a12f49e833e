"""The game loop: click, predict, score, until every object is finished.

Independent of any particular model, clicker, data set or storage.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    ClickInput,
    Game,
    Mask,
    Prediction,
    Predictor,
    Proposal,
    Rules,
    Sample,
    State,
    Trajectory,
    Turn,
)

_SCORING_THREADS = 4  # threads that score and click when objects are played in batches
_NO_PROPOSAL = Proposal(())
_AskClicker = Callable[[ClickInput], Proposal]


def play(
    predictor: Predictor,
    samples: Iterable[Sample],
    rules: Rules = Rules(),
    batch: int = 1,
    keep_masks: bool = False,
    after_click: Callable[[], None] | None = None,
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
        With 1, objects are played one after the other and the seconds of each answer are
        recorded. With more, two groups of at most `batch` objects alternate: the predictor, always
        in one dedicated thread, answers one group in a single call while the other group is scored,
        clicked and refilled. On a CPU `batch` does not change a trajectory.
    keep_masks : bool
        Keep the mask after each click, as COCO run lengths.
    after_click : callable
        Called after each click, with `batch` 1 only, for work that cannot wait for the end of a
        game.

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
            turns = active.next_turns()
            started = perf_counter()
            answers = session.predict(turns)
            active.seconds.append((perf_counter() - started) / len(turns))
            _score(active, answers)
            if after_click is not None:
                after_click()
        yield _finish_game(active)


def _play_in_batches(
    session: PredictorSession,
    clicker: _AskClicker,
    objects: Iterator[_ActiveObject],
    rules: Rules,
    batch: int,
) -> Iterator[Game]:
    """Play two groups of objects alternately, as `play` describes."""
    with ThreadPoolExecutor(1) as predict_pool, ThreadPoolExecutor(_SCORING_THREADS) as score_pool:
        ahead = _load_ahead(objects, batch)
        pending: deque[tuple[list[_ActiveObject], Future[list[list[Prediction]]]]] = deque()

        def submit(group: list[_ActiveObject]) -> None:
            group.extend(islice(ahead, batch - len(group)))
            list(score_pool.map(partial(_click, clicker, rules), group))
            if group:
                answers = predict_pool.submit(_start_and_predict, session, batch, group)
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
    proposal: Proposal = _NO_PROPOSAL  # the next click, or those to choose it from
    clicks: list[Click] = field(default_factory=list)
    marks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    overlap: list[tuple[int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    masks: list[Mapping[str, Any]] | None = None  # None: masks are not kept

    def next_turns(self) -> list[ObjectTurn]:
        """Return what the model gets after each of the proposed clicks."""
        turns = (Turn(self.state, (*self.clicks, click)) for click in self.proposal.clicks)
        return [ObjectTurn(self.sample.key, self.sample.truth.shape, turn) for turn in turns]


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
    session: PredictorSession, batch: int, group: Sequence[_ActiveObject]
) -> list[list[Prediction]]:
    """Start the new objects of a group, then predict all of them, at most `batch` turns a call."""
    for active in group:
        if not active.started:
            _start(session, active)
    turns = [turn for active in group for turn in active.next_turns()]
    parts = (turns[start : start + batch] for start in range(0, len(turns), batch))
    answers = (answer for part in parts for answer in session.predict(part))
    return [list(islice(answers, len(active.proposal.clicks))) for active in group]


def _click(clicker: _AskClicker, rules: Rules, active: _ActiveObject) -> None:
    """Ask the clicker for the next click, or for those to choose it from."""
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
        seed=rules.seed,
    )
    proposal = clicker(given)
    # equal clicks get equal answers
    active.proposal = proposal._replace(clicks=tuple(dict.fromkeys(proposal.clicks)))


def _score(active: _ActiveObject, answers: Sequence[Prediction]) -> None:
    """Append the click whose answer is kept, its mask, and its (intersection, union) in pixels."""
    sample, proposal = active.sample, active.proposal
    overlaps = [count_overlap(one.mask, sample.truth, sample.ignore) for one in answers]
    kept = _choose(overlaps, proposal)
    active.clicks.append(proposal.clicks[kept])
    active.mask, active.state = answers[kept]
    active.overlap.append(overlaps[kept])
    if proposal.mark:
        earlier = active.marks.get(proposal.mark, ())
        active.marks[proposal.mark] = (*earlier, len(active.clicks))
    if active.masks is not None:
        active.masks.append(encode_rle(active.mask))


def _choose(overlaps: Sequence[tuple[int, int]], proposal: Proposal) -> int:
    """Return the place of the answer with the lowest or highest IoU, the first of equals."""
    # an empty union is an empty mask of an object without a scored pixel: nothing is wrong
    ious = [inside / union if union else 1.0 for inside, union in overlaps]
    return ious.index(min(ious) if proposal.keep == "lowest" else max(ious))


def _finish_game(active: _ActiveObject) -> Game:
    clicks, overlap = tuple(active.clicks), tuple(active.overlap)
    trajectory = Trajectory(active.sample.key, clicks, overlap)
    seconds, masks = tuple(active.seconds), tuple(active.masks or ())
    return Game(trajectory, seconds, masks, marks=active.marks or None)
