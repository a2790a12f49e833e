"""Count how often PseudoClick's network clicks on held-out objects, and how often it is right.

    python -m benchmarks.pseudo_clicks pack:../shared/data/train \
        results/training/pseudo_clicks.csv runs/training/pseudoclick/weights.safetensors

Plays games to IoU 0.90 on the first 60 held-out objects of the training pack, once for each of
RADII as `min_radius`. A pseudo click is right if the pixel belongs to the object and the click is
positive, or neither: its rule never places one that contradicts the mask. Uses no benchmark data.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from isbench.evaluation import spec
from isbench.evaluation.engine import play
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.training.corpus import pick_objects, split_held_out
from isbench.training.sources import read
from isbench.types import Click, Dataset, Mask, Prediction, Predictor, Rules, Turn

OBJECTS, RADII = 60, (0, 3, 6, 12, 25)


class Watched:
    """A PseudoClick predictor that keeps the pseudo clicks of the last answer."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.clicks = predictor, tuple[Click, ...]()
        self.begin, self.start = predictor.begin, predictor.start

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer as the predictor does."""
        answers = self.predictor.predict(turns)
        state: Any = answers[-1].state
        self.clicks = state.clicks
        return answers


def count_clicks(predictor: Predictor, held_out: Dataset) -> tuple[int, int, int]:
    """Return the clicks of the user, the pseudo clicks, and those that are right."""
    clicks = pseudo = right = 0
    for key in held_out.keys:
        sample, watched = held_out.load(key), Watched(predictor)
        (game,) = play(watched, [sample], Rules(20, 0.90))
        clicks += len(game.trajectory.clicks)
        pseudo += len(watched.clicks)
        right += sum(is_right(click, sample.truth) for click in watched.clicks)
    return clicks, pseudo, right


def is_right(click: Click, truth: Mask) -> bool:
    """Return whether a click is on its side; images of the pack are seen at their size."""
    return bool(truth[int(click.row), int(click.col)]) == click.positive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("weights")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    held_out = pick_objects(split_held_out(read(arguments.data))[1], OBJECTS)
    with arguments.out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["min_radius", "objects", "clicks", "pseudo_clicks", "right"])
        for radius in RADII:
            model = load_model(
                "pseudoclick-lite", {"min_radius": str(radius)}, arguments.weights,
                device="cpu", backend="openvino", threads=2,
            )  # fmt: skip
            predictor = build_predictor(spec.with_dataset_defaults(model, held_out))
            row = (radius, len(held_out.keys), *count_clicks(predictor, held_out))
            writer.writerow(row)
            file.flush()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
