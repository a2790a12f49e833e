"""A network of three convolutions and its card: trainings of it take a second."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from isbench.nn.backbones.ocr import Logits
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.options import OPTIONS
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.training import Augmentation, Checks, ClickSampling, Crop, Recipe
from isbench.types import ModelCard, Runtime, Scalar


class Tiny(nn.Module):
    """Three convolutions: disks around clicks say where, brightness says what."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, 8, 5, padding=2)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(dropout)
        self.main, self.aux = nn.Conv2d(8, 1, 5, padding=2), nn.Conv2d(8, 1, 1)
        self.unused = nn.Conv2d(1, 1, 1)  # as official networks have some

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        drawn = draw_disks(clicks, (inputs.shape[-2], inputs.shape[-1]), 5.0)
        x = self.drop(torch.relu(self.norm(self.first(torch.cat([inputs, drawn], dim=1)))))
        return Logits(self.main(x), self.aux(x))

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        return (self.forward_with_aux(inputs, clicks).main,)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return example_image(size), example_points(size, points)


def networks(**options: Scalar) -> dict[str, nn.Module]:
    """Return the network; of the card's options only `dropout` concerns it."""
    return {"network": Tiny(float(options.get("dropout", 0.1)))}


def build(*, runtime: Runtime, **options: Scalar) -> CropPredictor:
    made = build_networks(partial(networks, **options), runtime)["network"]
    return CropPredictor(make_config(options, Zoom(), runtime), partial(answer_mask_guided, made))


RECIPE = Recipe(
    steps=9,
    batch=4,
    crops=(Crop(32, 32), Crop(48, 40, 0.5)),
    learning_rate=1e-2,
    schedule="one-cycle",
    warmup=0.2,
    gradient_clip=1.0,
    ema=0.9,
    augmentation=Augmentation(whole=0.3, around=0.3, copy_paste=0.2, quarter_turns=0.2),
    click_sampling=ClickSampling(centred=0.3, single=0.3),
    checks=Checks(log=2, checkpoint=3, validation=4, objects=2, clicks=3),
)
PLAYED = {**OPTIONS, "flip": False, "zoom_target": 48}
card = ModelCard("tiny", build, {**PLAYED, "dropout": 0.1}, networks, recipe=RECIPE)
# dropout is drawn separately in each process
steady = ModelCard("steady", build, {**PLAYED, "dropout": 0.0}, networks, recipe=RECIPE)
CARD, STEADY = "tests.support.tiny:card", "tests.support.tiny:steady"


def rows(path: Path) -> list[dict[str, str]]:
    """Return the log without the one figure that is about time."""
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in found]
