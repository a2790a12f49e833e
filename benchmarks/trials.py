"""Compare short trainings on held-out objects, on which the choice of recipes is based.

    python -m benchmarks.trials pack:../shared/data/train results/training/trials.csv \
        runs/trials/first runs/trials/second

Plays the weights of each training folder, or weight file, with the model named on their card, on
the first 120 held-out objects of the training pack (`--objects` changes the number), the same for
all, in games that end at IoU 0.90. Writes a row per folder: the recipe's differences from the first
one, NoC with 95 % intervals, the mean IoU after some clicks, and the paired difference of NoC@90 to
the first one. Uses no benchmark data set. `--set KEY=VALUE` sets an option of all models; every
`--also "KEY=VALUE ..."` is one more row per folder, with these options too. `--sources coco,city`
takes held-out objects of these sources only, and `--crowds` puts each object among copies, as in
`isbench.training.crowds`; the column `trial` then names the set.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.evaluation import spec
from isbench.evaluation.engine import play
from isbench.metrics import bootstrap, clicks_to, compare_paired, curves, find_image
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.training.corpus import Corpus, pick_objects, split_held_out
from isbench.training.loop import WEIGHTS
from isbench.training.recipe import Augmentation, Recipe, flatten_recipe
from isbench.training.samples import make_sampler
from isbench.training.sources import read
from isbench.training.weight_card import read_card
from isbench.types import Dataset, Rules, Sample

CLICKS = 20
TARGETS, SHOWN = (0.85, 0.90), (1, 2, 3, 5, 10)
CROWD = 256, 256


def play_objects(path: Path, held_out: Dataset, options: dict[str, str]) -> NDArray[np.float64]:
    """Return the IoU after each click, one game per object, (N, CLICKS)."""
    name = read_card(path)["model"]
    model = load_model(name, options, str(path), device="cpu", backend="openvino", threads=2)
    model = spec.with_dataset_defaults(model, held_out)
    games = play(
        build_predictor(model), map(held_out.load, held_out.keys), Rules(CLICKS, max(TARGETS))
    )
    return curves([game.trajectory for game in games], CLICKS)


def take_sources(corpus: Corpus, sources: Sequence[str]) -> Corpus:
    """Return the images of these sources."""
    return replace(corpus, entries=tuple(e for e in corpus.entries if e.source in sources))


def draw_crowds(corpus: Corpus, count: int) -> Dataset:
    """Return crowds of held-out objects on held-out images, (256, 256) each."""
    views = Augmentation(whole=1.0, crowds=1.0, merge_objects=0.0, jitter_colors=0.0)
    sampler = make_sampler(corpus, Recipe(steps=1, augmentation=views))

    def load(key: str) -> Sample:
        image, target, *_ = sampler.make_example(int(key.partition("#")[0]), CROWD)
        return Sample(key, image, target == 1, target < 0)

    return Dataset("crowds", tuple(f"{number}#crowd" for number in range(count)), load)


def describe_changes(recipe: str, first: str) -> str:
    """Return the settings that differ from those of the first recipe, KEY=VALUE each.

    A setting that came later than a recipe has its default.
    """
    settings, first_settings = map(flatten_recipe, (recipe, first))
    return " ".join(
        f"{key}={value}" for key, value in settings.items() if first_settings.get(key) != value
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--set", dest="options", action="append", default=[])
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--objects", type=int, default=120)
    parser.add_argument("--sources", default="")
    parser.add_argument("--crowds", action="store_true")
    arguments = parser.parse_args()
    choices = [
        dict(text.split("=", 1) for text in [*arguments.options, *also.split()])
        for also in ["", *arguments.also]
    ]
    cv2.setNumThreads(1)
    corpus = split_held_out(read(arguments.data))[1]
    if arguments.sources:
        corpus = take_sources(corpus, arguments.sources.split(","))
    held_out = (draw_crowds if arguments.crowds else pick_objects)(corpus, arguments.objects)
    which = " ".join([*(["crowds"] if arguments.crowds else []), *arguments.sources.split(",")])
    clusters = [find_image(key) for key in held_out.keys]
    first: tuple[str, NDArray[np.float64]] | None = None
    heads = ["trial", "model", "settings", "options", "objects", "samples"]
    heads += [f"noc{100 * target:.0f}{end}" for target in TARGETS for end in ("", "_low", "_high")]
    heads += [f"iou{k}" for k in SHOWN] + ["difference", "low", "high"]
    new = not arguments.out.exists()
    if not new and arguments.out.read_text().partition("\n")[0] != ",".join(heads):
        parser.error(f"{arguments.out} has other columns; name a new file")
    with arguments.out.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")  # as the lines that are there
        if new:
            writer.writerow(heads)
        for number, (folder, options) in enumerate(product(arguments.folders, choices)):
            path = folder / WEIGHTS if folder.is_dir() else folder
            card = read_card(path)
            iou = play_objects(path, held_out, options)
            nocs = np.stack([clicks_to(iou, target) for target in TARGETS], axis=1).astype(float)
            ends = np.stack(bootstrap(nocs, clusters), axis=1)
            figures = [
                v
                for mean, (low, high) in zip(nocs.mean(0), ends, strict=True)
                for v in (mean, low, high)
            ]
            figures += [float(iou[:, k - 1].mean()) for k in SHOWN]
            first = first or (card["recipe"], nocs[:, -1])
            changes = describe_changes(card["recipe"], first[0])
            if number:
                figures += compare_paired(nocs[:, -1], first[1], clusters)[:3]
            row = [
                f"{folder.stem}, {which.strip()}" if which.strip() else folder.stem,
                card["model"],
                changes,
                " ".join(f"{key}={value}" for key, value in options.items()),
                len(iou),
                card["samples"],
            ]
            row += [f"{value:.4g}" for value in figures]
            writer.writerow(row)
            file.flush()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
