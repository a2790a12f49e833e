"""A training on disk: all that it needs to go on as if nobody had stopped it.

Lots are drawn by (seed, sample, click) and (seed, step), so that there is no generator to keep.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import nn

from isbench.errors import IsbenchError
from isbench.training.recipe import fill_defaults
from isbench.training.weights import write_atomically
from isbench.types import Scalar

FILE = "training.pt"
Options: TypeAlias = Mapping[str, Scalar]


class Checkpoint(NamedTuple):
    """What is kept of a training after a step."""

    about: str  # what decides the training, as JSON
    step: int  # steps that are done
    network: Mapping[str, Any]
    mean: Mapping[str, Any]
    optimiser: Mapping[str, Any]
    scaler: Mapping[str, Any]
    best: float  # NoC@90 of the best validation; infinite before one
    sums: Sequence[float]  # of the log's next row
    origin: str = ""  # the weights that it started from, and their digest


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    write_atomically(path, lambda draft: torch.save(checkpoint._asdict(), draft))


def load(path: Path, about: str, network: Callable[[Options], nn.Module]) -> Checkpoint:
    """Return the checkpoint of the same training; `network` builds a network by options.

    Options that change how the network is played, but not the network, may differ. Raises
    IsbenchError where there is none, it cannot be read, or it is of another training.
    """
    if not path.is_file():
        raise IsbenchError(f"no checkpoint {path} to resume; leave --resume away to begin")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint = Checkpoint(**stored)
        there, here = json.loads(checkpoint.about), json.loads(about)
        there["recipe"] = fill_defaults(there["recipe"])
    except (
        OSError,
        EOFError,
        RuntimeError,
        TypeError,
        LookupError,
        ValueError,
        pickle.UnpicklingError,
    ) as e:
        raise IsbenchError(f"checkpoint {path} is damaged: {e}; begin anew elsewhere") from e
    if there["options"] != here["options"] and _same(network, there["options"], here["options"]):
        there["options"] = here["options"]
    if differing := _differing(there, here):
        raise IsbenchError(
            f"{path.parent} holds another training: {'; '.join(differing)}; resume it as it was, "
            "or choose another --out"
        )
    return checkpoint


def _same(network: Callable[[Options], nn.Module], one: Options, other: Options) -> bool:
    """Whether both options make the same network, down to the last value of its modules."""
    if one.keys() != other.keys():
        return False
    try:
        return _bytes(network(one)) == _bytes(network(other))
    except (AttributeError, TypeError, pickle.PicklingError):  # who cannot tell takes no risk
        return False


def _bytes(network: nn.Module) -> bytes:
    kept = io.BytesIO()
    torch.save(network, kept)
    return kept.getvalue()


def _differing(there: Any, here: Any, name: str = "") -> list[str]:
    """Return what differs between two values of JSON, a line each."""
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            line
            for key in sorted(there.keys() | here.keys())
            for line in _differing(there.get(key), here.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if there == here else [f"{name} is {there!r} there and {here!r} here"]
