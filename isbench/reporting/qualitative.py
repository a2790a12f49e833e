"""Where two runs differ most, as scenes: an object, and each model's mask after the same clicks.

The clicks are those recorded for the first run; the second's own would show it another task. Masks
are not recorded: both models are built again. Not here: how scenes are drawn (`plots`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from isbench.datasets.fingerprints import fingerprint
from isbench.errors import IsbenchError
from isbench.evaluation.replay import compute_overlap, model_from_spec, open_predictor, replay_masks
from isbench.evaluation.replay_check import count_shared_clicks
from isbench.metrics.boundary import boundary_iou
from isbench.reporting.compare import run_title
from isbench.reporting.tables import make_labels
from isbench.storage.store import Run
from isbench.types import Click, Dataset, Image, Mask, Sample, Trajectory


class Side(NamedTuple):
    """A model's answer in a scene."""

    label: str
    mask: Mask
    iou: float
    boundary_iou: float
    exact: bool  # no mask up to here has another overlap than was recorded after these clicks


class Scene(NamedTuple):
    """An object and two answers to the same clicks."""

    key: str
    image: Image
    truth: Mask
    clicks: tuple[Click, ...]
    sides: tuple[Side, ...]


class Average(NamedTuple):
    """A model's figures over the objects that are shown."""

    label: str
    iou: float
    boundary_iou: float  # over the objects that have one


class Pair(NamedTuple):
    """The games of two runs on an object, and how far apart their IoU is after `clicks` clicks."""

    games: tuple[Trajectory, ...]
    clicks: int
    distance: float

    @property
    def asked(self) -> tuple[Click, ...]:
        """Return the clicks that both models are shown to answer: the first game's."""
        return self.games[0].clicks[: self.clicks]


def make_scenes(
    runs: Sequence[Run], dataset: Dataset, max_clicks: int, count: int
) -> Iterator[Scene]:
    """Yield the scenes of the `count` objects at which two runs' IoU differs most.

    The recorded IoU is compared after `max_clicks` clicks, or as many as both games have; what is
    shown are both models' answers to as many clicks of the first run. Raises IsbenchError unless
    there are two runs over these very data, and for a model that is not at hand.
    """
    check_pair(runs, dataset)
    chosen = rank_by_distance(runs, max_clicks)[:count]
    samples = [dataset.load(pair.games[0].key) for pair in chosen]
    sides = []
    for number, (run, label) in enumerate(zip(runs, make_labels(runs), strict=True)):
        with open_predictor(model_from_spec(run.spec)) as predictor:
            sides.append(
                [
                    _side(
                        label,
                        sample,
                        _known(pair, number),
                        replay_masks(predictor, sample, pair.asked),
                    )
                    for pair, sample in zip(chosen, samples, strict=True)
                ]
            )
    for pair, sample, *both in zip(chosen, samples, *sides, strict=True):
        yield Scene(sample.key, sample.image, sample.truth, pair.asked, tuple(both))


def average_scenes(found: Sequence[Scene]) -> list[Average]:
    """Return each model's mean figures over the scenes."""
    return [
        Average(
            sides[0].label,
            float(np.mean([side.iou for side in sides])),
            _mean([side.boundary_iou for side in sides]),
        )
        for sides in zip(*(scene.sides for scene in found), strict=True)
    ]


def make_caption(found: Sequence[Scene]) -> str:
    """Return in two lines what the scenes show, and the mean figures of each model."""
    shown = average_scenes(found)
    figures = "; ".join(
        f"{one.label} IoU {one.iou:.3f}, boundary IoU {one.boundary_iou:.3f}" for one in shown
    )
    return (
        f"Every model after the same clicks, those recorded for {shown[0].label}\n"
        f"mean over {len(found)} object{'' if len(found) == 1 else 's'}: {figures}"
    )


def check_pair(runs: Sequence[Run], dataset: Dataset) -> None:
    """Raise IsbenchError unless the runs are two, over the same objects of these very data."""
    if len(runs) != 2:
        raise IsbenchError(f"pictures show two runs and {len(runs)} were named; name two")
    a, b = runs
    content = fingerprint(dataset)
    for run in runs:
        if (run.spec.dataset, run.spec.fingerprint) != (dataset.name, content):
            raise IsbenchError(
                f"run {run_title(run)} was not played on the files of {dataset.name} that are "
                "here; name their folder's parent by --data"
            )
    if a.spec.keys != b.spec.keys:
        raise IsbenchError(
            f"runs {run_title(a)} and {run_title(b)} have other objects; wanted the same"
        )


def rank_by_distance(runs: Sequence[Run], max_clicks: int) -> list[Pair]:
    """Return the games on each object, those first whose IoU is farthest apart."""
    pairs = []
    for games in zip(*(run.trajectories for run in runs), strict=True):
        clicks = min(max_clicks, *(len(game.clicks) for game in games))
        one, other = (_iou(game.overlap[clicks - 1]) for game in games)
        pairs.append(Pair(games, clicks, abs(one - other)))
    return sorted(pairs, key=lambda pair: (-pair.distance, pair.games[0].key))


def _known(pair: Pair, number: int) -> tuple[tuple[int, int], ...]:
    """Return what one run recorded after the clicks that both answer, as far as it was asked them.

    That is everything of the first run, and of the second until its own clicks were others.
    """
    game = pair.games[number]
    return game.overlap[: count_shared_clicks(game.clicks, pair.asked)]


def _side(
    label: str, sample: Sample, known: tuple[tuple[int, int], ...], answers: Iterable[Mask]
) -> Side:
    """Return the side of a model that gave the answers, the last of them shown."""
    shown = list(answers)
    found = tuple(compute_overlap(answer, sample) for answer in shown)
    return Side(
        label,
        shown[-1],
        _iou(found[-1]),
        boundary_iou(shown[-1], sample.truth, sample.ignore),
        found[: len(known)] == known,
    )


def _mean(values: Sequence[float]) -> float:
    """Return the mean of those that are not nan, nan if all are."""
    there = [value for value in values if value == value]
    return float(np.mean(there)) if there else float("nan")


def _iou(pair: tuple[int, int]) -> float:
    """Return the IoU of (intersection, union); 0 where there is nothing to find."""
    return pair[0] / pair[1] if pair[1] else 0.0
