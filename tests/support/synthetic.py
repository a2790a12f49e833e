"""Reproducible weights and inputs, to compare networks with official ones."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from isbench.types import Click

# (row, col, order) and no remainders: two positive clicks, a negative one and an unused place
POINTS = pad(torch.tensor([[[20.0, 30, 0], [50, 10, 2], [40, 70, 1], [-1, -1, -1]]]), (0, 2))


# clicks in an image of 20x30 pixels, and places in and around it, for properties
CLICK = st.builds(Click, st.integers(0, 19), st.integers(0, 29), st.booleans())
PLACE = st.tuples(st.floats(-8, 28, width=32), st.floats(-8, 38, width=32), st.booleans())


def fill_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of the same keys and shapes, its values a function of key and place."""
    return {key: _fill(key, value) for key, value in state.items()}


def draw_picture(channels: int, rows: int, cols: int, offset: int = 0) -> Tensor:
    """Return a (1, channels, rows, cols) input in [0, 1)."""
    place = np.arange(channels * rows * cols, dtype=np.float64) + 1 + offset
    values = np.modf(place * 0.6180339887498949)[0]
    return torch.tensor(values.reshape(1, channels, rows, cols), dtype=torch.float32)


def make_weyl(count: int, offset: int) -> NDArray[np.float64]:
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(offset)
    return 2 * ((steps % np.uint64(2**32)).astype(np.float64) / 2**32) - 1


def _fill(key: str, value: Tensor) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return value
    count = value.numel()
    t = make_weyl(count, zlib.crc32(key.encode()))
    if value.ndim >= 2:
        t = t * math.sqrt(6 / (count / value.shape[0]))
    elif key.endswith("running_var"):
        t = 1 + 0.25 * t
    elif key.endswith(("running_mean", ".bias")):
        t = 0.1 * t
    elif key.endswith(".weight"):
        t = 1 + 0.1 * t
    else:
        t = np.full(count, 0.3)
    return torch.tensor(t.reshape(tuple(value.shape)), dtype=torch.float32)
