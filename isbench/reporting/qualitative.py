"""Examples where two runs differ most: an object, and each model's mask after the same clicks.

The clicks are those of the first run; with its own clicks, the second model would have another
task. Both models are built and replayed for the masks. Not here: drawing the examples (`plots`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.loading import load_sample
from isbench.errors import IsbenchError
from isbench.evaluation.replay import (
    check_data,
    model_from_spec,
    open_predictor,
    replay_masks,
)
from isbench.evaluation.replay_check import count_shared_clicks
from isbench.metrics import count_overlap
from isbench.metrics.boundary import compute_boundary_iou
from isbench.models.predictor import build_predictor
from isbench.models.registry import NONE_TRUSTED, Trusted
from isbench.reporting.compare import make_title
from isbench.reporting.labels import NO_LABELS, format_count, make_labels
from isbench.reporting.run_datasets import load_dataset_of
from isbench.storage.store import Run
from isbench.types import Click, Dataset, Image, LoadedModel, Mask, Sample, Trajectory


class Side(NamedTuple):
    """A model's answer in an example."""

    label: str
    mask: Mask
    iou: float
    boundary_iou: float
    exact: bool  # all masks up to here have the overlap that was recorded after these clicks


class QualitativeExample(NamedTuple):
    """An object and two answers to the same clicks."""

    key: str
    image: Image
    truth: Mask
    clicks: tuple[Click, ...]
    sides: tuple[Side, ...]


class Average(NamedTuple):
    """A model's mean figures over the examples."""

    label: str
    iou: float
    boundary_iou: float  # over the objects that have one, nan if none has


class Pair(NamedTuple):
    """The games of two runs on an object, and the distance of their IoU after `clicks` clicks."""

    games: tuple[Trajectory, ...]
    clicks: int
    distance: float

    @property
    def shared_clicks(self) -> tuple[Click, ...]:
        """Return the clicks that both models get: those of the first game."""
        return self.games[0].clicks[: self.clicks]


def make_examples(
    runs: Sequence[Run],
    dataset: Dataset,
    max_clicks: int,
    count: int,
    labels: Mapping[str, str] = NO_LABELS,
    trusted: Trusted = NONE_TRUSTED,
) -> Iterator[QualitativeExample]:
    """Yield the examples of the `count` objects where the IoU of two runs differs most.

    The recorded IoU is compared after `max_clicks` clicks, or as many as both games have. An
    example shows the answers of both models to these clicks of the first run. `trusted` holds
    models that are not installed (see `load_trusted_cards`). Raises IsbenchError unless there are
    two runs over exactly this data, or if a model is missing.
    """
    check_pair(runs, dataset)
    chosen = rank_by_distance(runs, max_clicks)[:count]
    samples = [load_sample(dataset, pair.games[0].key) for pair in chosen]
    sides = []
    for number, (run, label) in enumerate(zip(runs, make_labels(runs, labels), strict=True)):
        answers = _answer_pairs(model_from_spec(run.spec, trusted), chosen, samples)
        sides.append(
            [
                _make_side(label, sample, _take_recorded_overlap(pair, number), masks)
                for pair, sample, masks in zip(chosen, samples, answers, strict=True)
            ]
        )
    for pair, sample, *both in zip(chosen, samples, *sides, strict=True):
        yield QualitativeExample(
            sample.key, sample.image, sample.truth, pair.shared_clicks, tuple(both)
        )


def load_examples(
    runs: Sequence[Run],
    max_clicks: int,
    count: int,
    data: Path | None = None,
    labels: Mapping[str, str] = NO_LABELS,
    place: str | None = None,
    trusted: Trusted = NONE_TRUSTED,
) -> Iterator[QualitativeExample]:
    """Yield the examples of two runs like `make_examples`, over the data set that both name."""
    names = sorted({run.spec.dataset for run in runs})
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise IsbenchError(f"pictures show two runs over one data set, not {found}; name two")
    dataset = load_dataset_of(runs[0], data, place)
    yield from make_examples(runs, dataset, max_clicks, count, labels=labels, trusted=trusted)


