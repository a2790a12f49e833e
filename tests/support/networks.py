"""Models with small crops and random weights, for tests of how they are played."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card, parse_options
from isbench.nn.inference.options import OPTIONS
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.types import Click, LoadedModel, ModelCard, Runtime, Sample, Scalar, Turn

SMALL = {"zoom_target": "48"}


def eager(
    model: str | ModelCard,
    weights: str | None = "random",
    device: str = "cpu",
    threads: int = 1,
    **options: Scalar,
) -> LoadedModel:
    """Return a model as PyTorch computes it, which is what goldens were recorded with."""
    return load_model(model, options, weights, device=device, threads=threads, backend="eager")


def load_small(name: str, **options: Scalar) -> LoadedModel:
    """Return a model with random weights and small inputs."""
    overview = {"overview": 48} if load_card(name).options.get("overview") else {}
    return eager(name, **{**SMALL, **overview, **options})


def network(name: str, **options: Scalar) -> torch.nn.Module:
    """Return a model's first network, randomly initialised."""
    card = load_card(name)
    assert card.networks is not None
    torch.manual_seed(1)
    networks = card.networks(**parse_options(card, options))
    made: torch.nn.Module = next(iter(networks.values()))
    return made


def make_object(shape: tuple[int, int]) -> Sample:
    """Return an object that fills the middle of a noisy picture of any shape."""
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    truth = np.zeros(shape, bool)
    rows, cols = shape
    truth[rows // 4 : rows // 4 + max(1, rows // 2), cols // 4 : cols // 4 + max(1, cols // 2)] = 1
    return Sample(f"odd{rows}x{cols}#1", image, truth, np.zeros(shape, bool))


def build_open_predictor(model: LoadedModel) -> Any:
    """Return a predictor whose gates are open: initialised at 0, the graphs propagate nothing."""
    predictor = build_predictor(model)
    assert isinstance(predictor, CropPredictor)
    for part in predictor.answer.args:  # type: ignore[attr-defined]
        parts = [*part.values()] if isinstance(part, dict) else part
        for network in parts if isinstance(parts, (tuple, list)) else [parts]:
            if isinstance(network, torch.nn.Module):
                for key, value in network.named_parameters():
                    if key.endswith("gamma"):
                        value.fill_(0.3)
    return predictor


def masks(model: LoadedModel, sample: Sample, clicks: int = 3) -> list[Any]:
    predictor = build_predictor(model)
    state, clicked, found = predictor.start(predictor.begin(sample.image), None), (), []
    for k in range(clicks):
        clicked = (*clicked, Click(k * sample.image.shape[0] // clicks, 2 * k, k % 2 == 0))
        mask, state = predictor.predict([Turn(state, clicked)])[0]
        found.append(mask)
    return found


class Lawless(torch.nn.Module):
    """Gives another answer at every call, which no tracer takes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, inputs: torch.Tensor, clicks: torch.Tensor) -> tuple[torch.Tensor]:
        self.calls += 1
        return (inputs[:, :1] + self.calls,)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[torch.Tensor, ...]:
        return example_image(size), example_points(size, points)


def build_lawless(*, runtime: Runtime, **options: Any) -> CropPredictor:
    network = build_networks(lambda: {"network": Lawless()}, runtime)["network"]
    return CropPredictor(
        make_config(options, Zoom(), runtime), partial(answer_mask_guided, network)
    )


lawless = ModelCard("lawless", build_lawless, OPTIONS, lambda **_: {"network": Lawless()})
