"""Short trainings beside each other on held-out objects: what recipes are chosen by.

    python -m benchmarks.trials pack:../shared/data/train results/training/trials.csv \
        runs/trials/first runs/trials/second

Plays the weights of each training's folder, and of its card the model, on the first 120 held-out
objects of the training pack, the same ones for all, in games that end at IoU 0.90. A line each:
what its recipe sets differently from the first one's, NoC with 95 % intervals, mean IoU after some
clicks, and the paired difference of NoC@90 to the first one. Benchmark sets have no part in it.
`--set KEY=VALUE` plays all of them with an option of their model.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.evaluation import job, spec
from isbench.evaluation.engine import play
from isbench.metrics import bootstrap, clicks_to, compare_paired, curves
from isbench.models.registry import load_model, with_options
from isbench.models.weights import load_weights
from isbench.training.corpus import pick_objects, split_held_out
from isbench.training.loop import WEIGHTS
from isbench.training.sources import read
from isbench.training.weights import read_card
from isbench.types import Dataset, Rules, Runtime

OBJECTS, CLICKS = 120, 20
TARGETS, SHOWN = (0.85, 0.90), (1, 2, 3, 5, 10)


def played(path: Path, held: Dataset, options: dict[str, str]) -> NDArray[np.float64]:
    """Return the IoU after each click of a game an object, (N, CLICKS)."""
    model = with_options(load_model(read_card(path)["model"]), options)
    runtime = Runtime(backend="openvino", threads=2)
    card = spec.with_dataset_defaults(load_weights(model, str(path), runtime), held)
    games = play(job.build_predictor(card), map(held.load, held.keys), Rules(CLICKS, max(TARGETS)))
    return curves([game.trajectory for game in games], CLICKS)


def differing(recipe: str, first: str) -> str:
    """Return what a recipe sets otherwise than the first one, as it is typed."""
    one, other = (_flat(json.loads(text)) for text in (recipe, first))
    return " ".join(f"{key}={value}" for key, value in one.items() if other.get(key) != value)


def _flat(values: dict[str, object], before: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        inner = _flat(value, f"{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
        found |= inner
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--set", dest="options", action="append", default=[])
    given = parser.parse_args()
    options = dict(one.split("=", 1) for one in given.options)
    cv2.setNumThreads(1)
    held = pick_objects(split_held_out(read(given.data))[1], OBJECTS)
    clusters = [key.rpartition("#")[0] for key in held.keys]
    first: tuple[str, NDArray[np.float64]] | None = None
    new = not given.out.exists()
    with given.out.open("a", newline="") as file:
        lines = csv.writer(file)
        if new:
            heads = [
                f"noc{100 * target:.0f}{end}" for target in TARGETS for end in ("", "_low", "_high")
            ]
            heads += [f"iou{k}" for k in SHOWN] + ["difference", "low", "high"]
            lines.writerow(["trial", "model", "settings", "options", "samples", *heads])
        for folder in given.folders:
            card = read_card(folder / WEIGHTS)
            iou = played(folder / WEIGHTS, held, options)
            nocs = np.stack([clicks_to(iou, target) for target in TARGETS], axis=1).astype(float)
            ends = np.stack(bootstrap(nocs, clusters), axis=1)
            found = [
                v
                for mean, (low, high) in zip(nocs.mean(0), ends, strict=True)
                for v in (mean, low, high)
            ]
            found += [float(iou[:, k - 1].mean()) for k in SHOWN]
            first = first or (card["recipe"], nocs[:, -1])
            told = differing(card["recipe"], first[0])
            if nocs[:, -1] is not first[1] and folder != given.folders[0]:
                found += compare_paired(nocs[:, -1], first[1], clusters)[:3]
            row = [folder.name, card["model"], told, " ".join(given.options), card["samples"]]
            row += [f"{value:.4g}" for value in found]
            lines.writerow(row)
            file.flush()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
