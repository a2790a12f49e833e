"""Weights of ritm-lite for tests: random, but answers that vary over the image."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from isbench.nn.network import make_examples
from tests.support.networks import network

_SPREAD = 2.0  # of the logits


def make_ritm_lite() -> nn.Module:
    """Return ritm-lite with seeded weights; half of its example image is an object."""
    made = network("ritm-lite").eval()
    last = dict(made.named_parameters())
    with torch.no_grad():
        (logits,) = made(*make_examples(made, (96, 128), 4))
        last["head.layers.2.weight"] *= _SPREAD / logits.std()
        (logits,) = made(*make_examples(made, (96, 128), 4))
        last["head.layers.2.bias"] -= logits.median()
    return made


def save_ritm_lite(folder: Path) -> str:
    """Save the weights of `make_ritm_lite` and return the file."""
    path = folder / "ritm-lite.safetensors"
    save_file(make_ritm_lite().state_dict(), path)
    return str(path)
