"""Time the `centre` clicker against a straightforward implementation, on the turns of real games.

Plays DAVIS with a model, every game to its last click, records the clicker's inputs at each turn,
and runs every clicker on them again, one after the other in this process, on one OpenCV thread. The
clicks must be equal: the exit code is 1 if one differs. The ratio of the mean times has a target
with GrabCut, but none with `nearest`, whose errors are scattered over the frame unlike those of
segmentation models. For comparison, a third clicker compares OpenCV's raw floats.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.datasets import load_dataset
from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.engine import play
from isbench.models.registry import load_card
from isbench.types import (
    Click,
    ClickInput,
    Dataset,
    Encoded,
    Image,
    Mask,
    ModelCard,
    Prediction,
    Predictor,
    Rules,
    State,
    Turn,
)

TARGET = 5.0  # mean speed-up over the straightforward clicker
UNUSED_RNG = np.random.default_rng(0)  # none of the clickers is stochastic


class Recorder:
    """A predictor that records the masks of another."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.masks: list[Mask] = []

    def begin(self, image: Image) -> Encoded:
        """Delegate."""
        return self.predictor.begin(image)

    def start(self, encoded: Encoded, initial: Mask | None) -> State:
        """Delegate."""
        return self.predictor.start(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Delegate and record the masks."""
        answers = self.predictor.predict(turns)
        self.masks += [answer.mask for answer in answers]
        return answers


def record_inputs(
    model: ModelCard, dataset: Dataset, objects: int, clicks: int
) -> Iterator[ClickInput]:
    """Play `objects` evenly spaced objects of the data set and yield the clicker's inputs."""
    rules = Rules(max_clicks=clicks, stop_iou=1.01)  # never reached, so games run to the last click
    indices = np.linspace(0, len(dataset.keys) - 1, min(objects, len(dataset.keys)), dtype=int)
    for index in indices:
        sample = dataset.load(dataset.keys[index])
        recorder = Recorder(model.build(**model.options))
        (game,) = play(recorder, [sample], rules)
        masks = [np.zeros_like(sample.truth), *recorder.masks]
        for count, mask in enumerate(masks[:-1]):
            yield ClickInput(
                key=sample.key,
                image=sample.image,
                mask=mask,
                truth=sample.truth,
                ignore=sample.ignore,
                clicks=game.trajectory.clicks[:count],
                rng=UNUSED_RNG,
            )


def measure_depths(given: ClickInput) -> list[NDArray[np.float32]]:
    """Return the depth of each pixel in the missing and in the false region, on the whole frame."""
    mask, truth, ignore = given.mask, given.truth, given.ignore
    frames = []
    for error in (truth & ~mask & ~ignore, ~truth & mask & ~ignore):
        padded = np.pad(error, 1).astype(np.uint8)
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        depth = np.asarray(distance, np.float32)[1:-1, 1:-1]
        for click in given.clicks:
            depth[click.row, click.col] = 0
        frames.append(depth)
    return frames


def square_depths(depth: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the exact squared integer depth behind OpenCV's float."""
    return np.rint(np.square(depth, dtype=np.float64)).astype(np.int64)


def choose_click(missing: NDArray[np.generic], false: NDArray[np.generic]) -> Click:
    """Return the click of the protocol's rule, comparing the depths as given."""
    positive = bool(missing.max() > false.max())
    deepest = missing if positive else false
    row, col = np.unravel_index(int(deepest.argmax()), deepest.shape)
    return Click(int(row), int(col), positive)


def choose_literally(given: ClickInput) -> Click:
    """Return the protocol's click, implemented literally."""
    missing, false = measure_depths(given)
    return choose_click(square_depths(missing), square_depths(false))


def choose_by_floats(given: ClickInput) -> Click:
    """Return the click by raw float depths, where rounding noise decides ties."""
    return choose_click(*measure_depths(given))


def choose_fast(given: ClickInput) -> Click:
    """Return the package's click."""
    return centre(given)


CLICKERS = (choose_fast, choose_literally, choose_by_floats)


@dataclass
class Comparison:
    """Counts and times over a model's turns."""

    turns: int = 0
    different: int = 0  # our clicks that differ from the straightforward ones
    unstable: int = 0  # clicks by floats that differ from them
    ties: int = 0  # those of `unstable` between exactly equal depths
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, given: ClickInput) -> None:
        """Run every clicker on one input, rotating which one goes first."""
        clicks = {}
        first = self.turns % len(CLICKERS)
        for clicker in CLICKERS[first:] + CLICKERS[:first]:
            started = perf_counter()
            clicks[clicker] = clicker(given)
            self.seconds[clicker.__name__] += perf_counter() - started
        self.turns += 1
        expected = clicks[choose_literally]
        self.different += clicks[choose_fast] != expected
        if clicks[choose_by_floats] != expected:
            self.unstable += 1
            self.ties += is_tie(clicks[choose_by_floats], expected, given)

    def compute_ratio(self, clicker: str) -> float:
        """Return a clicker's mean time relative to ours."""
        return self.seconds[clicker] / self.seconds["choose_fast"]

    def report(self, model: str) -> str:
        """Return the lines to print."""
        mean = {name: 1000 * seconds / self.turns for name, seconds in self.seconds.items()}
        return (
            f"{model}, {self.turns} turns\n"
            f"  isbench's centre        {mean['choose_fast']:7.3f} ms\n"
            f"  straightforward         {mean['choose_literally']:7.3f} ms, ratio "
            f"{self.compute_ratio('choose_literally'):.2f}, {self.different} clicks differ\n"
            f"  raw floats compared     {mean['choose_by_floats']:7.3f} ms, ratio "
            f"{self.compute_ratio('choose_by_floats'):.2f}, {self.unstable} clicks differ, "
            f"{self.ties} of them exact ties"
        )


def is_tie(one: Click, other: Click, given: ClickInput) -> bool:
    """Return whether the pixels of two clicks are equally deep, each in the region of its sign."""
    missing, false = (square_depths(depth) for depth in measure_depths(given))
    first, second = (
        (missing if click.positive else false)[click.row, click.col] for click in (one, other)
    )
    return bool(first == second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data sets (default: ISBENCH_DATA)")
    parser.add_argument("--objects", type=int, default=40)
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    dataset = load_dataset("davis", options.data)
    comparisons = {}
    for name in ("grabcut", "nearest"):
        comparison = comparisons[name] = Comparison()
        for given in record_inputs(load_card(name), dataset, options.objects, options.clicks):
            comparison.add(given)
        print(comparison.report(name), flush=True)
    passed = comparisons["grabcut"].compute_ratio("choose_literally") >= TARGET
    print(f"target: ratio {TARGET} with grabcut, {'passed' if passed else 'not passed'}")
    sys.exit(any(comparison.different for comparison in comparisons.values()))


if __name__ == "__main__":
    main()
