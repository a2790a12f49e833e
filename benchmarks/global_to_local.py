"""Compare CSFPN's inference variants on held-out objects, to see where the first pass costs clicks.

    python -m benchmarks.global_to_local pack:../shared/data/train results/training/g2l.csv
    python -m benchmarks.global_to_local pack:../shared/data/train results/training/g2l.csv \
        --model csfpn-lite --sizes 256x400,112x400 --ways off,paper,three

The pack's images are small: 128 pixels of an image of 352 correspond to 320 of DAVIS's 854. A size
is that of the overview and that of a crop. Ways: `off` is RITM's zoom-in; `paper` passes the first
pass's probabilities on to the second; `three` does so for the first three clicks only; `box` takes
only the box from the first pass, and the second continues from the previous prediction. Uses the
120 held-out objects of `benchmarks.trials`, or with `--pairs` the two largest objects of each of 80
images as one, in games that end at IoU 0.90; differences are paired against `off`, which comes
first. Appends to the file.
"""

from __future__ import annotations

import argparse
import csv
from functools import partial
from hashlib import sha256
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.trials import CLICKS, TARGETS
from csfpn.predictor import PAPER
from isbench.evaluation import spec
from isbench.evaluation.engine import play
from isbench.metrics import clicks_to, compare_paired, curves
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.nn.inference.passes import HostRequest, Passes
from isbench.nn.inference.predictor import (
    CropPredictor,
    InferenceConfig,
    State,
    conclude,
    make_config,
    paste,
)
from isbench.nn.network import Computed
from isbench.nn.runtime.compute import build_networks
from isbench.training.corpus import Corpus, pick_objects, split_held_out
from isbench.training.sources import read
from isbench.types import Click, Dataset, LoadedModel, Rules, Sample

SHOWN = (1, 2, 3, 5, 10)
WAYS = {
    "off": {"g2l": "off"},
    "paper": {"global_clicks": "0"},
    "three": {"global_clicks": "3"},
    "box": {"global_clicks": "0"},
}
SINGLES = 120
PAIRS, LEAST_AREA = 80, 1500  # images, and pixels of the smaller object


def answer_with_box(
    network: Computed, config: InferenceConfig, state: State, clicks: tuple[Click, ...]
) -> Passes:
    """Answer with a first pass that only finds the box; the second sees the previous prediction."""
    answer = yield from config.forward_crop(network, state.picture, state.probability, clicks, None)
    assert config.zoom is not None
    (certain,) = yield HostRequest((answer[0, 0] > config.zoom.threshold,))
    box = config.zoom.box(certain, clicks, state.box)
    if box is None:
        return (yield from conclude(config, state, answer, state.box))
    if not state.certain.any():  # at the first click there is no previous prediction
        state = state._replace(probability=answer)
    answer = yield from config.forward_crop(network, state.picture, state.probability, clicks, box)
    answer = paste(answer, box, state.probability.shape)
    return (yield from conclude(config, state, answer, box))


def pick_pairs(held_out: Corpus, count: int) -> Dataset:
    """Return the two largest objects of each of `count` images as one object."""
    entries = sorted(held_out.entries, key=lambda one: sha256(one.name.encode()).digest())
    pairs: dict[str, Sample] = {}
    for entry in entries:
        if entry.objects < 2 or len(pairs) == count:
            continue
        picture = entry.load()
        largest = sorted(picture.objects, key=lambda one: -one.area)[:2]
        if len(largest) == 2 and largest[1].area > LEAST_AREA:
            truth = largest[0].mask | largest[1].mask
            key = f"{entry.name}#two"
            pairs[key] = Sample(key, picture.image, truth, np.zeros_like(truth))
    return Dataset("pairs", tuple(pairs), pairs.__getitem__)


def play_objects(model: LoadedModel, way: str, held_out: Dataset) -> NDArray[np.float64]:
    """Return the IoU after each click, one game per object, (N, CLICKS)."""
    predictor = build_predictor(model)
    if way == "box":
        assert model.card.networks is not None
        assert model.runtime is not None
        networks = build_networks(partial(model.card.networks, **model.options), model.runtime)
        predictor = CropPredictor(
            make_config(model.options, PAPER, model.runtime),
            partial(answer_with_box, networks["network"]),
        )
    games = play(predictor, map(held_out.load, held_out.keys), Rules(CLICKS, max(TARGETS)))
    return curves([game.trajectory for game in games], CLICKS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="csfpn-mini")
    parser.add_argument("--weights", default="pack")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--sizes", default="320x320,128x320,128x128")
    parser.add_argument("--ways", default="off,paper,box")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    corpus = split_held_out(read(arguments.data))[1]
    held_out = pick_pairs(corpus, PAIRS) if arguments.pairs else pick_objects(corpus, SINGLES)
    clusters = [key.rpartition("#")[0] for key in held_out.keys]
    off: NDArray[np.float64] | None = None
    new = not arguments.out.exists()
    with arguments.out.open("a", newline="") as file:
        writer = csv.writer(file)
        heads = ["noc85", "noc90", *(f"iou{k}" for k in SHOWN), "difference", "low", "high"]
        if new:
            writer.writerow(
                ["model", "weights", "objects", "way", "overview", "zoom_target", *heads]
            )
        for size, way in product(arguments.sizes.split(","), arguments.ways.split(",")):
            overview, zoom = size.split("x")
            options = {"overview": overview, "zoom_target": zoom, **WAYS[way]}
            model = load_model(
                arguments.model, options, arguments.weights,
                device="cpu", backend="openvino", threads=2,
            )  # fmt: skip
            model = spec.with_dataset_defaults(model, held_out)
            iou = play_objects(model, way, held_out)
            nocs = [clicks_to(iou, target).astype(float) for target in TARGETS]
            off = nocs[-1] if way == "off" else off
            assert off is not None
            figures = [*(noc.mean() for noc in nocs), *(iou[:, k - 1].mean() for k in SHOWN)]
            figures += compare_paired(nocs[-1], off, clusters)[:3] if way != "off" else ()
            row = [
                arguments.model,
                arguments.weights,
                f"{len(held_out.keys)} {'pairs' if arguments.pairs else 'single'}",
                way,
                overview,
                zoom,
                *(f"{v:.4g}" for v in figures),
            ]
            writer.writerow(row)
            file.flush()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
