"""The masks of recorded games: those saved beside the run, else the model's own, played again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from isbench.datasets.fingerprints import fingerprint
from isbench.errors import IsbenchError
from isbench.evaluation.replay import compute_overlap, model_from_spec, open_predictor, replay_masks
from isbench.metrics.boundary import boundary_iou
from isbench.storage import store
from isbench.storage.masks import decode_rle
from isbench.storage.store import Run
from isbench.types import Dataset, Mask, Predictor, Sample, Trajectory


class RecordedMasks(NamedTuple):
    """A recorded game and the mask after each of its clicks."""

    sample: Sample
    game: Trajectory
    masks: tuple[Mask, ...]
    exact: bool  # every mask has the overlap that was recorded

    @property
    def boundary(self) -> tuple[float, ...]:
        """Return the boundary IoU after each click, nan where there is no outline."""
        truth, ignore = self.sample.truth, self.sample.ignore
        return tuple(boundary_iou(mask, truth, ignore) for mask in self.masks)


def recompute_masks(
    run: Run, dataset: Dataset, keys: Sequence[str], max_clicks: int
) -> Iterator[RecordedMasks]:
    """Yield the games of these objects, up to so many clicks, with their masks, in the keys' order.

    The model is built at the first game without saved masks. Raises IsbenchError where the data are
    not those that were played, and for a model or weights that are not at hand.
    """
    check_data(run, dataset)
    saved = store.read_saved_masks(run.path)
    games = {
        game.key: Trajectory(game.key, game.clicks[:max_clicks], game.overlap[:max_clicks])
        for game in run.trajectories
    }
    with ExitStack() as stack:
        predictor: Predictor | None = None
        for key in keys:
            game, sample = games[key], dataset.load(key)
            kept = saved.get(key, ())[: len(game.clicks)]
            if len(kept) == len(game.clicks):
                found = tuple(map(decode_rle, kept))
            else:
                predictor = predictor or stack.enter_context(
                    open_predictor(model_from_spec(run.spec))
                )
                found = tuple(replay_masks(predictor, sample, game.clicks))
            exact = tuple(compute_overlap(mask, sample) for mask in found) == game.overlap
            yield RecordedMasks(sample, game, found, exact)


def check_data(run: Run, dataset: Dataset) -> None:
    """Raise IsbenchError unless the run was played on these very data."""
    if (run.spec.dataset, run.spec.fingerprint) != (dataset.name, fingerprint(dataset)):
        raise IsbenchError(
            f"run {store.spec_digest(run.spec)} was not played on the files of {run.spec.dataset} "
            "that are here; name their folder's parent by --data"
        )
