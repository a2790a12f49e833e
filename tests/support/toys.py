"""Small models and in-memory data for tests of the machinery; worker processes import them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from isbench.types import (
    Click,
    Dataset,
    Game,
    Image,
    LoadedModel,
    Mask,
    ModelCard,
    Prediction,
    Sample,
    Trajectory,
    Turn,
)


@dataclass(frozen=True)
class Disks:
    """Draws a disk of its sign around every click, later ones on top: ten lines of model."""

    radius: int = 4

    def begin(self, image: Image) -> tuple[int, ...]:
        return image.shape[:2]

    def start(self, encoded: tuple[int, ...], initial: Mask | None) -> Mask:
        return np.zeros(encoded, bool) if initial is None else initial

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        return [self._answer(turn) for turn in turns]

    def _answer(self, turn: Turn) -> Prediction:
        mask = turn.state.copy()
        rows, cols = np.ogrid[: mask.shape[0], : mask.shape[1]]
        click = turn.clicks[-1]
        near = (rows - click.row) ** 2 + (cols - click.col) ** 2 <= self.radius**2
        mask[near] = click.positive
        return Prediction(mask, mask)


class Broken:
    """Answers as a given function does."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def begin(self, image: Image) -> Image:
        return image

    def start(self, encoded: Image, initial: Mask | None) -> Image:
        return encoded

    def predict(self, turns: Sequence[Turn]) -> Any:
        return self.answer(turns)


@dataclass(frozen=True)
class Deadly(Disks):
    """Kills its process at the objects of one image: `times` times in all, counted in a folder."""

    image_sum: int = 0
    times: int = 0
    folder: str = ""

    def begin(self, image: Image) -> tuple[int, ...]:
        if int(image.sum()) == self.image_sum and os.getpid() != int(
            Path(self.folder, "parent").read_text()
        ):
            died = len(list(Path(self.folder).glob("death*")))
            if died < self.times:
                Path(self.folder, f"death{died}").touch()
                os._exit(7)
        return super().begin(image)


