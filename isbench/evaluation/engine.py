"""The game: deals objects onto a table, clicks, asks the model, scores, until all are done.

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
    more, two tables of at most so many objects take turns: the predictor, always in one thread of
    its own, answers all of one in one call while those of the other are scored, clicked and
    replaced. On a CPU neither changes a trajectory. Raises PredictorError naming the object when an
    answer breaks the contract, IsbenchError for a sample the rules reject.
    """
    if rules.clicker not in CLICKERS:
        raise unknown("clicker", rules.clicker, CLICKERS)
    guest, seats = (
        _PredictorSession(predictor),
        map(partial(_start_object, rules, keep_masks), samples),
    )
    if batch == 1:
        yield from _one_by_one(guest, seats, rules)
    else:
        yield from _side_by_side(guest, seats, rules, batch)


def _one_by_one(
    guest: _PredictorSession, seats: Iterable[_ActiveObject], rules: Rules
) -> Iterator[Game]:
    for seat in seats:
        guest.greet([seat])
        while not seat.overlap or not is_over(seat.overlap, rules):
            _click(rules, seat)
            started = perf_counter()
            answers = guest.answers([seat])
            seat.seconds.append(perf_counter() - started)
            _take(answers, [seat])
            _score(seat)
        yield _game(seat)


def _side_by_side(
    guest: _PredictorSession, seats: Iterator[_ActiveObject], rules: Rules, batch: int
) -> Iterator[Game]:
    with ThreadPoolExecutor(1) as asking, ThreadPoolExecutor(_CLICKING) as clicking:
        ahead = _ahead(seats, batch)
        asked: deque[tuple[list[_ActiveObject], Future[Sequence[Prediction]]]] = deque()

        def ask(table: list[_ActiveObject]) -> None:
            table.extend(islice(ahead, batch - len(table)))
            list(clicking.map(partial(_click, rules), table))
            if table:
                asked.append((table, asking.submit(guest.both, table)))

        ask([])
        ask([])
        while asked:
            table, answers = asked.popleft()
            _take(answers.result(), table)
            list(clicking.map(_score, table))
            done = [seat for seat in table if is_over(seat.overlap, rules)]
            ask([seat for seat in table if not is_over(seat.overlap, rules)])
            yield from map(_game, done)


def _ahead(seats: Iterator[_ActiveObject], count: int) -> Iterator[_ActiveObject]:
    """Yield the seats, so many of which are loaded ahead by a thread."""
    with ThreadPoolExecutor(1) as loading:
        loaded: deque[Future[_ActiveObject | None]] = deque()
        load = partial(next, seats, None)
        loaded.extend(loading.submit(load) for _ in range(count))
        while (seat := loaded.popleft().result()) is not None:
            loaded.append(loading.submit(load))
            yield seat


@dataclass
class _ActiveObject:
    """One object on the table; the only thing here that changes."""

    sample: Sample
    mask: Mask
    state: State = None
    greeted: bool = False
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
    """The predictor, and the image it was shown last: objects of one image share one array."""

    predictor: Predictor
    image: Image | None = None
    encoded: Encoded = None

    def both(self, table: Sequence[_ActiveObject]) -> Sequence[Prediction]:
        """Greet a table and have it answered."""
        self.greet(table)
        return self.answers(table)

    def greet(self, table: Sequence[_ActiveObject]) -> None:
        """Show the predictor each object that it does not know yet."""
        for seat in table:
            if seat.greeted:
                continue
            sample = seat.sample
            with _blamed(sample.key):
                if sample.image is not self.image:
                    self.image, self.encoded = sample.image, self.predictor.begin(sample.image)
                seat.state = self.predictor.start(self.encoded, sample.initial)
            seat.greeted = True

    def answers(self, table: Sequence[_ActiveObject]) -> Sequence[Prediction]:
        """Return what the predictor answers to the clicks of each object."""
        turns = [Turn(seat.state, tuple(seat.clicks)) for seat in table]
        with _blamed(table[0].sample.key):
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
def _blamed(key: str) -> Iterator[None]:
    """Turn whatever a model raises into a PredictorError that names the object."""
    try:
        yield
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything
        blamed = PredictorError(f"object {key}: the model raised {type(error).__name__}: {error}")
        blamed.details = format_exc()
        raise blamed from error


def _click(rules: Rules, seat: _ActiveObject) -> None:
    """Click where the mask is most wrong."""
    sample = seat.sample
    # lots depend on the object and the click alone, so neither order nor sharding changes a game
    rng = np.random.default_rng([rules.seed, crc32(sample.key.encode()), len(seat.clicks)])
    clicker = CLICKERS[rules.clicker]
    seat.clicks.append(clicker(seat.mask, sample.truth, sample.ignore, seat.clicks, rng))


def _take(answers: Sequence[Prediction], table: Sequence[_ActiveObject]) -> None:
    """Put the answers on the table, once they are what the contract says."""
    check_answers(answers, [(seat.sample.key, seat.sample.truth.shape) for seat in table])
    for seat, answer in zip(table, answers, strict=True):
        seat.mask, seat.state = answer


def _score(seat: _ActiveObject) -> None:
    """Count (intersection, union) in pixels, ignored ones left out; keep the mask if asked."""
    truth = seat.sample.truth
    scored = seat.mask > seat.sample.ignore
    overlap = int(np.count_nonzero(scored & truth)), int(np.count_nonzero(scored | truth))
    seat.overlap.append(overlap)
    if seat.masks is not None:
        seat.masks.append(encode_rle(seat.mask))


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


def _game(seat: _ActiveObject) -> Game:
    clicks, overlap = tuple(seat.clicks), tuple(seat.overlap)
    trajectory = Trajectory(seat.sample.key, clicks, overlap)
    return Game(trajectory, tuple(seat.seconds), tuple(seat.masks or ()))
