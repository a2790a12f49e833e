"""Where CSFPN's first pass costs clicks: its ways to answer beside each other on held-out objects.

    python -m benchmarks.global_to_local pack:../shared/data/train results/training/g2l.csv

The pack's images are small: `overview` 128 is to one of 352 pixels what 320 is to DAVIS' 854. Ways:
`off` is RITM's zoom-in; `paper` hands the first pass' map on to the second; `box` takes only the
box from the first pass, and the second goes on from the last answer. The 120 held-out objects of
`benchmarks.trials`, games that end at IoU 0.90, differences paired against `off`.
"""

from __future__ import annotations

import argparse
import csv
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.trials import CLICKS, OBJECTS, TARGETS
from csfpn.predictor import PAPER
from isbench.evaluation import job, spec
from isbench.evaluation.engine import play
from isbench.metrics import clicks_to, compare_paired, curves
from isbench.models.registry import load_model, with_options
from isbench.models.weights import load_weights
from isbench.nn.inference.predictor import (
    CropPredictor,
    HostRequest,
    InferenceConfig,
    Passes,
    State,
    conclude,
    make_config,
    paste,
)
from isbench.nn.runtime.backends import Computed
from isbench.nn.runtime.compute import build_network
from isbench.training.corpus import pick_objects, split_held_out
from isbench.training.sources import read
from isbench.types import Click, Dataset, Model, Rules, Runtime

SHOWN = (1, 2, 3, 5, 10)
CASES = (
    ("off", 320), ("paper", 320), ("box", 320), ("off", 128), ("paper", 128), ("box", 128),
)  # fmt: skip


def box_only(
    made: Computed, config: InferenceConfig, state: State, clicks: tuple[Click, ...]
) -> Passes:
    """Answer by a first pass that finds the box alone; the second sees the last answer."""
    answer = yield from config.forward_crop(made, state.picture, state.probability, clicks, None)
    assert config.zoom is not None
    (certain,) = yield HostRequest((answer[0, 0] > config.zoom.threshold,))
    box = config.zoom.box(certain, clicks, state.box)
    if box is None:
        return (yield from conclude(config, state, answer, state.box))
    if not state.certain.any():  # before the second click there is no last answer
        state = state._replace(probability=answer)
    answer = yield from config.forward_crop(made, state.picture, state.probability, clicks, box)
    answer = paste(answer, box, state.probability.shape)
    return (yield from conclude(config, state, answer, box))


def played(card: Model, way: str, held: Dataset) -> NDArray[np.float64]:
    """Return the IoU after each click of a game an object, (N, CLICKS)."""
    predictor = job.build_predictor(card)
    if way == "box":
        assert card.network is not None
        assert card.runtime is not None
        made = build_network(partial(card.network, **card.options), card.runtime)
        predictor = CropPredictor(
            make_config(card.options, PAPER, card.runtime), partial(box_only, made)
        )
    games = play(predictor, map(held.load, held.keys), Rules(CLICKS, max(TARGETS)))
    return curves([game.trajectory for game in games], CLICKS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="csfpn-mini")
    parser.add_argument("--weights", default="pack")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    held = pick_objects(split_held_out(read(given.data))[1], OBJECTS)
    clusters = [key.rpartition("#")[0] for key in held.keys]
    runtime = Runtime(backend="openvino", threads=2)
    off: NDArray[np.float64] | None = None
    with given.out.open("w", newline="") as file:
        lines = csv.writer(file)
        heads = ["noc85", "noc90", *(f"iou{k}" for k in SHOWN), "difference", "low", "high"]
        lines.writerow(["model", "weights", "way", "overview", *heads])
        for way, overview in CASES:
            options = {"overview": str(overview), "g2l": "off" if way == "off" else "on"}
            model = with_options(load_model(given.model), options)
            card = spec.with_dataset_defaults(load_weights(model, given.weights, runtime), held)
            iou = played(card, way, held)
            nocs = [clicks_to(iou, target).astype(float) for target in TARGETS]
            off = nocs[-1] if way == "off" else off
            assert off is not None
            found = [*(noc.mean() for noc in nocs), *(iou[:, k - 1].mean() for k in SHOWN)]
            found += compare_paired(nocs[-1], off, clusters)[:3] if way != "off" else ()
            row = [given.model, given.weights, way, overview, *(f"{v:.4g}" for v in found)]
            lines.writerow(row)
            file.flush()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
