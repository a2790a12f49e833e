"""Where two runs differ most, as scenes: an object, and each model's mask after as many clicks.

Masks are not recorded: the models are built again and answer the recorded clicks. Not here: how
scenes are drawn (`plots`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from isbench.boundary import boundary_iou
from isbench.compare import title
from isbench.datasets.content import fingerprint
from isbench.errors import IsbenchError
from isbench.replay import at_work, masks, overlap, rebuilt
from isbench.store import Run
from isbench.types import Click, Dataset, Image, Mask, Sample, Trajectory


class Side(NamedTuple):
    """A model's answer in a scene."""

    label: str
    mask: Mask
    clicks: tuple[Click, ...]
    iou: float
    boundary_iou: float
    exact: bool  # every mask up to here has the recorded overlap


class Scene(NamedTuple):
    """An object and two answers, after the same number of clicks."""

    key: str
    image: Image
    truth: Mask
    sides: tuple[Side, ...]


class Pair(NamedTuple):
    """The games of two runs on an object, and how far apart their IoU is after `clicks` clicks."""

    games: tuple[Trajectory, ...]
    clicks: int
    distance: float


def scenes(runs: Sequence[Run], dataset: Dataset, max_clicks: int, count: int) -> Iterator[Scene]:
    """Yield the scenes of the `count` objects at which two runs' IoU differs most.

    IoU is compared after `max_clicks` clicks, or as many as both games have. Raises IsbenchError
    unless there are two runs over these very data, and for a model that is not at hand.
    """
    check_pair(runs, dataset)
    chosen = apart(runs, max_clicks)[:count]
    samples = [dataset.load(pair.games[0].key) for pair in chosen]
    sides = []
    for number, run in enumerate(runs):
        label = run.spec.model
        with at_work(rebuilt(run.spec)) as predictor:
            sides.append(
                [
                    _side(label, sample, pair.games[number], masks(predictor, sample, clicks))
                    for pair, sample in zip(chosen, samples, strict=True)
                    for clicks in (pair.games[number].clicks[: pair.clicks],)
                ]
            )
    for sample, *pair_of_sides in zip(samples, *sides, strict=True):
        yield Scene(sample.key, sample.image, sample.truth, tuple(pair_of_sides))


def check_pair(runs: Sequence[Run], dataset: Dataset) -> None:
    """Raise IsbenchError unless the runs are two, over the same objects of these very data."""
    if len(runs) != 2:
        raise IsbenchError(f"pictures show two runs and {len(runs)} were named; name two")
    a, b = runs
    content = fingerprint(dataset)
    for run in runs:
        if (run.spec.dataset, run.spec.fingerprint) != (dataset.name, content):
            raise IsbenchError(
                f"run {title(run)} was not played on the files of {dataset.name} that are here; "
                "name their folder's parent by --data"
            )
    if a.spec.keys != b.spec.keys:
        raise IsbenchError(f"runs {title(a)} and {title(b)} have other objects; wanted the same")


def apart(runs: Sequence[Run], max_clicks: int) -> list[Pair]:
    """Return the games on each object, those first whose IoU is farthest apart."""
    pairs = []
    for games in zip(*(run.trajectories for run in runs), strict=True):
        clicks = min(max_clicks, *(len(game.clicks) for game in games))
        one, other = (_iou(game.overlap[clicks - 1]) for game in games)
        pairs.append(Pair(games, clicks, abs(one - other)))
    return sorted(pairs, key=lambda pair: (-pair.distance, pair.games[0].key))


def _side(label: str, sample: Sample, game: Trajectory, answers: Iterable[Mask]) -> Side:
    """Return the side of a game that the answers belong to, the last of them shown."""
    shown = list(answers)
    found = tuple(overlap(answer, sample) for answer in shown)
    return Side(
        label,
        shown[-1],
        game.clicks[: len(shown)],
        _iou(found[-1]),
        boundary_iou(shown[-1], sample.truth, sample.ignore),
        found == game.overlap[: len(shown)],
    )


def _iou(pair: tuple[int, int]) -> float:
    """Return the IoU of (intersection, union); 0 where there is nothing to find."""
    return pair[0] / pair[1] if pair[1] else 0.0
