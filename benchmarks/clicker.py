"""Time the `centre` clicker against a straightforward one, on the turns of real games.

Plays DAVIS with a model, every game to its last click, keeps what the clicker was asked at each
turn, and answers each question again with every clicker, one after the other in this process, on
one OpenCV thread. The clicks must be the same: the exit code is 1 if one differs. The ratio of the
means has a target with GrabCut; it has none with `nearest`, whose errors lie all over the frame as
no segmenting model's do. Beside it stands the rule that compares OpenCV's floats as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.datasets import load_dataset
from isbench.evaluation.clicker import centre
from isbench.evaluation.engine import play
from isbench.models.registry import load_model
from isbench.types import (
    Click,
    Dataset,
    Encoded,
    Image,
    Mask,
    Model,
    Prediction,
    Predictor,
    Rules,
    State,
    Turn,
)

TARGET = 5.0  # how many times faster than the straightforward clicker, in the mean
NO_LOTS = np.random.default_rng(0)  # neither clicker draws any


class Question(NamedTuple):
    """What a clicker is asked; the masks are as in `Sample`."""

    mask: Mask
    truth: Mask
    ignore: Mask
    clicks: tuple[Click, ...]


class Recorder:
    """A predictor that keeps the answers of another."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.masks: list[Mask] = []

    def begin(self, image: Image) -> Encoded:
        """Ask the other."""
        return self.predictor.begin(image)

    def start(self, encoded: Encoded, initial: Mask | None) -> State:
        """Ask the other."""
        return self.predictor.start(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Ask the other and keep the masks."""
        answers = self.predictor.predict(turns)
        self.masks += [answer.mask for answer in answers]
        return answers


def questions(model: Model, dataset: Dataset, objects: int, clicks: int) -> Iterator[Question]:
    """Play `objects` evenly spaced objects of the set and yield what the clicker was asked."""
    rules = Rules(max_clicks=clicks, stop_iou=1.01)  # never reached: games are played through
    chosen = np.linspace(0, len(dataset.keys) - 1, min(objects, len(dataset.keys)), dtype=int)
    for place in chosen:
        sample = dataset.load(dataset.keys[place])
        recorder = Recorder(model.build(**model.options))
        (game,) = play(recorder, [sample], rules)
        before = [np.zeros_like(sample.truth), *recorder.masks]
        for seen, mask in enumerate(before[:-1]):
            yield Question(mask, sample.truth, sample.ignore, game.trajectory.clicks[:seen])


def depths(question: Question) -> list[NDArray[np.float32]]:
    """Return how deep each pixel is in the missing and in the false part, over the whole frame."""
    mask, truth, ignore, clicks = question
    frames = []
    for error in (truth & ~mask & ~ignore, ~truth & mask & ~ignore):
        padded = np.pad(error, 1).astype(np.uint8)
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        depth = np.asarray(distance, np.float32)[1:-1, 1:-1]
        for click in clicks:
            depth[click.row, click.col] = 0
        frames.append(depth)
    return frames


def squared(depth: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the depth as the exact integer that OpenCV's float stands for."""
    return np.rint(np.square(depth, dtype=np.float64)).astype(np.int64)


def chosen(missing: NDArray[np.generic], false: NDArray[np.generic]) -> Click:
    """Return the click of the protocol's rule, with the numbers compared as they are."""
    positive = bool(missing.max() > false.max())
    deepest = missing if positive else false
    row, col = np.unravel_index(int(deepest.argmax()), deepest.shape)
    return Click(int(row), int(col), positive)


def straightforward(question: Question) -> Click:
    """Return the protocol's click, written down as the protocol states it."""
    missing, false = depths(question)
    return chosen(squared(missing), squared(false))


def by_floats(question: Question) -> Click:
    """Return the click of the rule before there were integers: noise decides between ties."""
    return chosen(*depths(question))


def ours(question: Question) -> Click:
    """Return the package's click."""
    return centre(*question, NO_LOTS)


CLICKERS = (ours, straightforward, by_floats)


@dataclass
class Tally:
    """What is added up over a model's turns."""

    turns: int = 0
    differing: int = 0  # clicks of ours that are not the straightforward ones
    unstable: int = 0  # clicks by floats that are not
    ties: int = 0  # of those, between exactly equal depths
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, question: Question) -> None:
        """Answer one question with every clicker, each turn beginning with another."""
        clicks = {}
        first = self.turns % len(CLICKERS)
        for clicker in CLICKERS[first:] + CLICKERS[:first]:
            started = perf_counter()
            clicks[clicker] = clicker(question)
            self.seconds[clicker.__name__] += perf_counter() - started
        self.turns += 1
        right = clicks[straightforward]
        self.differing += clicks[ours] != right
        if clicks[by_floats] != right:
            self.unstable += 1
            self.ties += tied(clicks[by_floats], right, question)

    def ratio(self, clicker: str) -> float:
        """Return how many times longer than ours a clicker takes, in the mean."""
        return self.seconds[clicker] / self.seconds["ours"]

    def report(self, model: str) -> str:
        """Return the lines to print."""
        mean = {name: 1000 * seconds / self.turns for name, seconds in self.seconds.items()}
        return (
            f"{model}, {self.turns} turns\n"
            f"  isbench.clicker.centre  {mean['ours']:7.3f} ms\n"
            f"  straightforward         {mean['straightforward']:7.3f} ms, ratio "
            f"{self.ratio('straightforward'):.2f}, {self.differing} clicks differ\n"
            f"  raw floats compared     {mean['by_floats']:7.3f} ms, ratio "
            f"{self.ratio('by_floats'):.2f}, {self.unstable} clicks differ, "
            f"{self.ties} of them exact ties"
        )


def tied(one: Click, other: Click, question: Question) -> bool:
    """Whether the pixels of two clicks are equally deep, each in the part that its sign names."""
    missing, false = (squared(depth) for depth in depths(question))
    first, second = (
        (missing if click.positive else false)[click.row, click.col] for click in (one, other)
    )
    return bool(first == second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data sets, else ISBENCH_DATA")
    parser.add_argument("--objects", type=int, default=40)
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    dataset = load_dataset("davis", options.data)
    tallies = {}
    for name in ("grabcut", "nearest"):
        tally = tallies[name] = Tally()
        for question in questions(load_model(name), dataset, options.objects, options.clicks):
            tally.add(question)
        print(tally.report(name), flush=True)
    reached = tallies["grabcut"].ratio("straightforward") >= TARGET
    print(f"target: ratio {TARGET} with grabcut, {'reached' if reached else 'not reached'}")
    sys.exit(any(tally.differing for tally in tallies.values()))


if __name__ == "__main__":
    main()
