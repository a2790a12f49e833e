"""Networks with small crops and weights by lot, at work, for tests of how they are played."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from isbench.evaluation.job import build_predictor
from isbench.models import weights
from isbench.models.registry import load_model, with_options
from isbench.nn.inference.predictor import CropPredictor
from isbench.types import Click, Model, Sample, Turn

SMALL = {"zoom_target": "48"}


def drawn(name: str, **options: str) -> Model:
    """Return a model with random weights and small crops."""
    return weights.load_weights(with_options(load_model(name), {**SMALL, **options}), "random")


def network(name: str, **options: str) -> torch.nn.Module:
    card = with_options(load_model(name), options)
    assert card.network is not None
    torch.manual_seed(1)
    made: torch.nn.Module = card.network(**card.options)
    return made


def one(shape: tuple[int, int]) -> Sample:
    """Return an object that fills the middle of a noisy picture of any shape."""
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    truth = np.zeros(shape, bool)
    rows, cols = shape
    truth[rows // 4 : rows // 4 + max(1, rows // 2), cols // 4 : cols // 4 + max(1, cols // 2)] = 1
    return Sample(f"odd{rows}x{cols}#1", image, truth, np.zeros(shape, bool))


def played_by(card: Model) -> Any:
    """Return a predictor whose gates are open: at 0, as they start, graphs propagate nothing."""
    predictor = build_predictor(card)
    assert isinstance(predictor, CropPredictor)
    for part in predictor.answer.args:  # type: ignore[attr-defined]
        for network in part if isinstance(part, (tuple, list)) else [part]:
            if isinstance(network, torch.nn.Module):
                for key, value in network.named_parameters():
                    if key.endswith("gamma"):
                        value.fill_(0.3)
    return predictor


def masks(card: Model, sample: Sample, clicks: int = 3) -> list[Any]:
    predictor = build_predictor(card)
    state, told, found = predictor.start(predictor.begin(sample.image), None), (), []
    for k in range(clicks):
        told = (*told, Click(k * sample.image.shape[0] // clicks, 2 * k, k % 2 == 0))
        mask, state = predictor.predict([Turn(state, told)])[0]
        found.append(mask)
    return found
