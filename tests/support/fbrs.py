"""Games of the original f-BRS-B predictor, and the stand-in networks around which it played some.

The recipes of the games, and of the stand-ins, came with the golden files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.fbrs.predictor import ZOOM, FbrsPredictor, FbrsState
from isbench.nn.inference.predictor import InferenceConfig
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import Computed
from isbench.types import Click, Image, Mask, Runtime, Turn

GAMES = Path(__file__).parents[1] / "golden" / "games"
GRADIENTS = Runtime(gradients=True)


def read_golden(name: str) -> Any:
    """Return a golden file of games."""
    return json.loads((GAMES / f"{name}.json").read_text())


def compute_features(image: Tensor, clicks: Tensor) -> tuple[Tensor]:
    """Stand in for the first network: colours and nearness to clicks, at a quarter of the size."""
    rows = torch.arange(image.shape[2])[:, None]
    cols = torch.arange(image.shape[3])[None]
    squared = (rows - clicks[..., 0, None, None]) ** 2 + (cols - clicks[..., 1, None, None]) ** 2
    squared[clicks[..., :2].amax(dim=2) < 0] = 1e12
    near, far = (half.amin(dim=1, keepdim=True) for half in squared.chunk(2, dim=1))
    hint = 0.5 * torch.exp(-near / (2 * 60**2)) - 0.2 * torch.exp(-far / (2 * 25**2)) - 0.2
    return (F.avg_pool2d(torch.cat([image, hint], dim=1), 4),)


def compute_logits(features: Tensor) -> tuple[Tensor]:
    """Stand in for the second network, with gradients and without weights."""
    a, b, c, d = torch.tanh(features).split(1, dim=1)
    return (3 * (0.5 * a - 0.4 * b + 0.3 * c + 1.5 * d - 0.3 * a * b) - 0.5,)


STAND_INS: Mapping[str, Computed] = {"features": compute_features, "head": compute_logits}


def build_stand_in(zoom: Zoom | None = ZOOM, **settings: Any) -> FbrsPredictor:
    """Return the predictor around the stand-in networks."""
    config = InferenceConfig(zoom, runtime=GRADIENTS, previous_mask=False)
    return FbrsPredictor(config, STAND_INS, **settings)


class Answer(NamedTuple):
    """What a predictor gave after a click."""

    mask: Mask
    state: FbrsState


def play(
    predictor: FbrsPredictor, image: Image, clicks: tuple[Click, ...], state: Any = None
) -> Iterator[Answer]:
    """Yield the answer to each click of a game, from `state` or from the beginning."""
    state = predictor.start(predictor.begin(image), None) if state is None else state
    for count in range(1, len(clicks) + 1):
        ((mask, state),) = predictor.predict([Turn(state, clicks[:count])])
        yield Answer(mask, state)


def list_clicks(game: Mapping[str, Any]) -> tuple[Click, ...]:
    """Return the clicks of a game."""
    return tuple(
        Click(row, col, bool(sign)) for row, col, sign in (s["click"] for s in game["steps"])
    )


def sample_grid(probability: Tensor) -> list[float]:
    """Return the 64 values of a (1, 1, H, W) map that golden files hold."""
    height, width = probability.shape[2:]
    rows = [(2 * i + 1) * height // 16 for i in range(8)]
    cols = [(2 * j + 1) * width // 16 for j in range(8)]
    return probability[0, 0][rows][:, cols].flatten().tolist()
