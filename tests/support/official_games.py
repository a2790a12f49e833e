"""Games that official predictors played with scripted clicks, and stand-ins for their images."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isbench.nn.clickmaps import draw_disks
from isbench.nn.network import example_image, example_points
from isbench.types import Click, Image
from tests.support.synthetic import fill_state

T = TypeVar("T", bound=torch.nn.Module)
GOLDEN = Path(__file__).parents[1] / "golden"
GRADIENT = "gradient"
_PLACES = {"GrabCut": "GrabCut/data_GT", "DAVIS": "DAVIS/img"}


def read_golden(name: str) -> Any:
    """Return a golden file, such as "games/fcanet_probe"."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


def find_game(name: str, image: str) -> dict[str, Any]:
    """Return the game that a golden file has on an image."""
    (game,) = (one for one in read_golden(f"games/{name}")["games"] if one["image"] == image)
    found: dict[str, Any] = game
    return found


def draw_gradient() -> Image:
    """Return the (180, 240, 3) image of the games that need no data set."""
    rows, cols = np.mgrid[:180, :240]
    disk = (rows - 90) ** 2 + (cols - 130) ** 2 <= 2500
    layers = [255 * cols // 239, 255 * rows // 179, np.where(disk, 220, 40)]
    return np.stack(layers, -1).astype(np.uint8)


def load_image(game: dict[str, Any], data: Path | None = None) -> Image:
    """Return the image of a game, which must be the official one; `data` holds real images."""
    name, _, crop = game["image"].partition("@")
    if name == GRADIENT:
        image = draw_gradient()
    else:
        assert data is not None
        folder, _, stem = name.partition("/")
        image = cv2.imread(str(data / _PLACES[folder] / f"{stem}.jpg"))[..., ::-1]
    if crop:
        top, bottom, left, right = map(int, crop.split(","))
        image = image[top:bottom, left:right]
    image = np.ascontiguousarray(image)
    if zlib.crc32(image.tobytes()) != game["rgb_crc32"]:
        pytest.skip(f"this JPEG decoder gives other colours of {name}")
    return image


def list_turns(game: dict[str, Any]) -> Iterator[tuple[tuple[Click, ...], dict[str, Any]]]:
    """Yield all clicks so far and what is recorded after them, click by click."""
    clicks: tuple[Click, ...] = ()
    for step in game["steps"]:
        row, col, positive = step["click"]
        clicks = (*clicks, Click(row, col, bool(positive)))
        yield clicks, step


def check_probabilities(
    found: NDArray[np.float32], wanted: dict[str, Any], tolerance: float
) -> None:
    """Compare a (H, W) map with the recorded mean and 8 x 8 samples."""
    height, width = found.shape
    rows, cols = ((2 * np.arange(8) + 1) * length // 16 for length in (height, width))
    samples = found[np.ix_(rows, cols)].ravel()
    assert samples == pytest.approx(wanted["prob_grid"], rel=0, abs=tolerance)
    assert found.mean(dtype=float) == pytest.approx(wanted["prob_mean"], rel=0, abs=tolerance)


def describe_keys(make: Callable[[], torch.nn.Module]) -> dict[str, Any]:
    """Return how many keys a network has, and the digest of their names, shapes and dtypes."""
    with torch.device("meta"):
        state = make().state_dict()
    lines = "".join(
        f"{key} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}\n"
        for key, value in sorted(state.items())
    )
    return {"keys": len(state), "sha256": sha256(lines.encode()).hexdigest()}


def build_synthetic(make: Callable[[], T]) -> T:
    """Return a network with synthetic weights, for inference; it is never initialised otherwise."""
    with torch.device("meta"):
        network = make()
    state = fill_state(network.state_dict())
    known = {key: torch.zeros_like(x, device="cpu") if x.is_meta else x for key, x in state.items()}
    network.load_state_dict(known, assign=True)
    network.eval().requires_grad_(False)
    return network


class Probe(nn.Module):
    """Answers without weights: likeness to the clicked colour, nearness to clicks, last answer."""

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        image, previous = inputs[:, :3], inputs[:, 3:]
        size = inputs.shape[-2], inputs.shape[-1]
        rows = torch.arange(size[0])[:, None] - clicks[:, :, 0, None, None]
        cols = torch.arange(size[1])[None, :] - clicks[:, :, 1, None, None]
        placed = clicks[:, :, :2].amax(dim=2) >= 0
        squared = torch.where(placed[:, :, None, None], rows**2 + cols**2, 1e12)
        near = torch.cat([half.amin(dim=1, keepdim=True) for half in squared.chunk(2, 1)], 1)
        disk = draw_disks(clicks, size, 5)[:, :1]
        mean = (image * disk).sum((2, 3), keepdim=True)
        mean = mean / disk.sum((2, 3), keepdim=True).clamp(min=1)
        alike = torch.exp(-10 * ((image - mean) ** 2).mean(dim=1, keepdim=True))
        wanted = 10 * alike * torch.exp(-near[:, :1] / (2 * 60**2))
        unwanted = 8 * torch.exp(-near[:, 1:] / (2 * 25**2))
        return (wanted - unwanted - 3 + 1.5 * (previous - 0.5),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return example_image(size, 4), example_points(size, points)


probe = Probe()
