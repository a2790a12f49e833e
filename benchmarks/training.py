"""Measure the speed of training and the share of time that is not spent in the network.

Takes steps of a model's recipe, or of plain RITM on the mini trunk, and prints images per second,
the share of time outside forward and backward passes (target: under 10 % on 2 cores), the share
spent waiting for samples, and the core time of a sample. On a GPU only images per second are
meaningful, since its passes run asynchronously.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from time import process_time

import torch

from isbench.models.registry import load_card
from isbench.training import Augmentation, Checks, Crop, Range, Recipe
from isbench.training.loop import Report, take_steps
from isbench.training.prefetch import make_batch
from isbench.training.training_run import TrainingRun, open_training
from isbench.types import ModelCard, Predictor

DATA = Path(__file__).parents[2] / "shared" / "data" / "train"
VIEWS = Augmentation(whole=0.3, around=0.4, scale=Range(0.5, 1.5), copy_paste=0.2)
UNTIMED = 5  # warm-up steps
SAMPLES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=f"pack:{DATA}")
    parser.add_argument(
        "--model", help="a model with a recipe (default: plain RITM on the mini trunk)"
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    card = load_card(options.model) if options.model else make_card()
    recipe = replace(
        card.recipe,
        steps=options.steps + UNTIMED,
        epochs=0,
        batch=options.batch,
        crops=(Crop(options.size, options.size),),
        checks=Checks(validation=0),
    )
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_training(card, recipe, options.data, Path(scratch, "out")) as run,
    ):
        seconds_per_sample = time_samples(run, options.size)
        reports = [event for event in take_steps(run) if isinstance(event, Report)][UNTIMED:]
    seconds, network, waited = (
        sum(getattr(report, name) for report in reports)
        for name in ("seconds", "network_seconds", "waited_seconds")
    )
    print(f"{card.name}, batch {options.batch} at {options.size}, {options.threads} threads:")
    print(f"{options.batch * len(reports) / seconds:8.1f} images/s")
    print(f"{100 * (1 - network / seconds):8.1f} % outside forward and backward passes")
    print(f"{100 * waited / seconds:8.1f} % waiting for samples")
    print(f"{1000 * seconds_per_sample:8.2f} ms of core time per sample, image already decoded")


def make_card() -> ModelCard:
    """Return a card for RITM's network on the mini trunk."""
    from baselines.ritm import Ritm
    from isbench.nn.backbones.mini import Mini

    def make_networks() -> dict[str, Ritm]:
        return {"network": Ritm(Mini())}

    def build() -> Predictor:
        raise NotImplementedError  # the recipe alone is measured

    return ModelCard(
        "ritm on mini",
        build=build,
        networks=make_networks,
        recipe=Recipe(steps=1, augmentation=VIEWS),
    )


def time_samples(run: TrainingRun, size: int) -> float:
    """Return the core seconds of a sample whose image is already decoded."""
    numbers = range(SAMPLES)
    make_batch(run.sampler, numbers, (size, size))
    started = process_time()
    make_batch(run.sampler, numbers, (size, size))
    return (process_time() - started) / SAMPLES


if __name__ == "__main__":
    main()
