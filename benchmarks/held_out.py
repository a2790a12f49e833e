"""How shipped weights do on held-out objects of the training pack: what choices are made by.

    python benchmarks/held_out.py pack:../shared/data/train results/training/held_out.csv

A line for each of the weights that come with the mini models, and for each option tried: mean
clicks to an IoU and mean IoU after some clicks, of games that end at 0.90, on the 40 objects that
`isbench train` validates on. Benchmark sets have no part in it.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import cv2
import numpy as np

from isbench.evaluation import job, spec
from isbench.evaluation.engine import play
from isbench.metrics import clicks_to, curves
from isbench.models.registry import load_model, with_options
from isbench.models.weights import load_weights
from isbench.training.corpus import pick_objects, split_held_out
from isbench.training.recipes import MINI
from isbench.training.sources import read
from isbench.training.validation import SHOWN, TARGETS
from isbench.types import Dataset, Rules

PLAYED = (
    ("ritm-mini", "pack", {}),
    ("csfpn-mini", "pack", {}),
    ("csfpn-mini", "pack", {"overview": "256"}),
    ("csfpn-mini", "pack", {"overview": "400"}),
    ("csfpn-mini", "pack", {"overview": "256", "g2l": "off"}),
    ("ritm-mini", "ablation-bs", {}),
    ("baseline-mini-fdm", "ablation-fdm", {}),
    ("csfpn-mini", "ablation-sgm", {"overview": "256", "hsgm": "off", "g2l": "off"}),
    ("csfpn-mini", "ablation-hsgm", {"overview": "256", "g2l": "off"}),
    ("csfpn-mini", "ablation-hsgm", {"overview": "256"}),
)


def scores(name: str, weights: str, options: dict[str, str], held: Dataset) -> list[float]:
    """Return NoC at each of TARGETS and the mean IoU after each of SHOWN clicks."""
    card = spec.with_dataset_defaults(
        load_weights(with_options(load_model(name), options), weights), held
    )
    games = play(job.build_predictor(card), map(held.load, held.keys), Rules(20, max(TARGETS)))
    iou = curves([game.trajectory for game in games], 20)
    iou = iou[~np.isnan(iou).any(axis=1)]  # an empty object has no IoU
    nocs = [float(clicks_to(iou, target).mean()) for target in TARGETS]
    return nocs + [float(iou[:, k - 1].mean()) for k in SHOWN]


def main(data: str, path: Path) -> None:
    """Write the lines, and print them as they come."""
    cv2.setNumThreads(1)
    held = pick_objects(split_held_out(read(data))[1], MINI.checks.objects)
    heads = [f"noc{100 * target:.0f}" for target in TARGETS] + [f"iou{k}" for k in SHOWN]
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["model", "weights", "options", *heads])
        for name, weights, options in PLAYED:
            told = " ".join(f"{key}={value}" for key, value in options.items())
            found = [f"{score:.6g}" for score in scores(name, weights, options, held)]
            lines.writerow([name, weights, told, *found])
            print(name, weights, told, *found, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
