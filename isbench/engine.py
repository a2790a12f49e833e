"""The game: deals objects onto a table, clicks, asks the model, scores, until all are done.

Nothing here knows a model, a data set or a disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from traceback import format_exc
from zlib import crc32

import numpy as np

from isbench.clicker import CLICKERS, Clicker
from isbench.ending import over
from isbench.errors import IsbenchError, PredictorError, unknown
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


def play(
    predictor: Predictor, samples: Iterable[Sample], rules: Rules = Rules(), batch: int = 1
) -> Iterator[Game]:
    """Play every sample to its end and yield the games as they finish.

    At most `batch` objects are on the table at once; each round the predictor answers them all in
    one call. On a CPU the batch never changes a trajectory. Seconds are measured with batch 1 only
    and cover `predict` alone. Raises PredictorError naming the object when an answer breaks the
    contract, IsbenchError for a sample the rules reject.
    """
    if rules.clicker not in CLICKERS:
        raise unknown("clicker", rules.clicker, CLICKERS)
    clicker = CLICKERS[rules.clicker]
    seats = _seats(predictor, samples, rules)
    table = list(islice(seats, batch))
    while table:
        for seat in table:
            seat.clicks.append(_next_click(clicker, seat, rules.seed))
        turns = [Turn(seat.state, tuple(seat.clicks)) for seat in table]
        with _blamed(table[0].sample.key):
            started = perf_counter()
            answers = predictor.predict(turns)
            seconds = perf_counter() - started
        check_answers(answers, [(seat.sample.key, seat.sample.truth.shape) for seat in table])
        for seat, answer in zip(table, answers, strict=True):
            seat.mask, seat.state = answer
            seat.overlap.append(_overlap(answer.mask, seat.sample))
            if batch == 1:
                seat.seconds.append(seconds)
        yield from (_game(seat) for seat in table if over(seat.overlap, rules))
        table = [seat for seat in table if not over(seat.overlap, rules)]
        table.extend(islice(seats, batch - len(table)))


@dataclass
class _Seat:
    """One object on the table; the only thing here that changes."""

    sample: Sample
    state: State
    mask: Mask
    clicks: list[Click] = field(default_factory=list)
    overlap: list[tuple[int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def _seats(predictor: Predictor, samples: Iterable[Sample], rules: Rules) -> Iterator[_Seat]:
    image: Image | None = None
    encoded: Encoded = None
    for sample in samples:
        _check(sample)
        if rules.reject_empty and not sample.truth.any():
            raise IsbenchError(
                f"object {sample.key} has no scored pixel; the strict preset refuses it: "
                "mend its mask, or use --preset ritm-2021"
            )
        with _blamed(sample.key):
            if sample.image is not image:  # the objects of one image share one array
                image, encoded = sample.image, predictor.begin(sample.image)
            state = predictor.start(encoded, sample.initial)
        blank = np.zeros(sample.truth.shape, dtype=bool)
        mask = blank if sample.initial is None else sample.initial
        yield _Seat(sample, state, mask)


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


def _next_click(clicker: Clicker, seat: _Seat, seed: int) -> Click:
    # lots depend on the object and the click alone, so neither order nor sharding changes a game
    rng = np.random.default_rng([seed, crc32(seat.sample.key.encode()), len(seat.clicks)])
    return clicker(seat.mask, seat.sample.truth, seat.sample.ignore, seat.clicks, rng)


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


def _overlap(mask: Mask, sample: Sample) -> tuple[int, int]:
    """Return (intersection, union) in pixels, ignored ones left out."""
    scored = mask > sample.ignore
    return (
        int(np.count_nonzero(scored & sample.truth)),
        int(np.count_nonzero(scored | sample.truth)),
    )


def _game(seat: _Seat) -> Game:
    clicks, overlap = tuple(seat.clicks), tuple(seat.overlap)
    return Game(Trajectory(seat.sample.key, clicks, overlap), tuple(seat.seconds))
