"""The masks of recorded games: saved with the run, or recomputed with the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from isbench.datasets.loading import load_sample
from isbench.evaluation.replay import (
    check_data,
    model_from_spec,
    open_predictor,
    replay_masks,
)
from isbench.metrics import count_overlap
from isbench.metrics.boundary import compute_boundary_iou
from isbench.models.registry import NONE_TRUSTED, Trusted
from isbench.storage import saved_masks
from isbench.storage.masks import decode_rle, encode_rle
from isbench.storage.store import Run
from isbench.types import Click, Dataset, Mask, Predictor, Sample, Trajectory

T = TypeVar("T")
# from an object and its clicks to the mask after each of them
_Replay: TypeAlias = Callable[[Sample, Sequence[Click]], tuple[Mask, ...]]


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
        return tuple(compute_boundary_iou(mask, truth, ignore) for mask in self.masks)


def recompute_masks(
    run: Run,
    dataset: Dataset,
    keys: Sequence[str],
    max_clicks: int,
    trusted: Trusted = NONE_TRUSTED,
) -> Iterator[RecordedMasks]:
    """Yield the games of these objects with masks, up to `max_clicks`, in the order of `keys`.

    The model is built at the first game without saved masks; it is an installed one, or one of
    `trusted` (see `load_recorded_card`). An adaptive one then plays all games before it again, and
    those of all `keys`. Raises IsbenchError if the data is not that of the run, or if the model or
    its weights are missing.
    """
    check_data(run.spec, dataset)
    saved = saved_masks.read(run.path, set(keys))
    games = {
        game.key: Trajectory(game.key, game.clicks[:max_clicks], game.overlap[:max_clicks])
        for game in run.trajectories
    }
    with ExitStack() as stack:
        replay: _Replay | None = None
        for key in keys:
            game, sample = games[key], load_sample(dataset, key)
            masks = _decode(saved.get(key, ())[: len(game.clicks)], sample.truth.shape)
            if len(masks) != len(game.clicks):
                if replay is None:
                    model = model_from_spec(run.spec, trusted)
                    predictor = stack.enter_context(open_predictor(model))
                    replay = partial(_replay_alone, predictor)
                    if model.card.adaptive:
                        replay = _replay_in_order(predictor, run, dataset, keys)
                masks = replay(sample, game.clicks)
            exact = (
                tuple(count_overlap(mask, sample.truth, sample.ignore) for mask in masks)
                == game.overlap
            )
            yield RecordedMasks(sample, game, masks, exact)


def _replay_alone(
    predictor: Predictor, sample: Sample, clicks: Sequence[Click]
) -> tuple[Mask, ...]:
    return tuple(replay_masks(predictor, sample, clicks))


def _replay_in_order(
    predictor: Predictor, run: Run, dataset: Dataset, keys: Sequence[str]
) -> _Replay:
    """Replay whole games in the order of the data set, in which the run was played.

    Returns what takes the masks of one of `keys` from them; they are kept as run lengths.
    """
    games = {game.key: game for game in run.trajectories}
    missing, found = set(keys), {}
    for key in dataset.keys:
        if not missing:
            break
        masks = replay_masks(predictor, load_sample(dataset, key), games[key].clicks)
        found[key] = [encode_rle(mask) for mask in masks]
        missing.discard(key)
    return lambda sample, clicks: tuple(map(decode_rle, found[sample.key][: len(clicks)]))


def _decode(encoded: Sequence[Mapping[str, Any]], shape: tuple[int, ...]) -> tuple[Mask, ...]:
    """Return saved masks; none if one is broken or of another size than its image."""
    try:
        if any(tuple(one["size"]) != shape for one in encoded):
            return ()
        return tuple(map(decode_rle, encoded))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return ()
