"""The masks of recorded games: saved with the run, or recomputed with the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol, TypeVar

from isbench.datasets.loading import load_sample
from isbench.evaluation.replay import (
    check_data,
    model_from_spec,
    open_predictor,
    replay_masks,
)
from isbench.metrics import count_overlap
from isbench.metrics.boundary import boundary_iou
from isbench.models.registry import NONE_TRUSTED, Trusted
from isbench.storage import saved_masks
from isbench.storage.masks import decode_rle
from isbench.storage.store import Run
from isbench.types import Dataset, Mask, Predictor, Sample, Trajectory

T = TypeVar("T")


class Track(Protocol):
    """Shows the progress of something that takes long."""

    def __call__(self, things: Iterable[T], total: int, label: str) -> Iterable[T]:
        """Return the things, and show how many of the `total` were taken."""


def track_silently(things: Iterable[T], total: int, label: str) -> Iterable[T]:
    """Return the things and show nothing."""
    return things


class RecordedMasks(NamedTuple):
    """A recorded game and the mask after each of its clicks."""

    sample: Sample
    game: Trajectory
    masks: tuple[Mask, ...]
    exact: bool  # every mask has the recorded overlap

    @property
    def boundary(self) -> tuple[float, ...]:
        """Return the boundary IoU after each click, nan if there is no outline."""
        truth, ignore = self.sample.truth, self.sample.ignore
        return tuple(boundary_iou(mask, truth, ignore) for mask in self.masks)


def recompute_masks(
    run: Run,
    dataset: Dataset,
    keys: Sequence[str],
    max_clicks: int,
    trusted: Trusted = NONE_TRUSTED,
) -> Iterator[RecordedMasks]:
    """Yield the games of these objects with masks, up to `max_clicks`, in the order of `keys`.

    The model is built at the first game without saved masks; it is an installed one, or one of
    `trusted` (see `load_recorded_card`). Raises IsbenchError if the data is not that of the run, or
    if the model or its weights are missing.
    """
    check_data(run.spec, dataset)
    saved = saved_masks.read(run.path, set(keys))
    games = {
        game.key: Trajectory(game.key, game.clicks[:max_clicks], game.overlap[:max_clicks])
        for game in run.trajectories
    }
    with ExitStack() as stack:
        predictor: Predictor | None = None
        for key in keys:
            game, sample = games[key], load_sample(dataset, key)
            masks = _decode(saved.get(key, ())[: len(game.clicks)], sample.truth.shape)
            if len(masks) != len(game.clicks):
                predictor = predictor or stack.enter_context(
                    open_predictor(model_from_spec(run.spec, trusted))
                )
                masks = tuple(replay_masks(predictor, sample, game.clicks))
            exact = (
                tuple(count_overlap(mask, sample.truth, sample.ignore) for mask in masks)
                == game.overlap
            )
            yield RecordedMasks(sample, game, masks, exact)


def _decode(encoded: Sequence[Mapping[str, Any]], shape: tuple[int, ...]) -> tuple[Mask, ...]:
    """Return saved masks; none if one is broken or of another size than its image."""
    try:
        if any(tuple(one["size"]) != shape for one in encoded):
            return ()
        return tuple(map(decode_rle, encoded))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return ()