def average_examples(found: Sequence[QualitativeExample]) -> list[Average]:
    """Return each model's mean figures over the examples."""
    return [
        Average(
            sides[0].label,
            float(np.mean([side.iou for side in sides])),
            _compute_mean([side.boundary_iou for side in sides]),
        )
        for sides in zip(*(example.sides for example in found), strict=True)
    ]


def make_caption(found: Sequence[QualitativeExample]) -> str:
    """Return a caption of two lines: what the examples show, and the mean figures of each model."""
    averages = average_examples(found)
    figures = "; ".join(
        f"{one.label} IoU {one.iou:.3f}, boundary IoU {one.boundary_iou:.3f}" for one in averages
    )
    return (
        f"Every model after the same clicks, those recorded for {averages[0].label}\n"
        f"mean over {format_count(len(found), 'object')}: {figures}"
    )


def check_pair(runs: Sequence[Run], dataset: Dataset) -> None:
    """Raise IsbenchError unless there are two runs, over the same objects of exactly this data."""
    if len(runs) != 2:
        raise IsbenchError(f"pictures compare two runs; {len(runs)} named: name two")
    a, b = runs
    content = fingerprint(dataset)
    for run in runs:
        check_data(run.spec, dataset, content)
    if a.spec.keys != b.spec.keys:
        raise IsbenchError(
            f"runs {make_title(a)} and {make_title(b)} have different objects; wanted the same"
        )


def rank_by_distance(runs: Sequence[Run], max_clicks: int) -> list[Pair]:
    """Return the pairs of games in order of IoU distance, largest first; ties in order of key."""
    pairs = []
    for games in zip(*(run.trajectories for run in runs), strict=True):
        clicks = min(max_clicks, *(len(game.clicks) for game in games))
        a, b = (_compute_iou(game.overlap[clicks - 1]) for game in games)
        pairs.append(Pair(games, clicks, abs(a - b)))
    return sorted(pairs, key=lambda pair: (-pair.distance, pair.games[0].key))


def _answer_pairs(
    model: LoadedModel, pairs: Sequence[Pair], samples: Sequence[Sample]
) -> list[list[Mask]]:
    """Return a model's masks after each of the shared clicks of each pair.

    An adaptive model is built again for each object, so that it learns from no other one.
    """
    answers = []
    with open_predictor(model) as predictor:
        for pair, sample in zip(pairs, samples, strict=True):
            alone = build_predictor(model) if model.card.adaptive else predictor
            answers.append(list(replay_masks(alone, sample, pair.shared_clicks)))
    return answers


def _take_recorded_overlap(pair: Pair, number: int) -> tuple[tuple[int, int], ...]:
    """Return the overlap that a run recorded after the clicks of the pair, as far as it got them.

    For the first run these are all clicks; for the second, those before its own clicks differ.
    """
    game = pair.games[number]
    return game.overlap[: count_shared_clicks(game.clicks, pair.shared_clicks)]


def _make_side(
    label: str, sample: Sample, recorded: tuple[tuple[int, int], ...], masks: Sequence[Mask]
) -> Side:
    """Return the side of a model with these answers; it shows the last one."""
    overlap = tuple(count_overlap(mask, sample.truth, sample.ignore) for mask in masks)
    return Side(
        label,
        masks[-1],
        _compute_iou(overlap[-1]),
        compute_boundary_iou(masks[-1], sample.truth, sample.ignore),
        overlap[: len(recorded)] == recorded,
    )


def _compute_mean(values: Sequence[float]) -> float:
    """Return the mean without nan values, nan if there are no others."""
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")


def _compute_iou(pair: tuple[int, int]) -> float:
    """Return the IoU of (intersection, union); 0 for an empty union."""
    return pair[0] / pair[1] if pair[1] else 0.0
