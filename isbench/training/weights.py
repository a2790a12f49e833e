"""Saves a training's weights in half precision with a card, and initialises from a weight file.

Not here: reading a card (`weight_card`), strict loading for evaluation
(`isbench.nn.runtime.checkpoint`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from isbench.errors import IsbenchError, Remedy
from isbench.files.atomic import write_atomically
from isbench.nn.runtime.checkpoint import check_values
from isbench.training.weight_card import CARD

# what to do when the disk is full
REMEDY = Remedy("the previous file is kept: free some space and resume", "resume")
_LARGEST = torch.finfo(torch.float16).max


class StartingWeights(NamedTuple):
    """What was loaded from a weight file into a network."""

    taken: int  # number of tensors that were copied
    new: tuple[str, ...]  # network keys missing from the file, or of another shape there
    left: tuple[str, ...]  # file keys that were not used


def save_weights(network: nn.Module, path: Path, card: Mapping[str, str]) -> None:
    """Write a network's state as safetensors in fp16, with the card as metadata.

    A tensor with values too large for fp16 stays fp32. Equal weights and cards give equal bytes.
    Raises IsbenchError if the file cannot be written.
    """
    state = {key: _round_to_half(value) for key, value in network.state_dict().items()}
    text = json.dumps(dict(card), sort_keys=True)
    write_atomically(path, save(state, {CARD: text}), REMEDY)


def start_from(network: nn.Module, path: Path) -> StartingWeights:
    """Copy the tensors of a safetensors file that match a network by key and shape.

    Raises IsbenchError for a file that cannot be read, and if no tensor matches.
    """
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise IsbenchError(
            f"cannot start from weights {path}: {error}; wanted a safetensors file, or the "
            "training.pt of a training"
        ) from error
    return copy_matching(network, stored, path)


def copy_matching(network: nn.Module, stored: Mapping[str, Tensor], path: Path) -> StartingWeights:
    """Copy the tensors that match a network by key and shape; `path` is their file, for errors.

    Raises IsbenchError if no tensor of floating-point numbers matches, for numbers of another kind
    in place of them, and for values that are not finite and negative variances.
    """
    state = network.state_dict()
    matching = {
        key: value
        for key, value in stored.items()
        if key in state and state[key].shape == value.shape
    }
    for key, value in matching.items():
        if state[key].is_floating_point() and not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise IsbenchError(
                f"weights {path} contain {kind} numbers in {key}; wanted float32, float16 or "
                "bfloat16"
            )
    check_values(path, {key: value.to(state[key].dtype) for key, value in matching.items()})
    if not any(value.is_floating_point() for value in matching.values()):
        raise IsbenchError(
            f"weights {path} are for another network: no tensor matches by key and shape"
        )
    network.load_state_dict(matching, strict=False)  # missing keys are returned below
    new = tuple(key for key in state if key not in matching)
    return StartingWeights(len(matching), new, tuple(key for key in stored if key not in matching))


def _round_to_half(value: Tensor) -> Tensor:
    value = value.detach().cpu()
    fits = value.is_floating_point() and bool((value.abs() <= _LARGEST).all())
    return (value.half() if fits else value).contiguous()
