"""A job: a loaded model, a data set and rules, sent to the process that plays the objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from isbench.datasets.image_io import record_reads
from isbench.datasets.loading import load_sample
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation import engine
from isbench.evaluation.encoding_cache import cache_encodings, check_packing, take_notes
from isbench.evaluation.repetition import RepeatedTurns
from isbench.evaluation.session import PredictorSession
from isbench.models.predictor import BuiltModel, build_model
from isbench.models.registry import load_card
from isbench.types import (
    Dataset,
    Game,
    LoadedModel,
    ModelCard,
    Predictor,
    Rules,
    Runtime,
    Sample,
    Scalar,
)

THREADS = 1  # OpenCV threads per process; recorded, since some models' masks depend on it
BATCH = 8  # objects per batch on a GPU


@dataclass(frozen=True)
class Job:
    """What to play: a worker builds the predictor once, then plays objects by key.

    A card found by name is pickled as its name, since its builder may not be picklable.
    """

    model: LoadedModel
    dataset: Dataset
    rules: Rules
    files: Mapping[Path, str]  # sha256 of each file at the start of the run
    save_masks: bool = False
    repeated: str = ""  # the object whose first turns are asked again; "": none
    cache: Path | None = None  # the folder in which encodings of images are kept; None: nowhere
    # built by this process already, for games that it plays itself; not sent to workers
    built: BuiltModel | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        card = self.model.card.place or self.model.card
        settings = self.model.options, self.model.runtime
        rest = self.dataset, self.rules, self.files, self.save_masks, self.repeated, self.cache
        return _rebuild_job, (card, settings, *rest)

    def build(self, worker: int = 0) -> Predictor:
        """Return the predictor of this process, built if it is not there yet.

        `worker`, from 0, selects the GPU if several.
        """
        if self.model.runtime is not None:
            # imports torch, so only for networks
            from isbench.nn.runtime.compute import assign_device

            assign_device(self.model.runtime.device, worker)
        with opencv_threads():
            predictor = (self.built or build_model(self.model)).predictor
        if self.cache is None:
            return predictor
        return cache_encodings(predictor, self.model, self.cache)

    def play(
        self,
        predictor: Predictor,
        keys: Sequence[str],
        after_click: Callable[[], None] | None = None,
    ) -> Iterator[Game]:
        """Play objects with a predictor that `build` returned; yield games as they finish.

        `after_click` is called after each click of games that are played one after the other.
        """
        samples = map(self._load, keys)
        # seconds are measured without batches only, and with them threads use the predictor
        later = self.batch == 1
        player = RepeatedTurns(predictor, later) if self.repeated in keys else predictor
        with opencv_threads(), name_model_in_errors(self.model.name):
            games = engine.play(
                player, samples, self.rules, self.batch, self.save_masks, after_click
            )
            for game in games:
                again = self._ask_again(player, game.trajectory.key)
                notes = [*take_notes(predictor), *([again] if again else [])]
                yield game._replace(note="; ".join(notes), facts=self._ask_facts(predictor))

    def _ask_facts(self, predictor: Predictor) -> Mapping[str, Scalar] | None:
        """Return what an adaptive predictor states about itself, None for others."""
        facts = getattr(predictor, "facts", None)
        return dict(facts()) if self.model.card.adaptive and callable(facts) else None

    def _ask_again(self, player: Predictor, key: str) -> str:
        """Return a note if the first turns of the run's first object get other masks now."""
        if key != self.repeated or not isinstance(player, RepeatedTurns):
            return ""
        differing = player.count_differences(key)
        if not differing:
            return ""
        return (
            f"model {self.model.name} answers the same turn differently each time: the masks of "
            f"the first clicks on object {key} changed at {differing} pixels when they were asked "
            "again, so its games cannot be repeated; seed its random numbers in `predict`, and see "
            "isbench.testing.check_predictor"
        )

    @property
    def batch(self) -> int:
        """Return the number of objects per batch; an adaptive model gets one after the other."""
        return BATCH if self.on_gpu and not self.model.card.adaptive else 1

    @property
    def on_gpu(self) -> bool:
        """Return whether the model has networks that are computed on a GPU."""
        return self.model.runtime is not None and self.model.runtime.device != "cpu"

    def _load(self, key: str) -> Sample:
        """Load an object; raises IsbenchError if its files changed since the run began."""
        with record_reads() as digests:
            sample = load_sample(self.dataset, key)
        for path, digest in digests.items():
            if self.files.get(path, digest) != digest:
                raise IsbenchError(
                    f"{path} changed after the run began; nothing was played on it: restore it and "
                    "run the same command again, or start a new run on the changed data"
                )
        return sample


def _rebuild_job(
    card: ModelCard | str, settings: tuple[Mapping[str, Scalar], Runtime | None], *rest: Any
) -> Job:
    """Return the unpickled job."""
    card = load_card(card) if isinstance(card, str) else card
    return Job(LoadedModel(card, *settings), *rest)


def check_model(built: BuiltModel, cache: bool = False) -> None:
    """Predict once with a model's network, so that its errors appear before a run starts.

    Raises PredictorError for an invalid prediction, and with `cache` IsbenchError for a model whose
    encodings cannot be kept.
    """
    model, predictor = built.model, built.predictor
    if cache:
        check_packing(model, predictor)
    if model.runtime is not None:
        try_model(model.name, PredictorSession(predictor))


def try_model(name: str, session: PredictorSession) -> None:
    """Predict once on a small image; raises PredictorError, with the model's name, if it fails."""
    with name_model_in_errors(name):
        session.try_click("of the trial", np.zeros((64, 64, 3), np.uint8))


@contextmanager
def name_model_in_errors(model: str) -> Iterator[None]:
    """Prefix PredictorErrors with the model's name."""
    try:
        yield
    except PredictorError as error:
        named = PredictorError(f"model {model}: {error}")
        named.details = error.details
        raise named from error


@contextmanager
def opencv_threads(count: int = THREADS) -> Iterator[None]:
    """Set OpenCV's number of threads inside the `with` block, by default to that of runs."""
    previous = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(previous)
