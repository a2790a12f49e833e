"""Evaluate the bundled weights on held-out objects, on which choices are based.

    python benchmarks/held_out.py pack:../shared/data/train results/training/held_out.csv

Writes a row for each of the weights bundled with the mini models, and for each option tried: NoC
and the mean IoU after some clicks, in games that end at 0.90, on the 40 objects on which
`isbench train` validates. Uses no benchmark data set.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import cv2
import numpy as np

from isbench.evaluation import spec
from isbench.evaluation.engine import play
from isbench.metrics import clicks_to, curves
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
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


def compute_scores(
    name: str, weights: str, options: dict[str, str], held_out: Dataset
) -> list[float]:
    """Return NoC at each of TARGETS and the mean IoU after each of SHOWN clicks."""
    model = load_model(name, options, weights, device="cpu", backend="eager")
    model = spec.with_dataset_defaults(model, held_out)
    games = play(build_predictor(model), map(held_out.load, held_out.keys), Rules(20, max(TARGETS)))
    iou = curves([game.trajectory for game in games], 20)
    iou = iou[~np.isnan(iou).any(axis=1)]  # an empty object has no IoU
    nocs = [float(clicks_to(iou, target).mean()) for target in TARGETS]
    return nocs + [float(iou[:, k - 1].mean()) for k in SHOWN]


def main(data: str, path: Path) -> None:
    """Write the rows, and print each as it is computed."""
    cv2.setNumThreads(1)
    held_out = pick_objects(split_held_out(read(data))[1], MINI.checks.objects)
    heads = [f"noc{100 * target:.0f}" for target in TARGETS] + [f"iou{k}" for k in SHOWN]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "weights", "options", *heads])
        for name, weights, options in PLAYED:
            options_text = " ".join(f"{key}={value}" for key, value in options.items())
            figures = [f"{score:.6g}" for score in compute_scores(name, weights, options, held_out)]
            writer.writerow([name, weights, options_text, *figures])
            print(name, weights, options_text, *figures, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
