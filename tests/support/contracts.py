"""Models for tests of the contracts of networks: some compute gradients, some break a rule."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isbench.nn.network import example_image
from isbench.nn.runtime.compute import build_networks, inference
from isbench.types import Click, Image, Mask, ModelCard, Prediction, Runtime, Turn


class Biased(nn.Module):
    """Logits of an image, plus a smoothed bias map."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, image: Tensor, bias: Tensor) -> tuple[Tensor]:
        return (self.head(image) + F.avg_pool2d(bias, 3, 1, 1),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return example_image(size, 3), example_image(size, 1)


def make_networks(**options: Any) -> dict[str, nn.Module]:
    return {"biased": Biased()}


class Optimising:
    """Takes some steps on the bias map, so that clicked pixels get their sign."""

    def __init__(self, steps: int, *, runtime: Runtime) -> None:
        self.steps, self.runtime = steps, runtime
        self.network = build_networks(make_networks, runtime)["biased"]

    def begin(self, image: Image) -> Tensor:
        return torch.from_numpy(image.transpose(2, 0, 1) / 255).float()[None]

    def start(self, encoded: Tensor, initial: Mask | None) -> Tensor:
        return encoded

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        with inference(self.runtime):
            return [Prediction(self.mask(*turn), turn.state) for turn in turns]

    def mask(self, image: Tensor, clicks: tuple[Click, ...]) -> Mask:
        rows, cols, positive = (list(part) for part in zip(*clicks, strict=True))
        signs = 2 * torch.tensor(positive).float() - 1
        bias = torch.zeros_like(image[:, :1])
        for _ in range(self.steps):
            bias.requires_grad_()
            (logits,) = self.network(image, bias)
            loss = F.softplus(-signs * logits[0, 0, rows, cols]).sum()
            (gradient,) = torch.autograd.grad(loss, bias)
            bias = bias.detach() - 30 * gradient
        return self.threshold(self.network(image, bias)[0])

    def threshold(self, logits: Tensor) -> Mask:
        mask: Mask = (logits[0, 0] > 0).numpy()
        return mask


class Adapting(Optimising):
    """Moves its threshold with every answer, and keeps it for the next objects."""

    offset = 0.0

    def threshold(self, logits: Tensor) -> Mask:
        self.offset += 0.05 * float(logits.mean().sign())
        return super().threshold(logits - self.offset)


card = ModelCard("optimising", Optimising, {"steps": 10}, make_networks, gradients=True)
forgetful = ModelCard("forgetful", Optimising, {"steps": 10}, make_networks)
adapting = ModelCard(
    "adapting", Adapting, {"steps": 10}, make_networks, gradients=True, adaptive=True
)


class Odd(nn.Module):
    """Breaks the contract of networks in one way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.head = nn.Conv2d(3, 1, 1)
        if way != "no examples":
            self.example_inputs = self.make_examples

    def forward(self, image: Tensor) -> Any:
        if self.way == "batch of one" and len(image) > 1:
            raise ValueError("wanted one image")
        logits = self.head(image)
        outputs = {"a tensor": logits, "a dict": {"logits": logits}, "summed": (logits.sum(0),)}
        return outputs.get(self.way, (logits,))

    def make_examples(self, size: tuple[int, int], points: int) -> Any:
        image = example_image(size, 3)
        return image if self.way == "an example" else (image,)


class OddPredictor(Optimising):
    def __init__(self, way: str, *, runtime: Runtime) -> None:
        self.runtime = runtime
        self.network = build_networks(partial(make_odd, way), runtime)["odd"]

    def mask(self, image: Tensor, clicks: tuple[Click, ...]) -> Mask:
        return self.threshold(self.network(image)[0])


def make_odd(way: str) -> dict[str, nn.Module]:
    return {"odd": Odd(way)}


odd = ModelCard("odd", OddPredictor, {"way": "no examples"}, make_odd)
