"""A job: a loaded model, a data set and rules, sent to the process that plays the objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from isbench.datasets.image_io import record_reads
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.engine import check_answers, play
from isbench.evaluation.executors import processes
from isbench.evaluation.executors.processes import Play
from isbench.models.registry import load_model
from isbench.types import (
    Click,
    Dataset,
    Game,
    Model,
    Predictor,
    Rules,
    Runtime,
    Sample,
    Scalar,
    Turn,
)

THREADS = 1  # OpenCV threads per process; recorded, since some models' masks depend on it
BATCH = 8  # objects per batch on a GPU


@dataclass(frozen=True)
class Job:
    """What to play; calling it builds the predictor and returns a function that plays keys.

    A card found by name is pickled as its name, since its builder may not be picklable.
    """

    model: Model
    dataset: Dataset
    rules: Rules
    files: Mapping[Path, str]  # sha256 of each file at the start of the run
    save_masks: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        card = self.model.place or self.model
        settings = self.model.options, self.model.runtime
        return _rebuild_job, (card, settings, self.dataset, self.rules, self.files, self.save_masks)

    def __call__(self) -> Play:
        """Build the predictor in this process and return a function that plays keys with it."""
        if self.model.runtime is not None:
            # imports torch, so only for networks
            from isbench.nn.runtime.compute import assign_device

            assign_device(self.model.runtime.device, processes.worker_number())
        with opencv_threads():
            predictor = build_predictor(self.model)
        return lambda keys: self._games(predictor, keys)

    @property
    def batch(self) -> int:
        """Return the number of objects per batch."""
        runtime = self.model.runtime
        return 1 if runtime is None or runtime.device == "cpu" else BATCH

    def _games(self, predictor: Predictor, keys: Sequence[str]) -> Iterator[Game]:
        with opencv_threads(), name_model_in_errors(self.model.name):
            samples = map(self._load, keys)
            yield from play(predictor, samples, self.rules, self.batch, self.save_masks)

    def _load(self, key: str) -> Sample:
        """Load an object; raises IsbenchError if its files changed since the run began."""
        with record_reads() as digests:
            sample = self.dataset.load(key)
        for path, digest in digests.items():
            if self.files.get(path, digest) != digest:
                raise IsbenchError(
                    f"{path} changed after the run began; nothing was played on it: restore it and "
                    "run the same command again, or start a new run on the changed data"
                )
        return sample


def _rebuild_job(
    card: Model | str, settings: tuple[Mapping[str, Scalar], Runtime | None], *rest: Any
) -> Job:
    """Return the unpickled job."""
    model = load_model(card) if isinstance(card, str) else card
    options, runtime = settings
    return Job(replace(model, options=options, runtime=runtime), *rest)


def build_predictor(model: Model) -> Predictor:
    """Return the model's predictor; raises IsbenchError if it cannot be built."""
    try:
        if model.runtime is not None:
            return model.build(**model.options, runtime=model.runtime)
        return model.build(**model.options)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        options = ", ".join(f"{key}={value}" for key, value in model.options.items()) or "none"
        raise IsbenchError(
            f"model {model.name} cannot be built (options: {options}): "
            f"{type(error).__name__}: {error}"
        ) from error


def check_model(model: Model) -> None:
    """Build a model's network and predict once, so that its errors appear before a run starts.

    Raises IsbenchError for weights that do not fit, PredictorError for an invalid prediction.
    """
    if model.network is None:
        return
    predictor, side = build_predictor(model), 64
    state = predictor.start(predictor.begin(np.zeros((side, side, 3), np.uint8)), None)
    with name_model_in_errors(model.name):
        answers = predictor.predict([Turn(state, (Click(side // 2, side // 2, True),))])
        check_answers(answers, [("of the trial", (side, side))])


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