class Learner:
    """Adaptive: its disks grow with every object it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def begin(self, image: Image) -> tuple[int, ...]:
        return image.shape[:2]

    def start(self, encoded: tuple[int, ...], initial: Mask | None) -> tuple[Any, Disks]:
        self.seen += 1
        return np.zeros(encoded, bool), Disks(1 + self.seen)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        answers = []
        for (mask, disks), clicks in turns:
            answer = disks.predict([Turn(mask, clicks)])[0]
            answers.append(Prediction(answer.mask, (answer.mask, disks)))
        return answers


def wrong_shape(turns: Sequence[Turn]) -> list[Prediction]:
    return [Prediction(np.zeros((3, 3), bool), None) for _ in turns]


def wrong_dtype(turns: Sequence[Turn]) -> list[Prediction]:
    return [Prediction(np.zeros(turn.state.shape[:2], np.uint8), None) for turn in turns]


def too_few(turns: Sequence[Turn]) -> list[Prediction]:
    return []


def no_prediction(turns: Sequence[Turn]) -> list[Any]:
    return [np.zeros(turn.state.shape[:2], bool) for turn in turns]


def refuse_to_build() -> Broken:
    raise ZeroDivisionError("one divided by zero")


def raise_error(turns: Sequence[Turn]) -> list[Prediction]:
    raise ZeroDivisionError("one divided by zero")


card = ModelCard(name="disks", build=Disks, options={"radius": 4})
model = LoadedModel(card, card.options)
deadly = ModelCard(name="deadly", build=Deadly)
learner = ModelCard(name="learner", build=Learner, adaptive=True)
shape_card = ModelCard(name="wrong-shape", build=lambda: Broken(wrong_shape))
dtype_card = ModelCard(name="wrong-dtype", build=lambda: Broken(wrong_dtype))
few_card = ModelCard(name="too-few", build=lambda: Broken(too_few))
bare_card = ModelCard(name="no-prediction", build=lambda: Broken(no_prediction))
raising_card = ModelCard(name="raising", build=lambda: Broken(raise_error))
unbuildable = ModelCard(name="unbuildable", build=refuse_to_build)
not_a_card = 3


def blob(number: int) -> Sample:
    """Return one of any number of small objects, three an image."""
    image = np.random.default_rng(number // 3).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    rng = np.random.default_rng([7, number])
    rows, cols = np.ogrid[:20, :30]
    row, col, height, width = rng.integers([4, 5, 3, 3], [16, 25, 8, 12])
    truth = ((rows - row) / height) ** 2 + ((cols - col) / width) ** 2 <= 1
    ignore = rng.random((20, 30)) < 0.03
    return Sample(f"image{number // 3:03d}#{number % 3}", image, truth & ~ignore, ignore)


def load_blob(key: str) -> Sample:
    image, _, number = key.removeprefix("image").partition("#")
    return blob(3 * int(image) + int(number))


def blobs(count: int) -> Dataset:
    """Return a data set made in memory, picklable."""
    return Dataset("blobs", tuple(blob(number).key for number in range(count)), load_blob)


def load_empty_blob(key: str) -> Sample:
    """Return an object without a scored pixel."""
    sample = load_blob(key)
    return replace(sample, truth=np.zeros_like(sample.truth))


def empty_blobs(count: int) -> Dataset:
    """Return objects without a scored pixel, picklable."""
    return replace(blobs(count), load=load_empty_blob)


def trajectory(key: str, ious: Sequence[float], scale: int = 1000) -> Trajectory:
    """Return a trajectory that has these IoUs, its clicks made up."""
    from isbench.types import Click

    clicks = tuple(Click(k, k, k % 2 == 0) for k in range(len(ious)))
    return Trajectory(key, clicks, tuple((round(scale * iou), scale) for iou in ious))


GATE, GATE_AT = "ISBENCH_TEST_GATE", "ISBENCH_TEST_GATE_AT"


@dataclass(frozen=True)
class Gated(Disks):
    """Stops before an answer as long as the file is there that the environment names.

    So a run is as far as a test wants it, on a slow machine as on a fast one.
    """

    answers: list[int] = field(default_factory=lambda: [0])  # given in this process

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        gate, at = os.environ.get(GATE, ""), int(os.environ.get(GATE_AT, "40"))
        while self.answers[0] >= at and gate and Path(gate).exists() and not _is_orphan():
            time.sleep(0.005)
        self.answers[0] += len(turns)
        return super().predict(turns)


def _is_orphan() -> bool:
    """Whether this is a worker whose run was killed: it must not wait for ever."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


gated_card = ModelCard(name="gated", build=Gated)


def stillborn(folder: str, times: int = 99, radius: int = 4) -> Disks:
    """Kill the process that builds it, but the test's own, until so many were killed."""
    deaths = len(list(Path(folder).glob("death*")))
    if deaths < times and os.getpid() != int(Path(folder, "parent").read_text()):
        Path(folder, f"death{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Disks(radius)


def refuse(folder: str) -> Disks:
    """Raise an error in any process but the test's own."""
    if os.getpid() != int(Path(folder, "parent").read_text()):
        raise ZeroDivisionError("no worker today")
    return Disks()


lambda_card = ModelCard(name="by-lambda", build=lambda: Disks(3))


@dataclass(frozen=True)
class NumberedJob:
    """Plays games of one click, in the row of the worker's number; the first worker dies."""

    folder: Path
    on_gpu = False
    built = None

    def build(self, worker: int = -1) -> int:  # the calling process has no number
        return worker

    def play(
        self, worker: int, keys: Sequence[str], after_click: Callable[[], None] = lambda: None
    ) -> Iterator[Game]:
        for key in keys:
            time.sleep(0.02)
            after_click()
            if key == "3" and not (self.folder / "dead").exists():
                (self.folder / "dead").write_text(str(worker))
                os._exit(7)
            yield Game(Trajectory(key, (Click(worker, 0, True),), ((1, 1),)), ())
