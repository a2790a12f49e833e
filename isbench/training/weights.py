"""Weights out of a training, in half the bytes and with a card; and weights to start one from.

Reading them for play, strictly, is `isbench.nn.runtime.checkpoint`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from isbench.errors import IsbenchError

_CARD = "card"  # the one key of the file's metadata: several would come in any order
_LARGEST = torch.finfo(torch.float16).max


class Loaded(NamedTuple):
    """What a file of weights gave to a network."""

    taken: int  # tensors
    new: tuple[str, ...]  # keys of the network that the file lacks, or has in another shape
    left: tuple[str, ...]  # keys of the file that found no place


def save_weights(network: nn.Module, path: Path, card: Mapping[str, str]) -> None:
    """Write a network's state as safetensors in fp16, the card as its metadata.

    Numbers too large for fp16 stay fp32 with the rest of their tensor. The same weights and card
    give the same bytes.
    """
    state = {key: _halve(value) for key, value in network.state_dict().items()}
    text = json.dumps(dict(card), sort_keys=True)
    data = save(state, {_CARD: text})
    write_atomically(path, lambda draft: draft.write_bytes(data))


def read_card(path: Path) -> dict[str, str]:
    """Return the card of a file of weights; raises IsbenchError for a file without one."""
    try:
        with safe_open(path, "pt") as file:
            card: dict[str, str] = json.loads((file.metadata() or {})[_CARD])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise IsbenchError(
            f"weights {path} have no card ({error}); wanted a file of ours"
        ) from error
    return card


def origin_of(path: Path) -> str:
    """Return where weights began as their card says it, "" where they have no card."""
    try:
        return read_card(path).get("origin", "")
    except IsbenchError:
        return ""


def start_from(network: nn.Module, path: Path) -> Loaded:
    """Copy what fits from a safetensors file into a network that may have more, or other parts.

    Raises IsbenchError for a file that cannot be read, or of which nothing fits.
    """
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise IsbenchError(
            f"cannot start from weights {path}: {error}; wanted a safetensors file"
        ) from error
    state = network.state_dict()
    fitting = {
        key: value
        for key, value in stored.items()
        if key in state and state[key].shape == value.shape
    }
    if not fitting:
        raise IsbenchError(f"weights {path} are of another network: no tensor of them fits")
    network.load_state_dict(fitting, strict=False)  # what it lacks is told below
    new = tuple(key for key in state if key not in fitting)
    return Loaded(len(fitting), new, tuple(key for key in stored if key not in fitting))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then give it its own: nobody ever sees half of it.

    Raises IsbenchError when the disk refuses it.
    """
    draft = path.with_name(path.name + ".tmp")
    try:
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except (
        OSError,
        SafetensorError,
        RuntimeError,
    ) as error:  # torch raises the last for a full disk
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise IsbenchError(
            f"cannot write {path}: {error}; what was there before is kept: make room, and go on "
            "by --resume"
        ) from error


def _halve(value: Tensor) -> Tensor:
    value = value.detach().cpu()
    fits = value.is_floating_point() and bool((value.abs() <= _LARGEST).all())
    return (value.half() if fits else value).contiguous()
