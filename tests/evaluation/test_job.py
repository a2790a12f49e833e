"""A job sets up the process that plays it, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import pytest

from isbench.evaluation.job import BATCH, THREADS, Job
from isbench.evaluation.replay import open_predictor
from isbench.types import LoadedModel, ModelCard, Prediction, Rules, Runtime, Turn
from tests.support import toys


@pytest.fixture
def seen() -> Iterator[list[int]]:
    """Let OpenCV use three threads; return a list of those that a model sees."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield []
    cv2.setNumThreads(before)


def make_listener(seen: list[int]) -> LoadedModel:
    class Listening(toys.Disks):
        def __init__(self, radius: int) -> None:
            seen.append(cv2.getNumThreads())
            super().__init__(radius)

        def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
            seen.append(cv2.getNumThreads())
            return super().predict(turns)

    return replace(toys.model, card=replace(toys.card, build=Listening))


def test_opencv_has_the_threads_of_runs_only_while_a_model_is_built_or_plays(
    seen: list[int],
) -> None:
    data = toys.blobs(2)
    job = Job(make_listener(seen), data, Rules(3, 1.01), files={})
    predictor = job.build()
    assert cv2.getNumThreads() == 3
    assert len(list(job.play(predictor, data.keys))) == 2
    assert cv2.getNumThreads() == 3
    assert set(seen) == {THREADS}
    assert len(seen) == 1 + 2 * 3


def test_a_replay_has_the_threads_of_runs(seen: list[int]) -> None:
    with open_predictor(make_listener(seen)):
        seen.append(cv2.getNumThreads())
    assert seen == [THREADS, THREADS]
    assert cv2.getNumThreads() == 3


@pytest.mark.parametrize(("card", "batch"), [(toys.card, BATCH), (toys.learner, 1)])
def test_an_adaptive_model_gets_one_object_at_a_time_on_a_gpu_too(
    card: ModelCard, batch: int
) -> None:
    model = LoadedModel(card, card.options, Runtime(device="cuda"))
    assert Job(model, toys.blobs(2), Rules(), files={}).batch == batch
