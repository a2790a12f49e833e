"""Objects to play: a loaded model, a data set and rules, sent to whichever process plays them."""

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

THREADS = 1  # of OpenCV in each process; recorded, since some models' masks depend on it
BATCH = 8  # objects played side by side where there is a GPU to be kept busy


@dataclass(frozen=True)
class Job:
    """What is played; when called, it builds the predictor and returns a function that plays keys.

    A card that was found by name goes to a worker as its name, since what it builds may not be
    picklable.
    """

    model: Model
    dataset: Dataset
    rules: Rules
    files: Mapping[Path, str]  # sha256 of each when the run began
    save_masks: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        card = self.model.place or self.model
        chosen = self.model.options, self.model.runtime
        return _rebuild_job, (card, chosen, self.dataset, self.rules, self.files, self.save_masks)

    def __call__(self) -> Play:
        """Build the predictor in this process and return how to play keys with it."""
        cv2.setNumThreads(THREADS)
        if self.model.runtime is not None:
            from isbench.nn.runtime.compute import (
                assign_device,  # torch, which only networks wait for
            )

            assign_device(self.model.runtime.device, processes.worker_number())
        predictor = build_predictor(self.model)
        return lambda keys: self._games(predictor, keys)

    @property
    def batch(self) -> int:
        """How many objects are played side by side."""
        runtime = self.model.runtime
        return 1 if runtime is None or runtime.device == "cpu" else BATCH

    def _games(self, predictor: Predictor, keys: Sequence[str]) -> Iterator[Game]:
        with name_model_in_errors(self.model.name):
            samples = map(self._load, keys)
            yield from play(predictor, samples, self.rules, self.batch, self.save_masks)

    def _load(self, key: str) -> Sample:
        """Return an object, once sure that its files are what the run's fingerprint says."""
        with record_reads() as seen:
            sample = self.dataset.load(key)
        for path, digest in seen.items():
            if self.files.get(path, digest) != digest:
                raise IsbenchError(
                    f"{path} changed after the run began; nothing was played on it: restore it and "
                    "run the same command, or run it on the data as they are now, as another run"
                )
        return sample


def _rebuild_job(
    card: Model | str, chosen: tuple[Mapping[str, Scalar], Runtime | None], *rest: Any
) -> Job:
    """Return the job that a worker was sent."""
    model = load_model(card) if isinstance(card, str) else card
    options, runtime = chosen
    return Job(replace(model, options=options, runtime=runtime), *rest)


def build_predictor(model: Model) -> Predictor:
    """Return the model's predictor; raises IsbenchError when its options or libraries do not do."""
    try:
        if model.runtime is not None:
            return model.build(**model.options, runtime=model.runtime)
        return model.build(**model.options)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything
        options = ", ".join(f"{key}={value}" for key, value in model.options.items()) or "none"
        raise IsbenchError(
            f"model {model.name} cannot be built (options: {options}): "
            f"{type(error).__name__}: {error}"
        ) from error


def check_model(model: Model) -> None:
    """Build a network and let it answer once, so that what is wrong with it is known at the start.

    Raises IsbenchError for weights that do not fit, PredictorError for an answer that is none.
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
    """Put the model's name before what a predictor did wrong."""
    try:
        yield
    except PredictorError as error:
        named = PredictorError(f"model {model}: {error}")
        named.details = error.details
        raise named from error


@contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """Let OpenCV use so many threads inside."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
