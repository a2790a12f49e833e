"""Weights from files into networks: strictly, and without running what a file may hold as code.

Reads the container of RITM, ClickSEG and CSFPN (a dict with `state_dict` and `config`), flat state
dicts, and safetensors.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from isbench.datasets.fingerprints import digest_file
from isbench.errors import IsbenchError

_NAMED = 3  # keys that an error names


def load_checkpoint(network: nn.Module, path: Path) -> str:
    """Load a checkpoint file into the network and return the file's sha256.

    Every key must be there in its shape, none may be left over, and every number must be finite.
    Raises IsbenchError for a file that is damaged, holds code, or is of another network.
    """
    digest = digest_file(path)
    state = _state(path, _read(path))
    _check(path, state, network.state_dict())
    network.load_state_dict(state, strict=True)
    return digest


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise IsbenchError(
            f"weights {path} hold more than tensors and plain values, or are damaged; they are not "
            "run: ask their author for a file of tensors, or delete it and fetch it anew"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError, zipfile.BadZipFile) as e:
        raise IsbenchError(
            f"weights {path} are damaged or no checkpoint; delete and fetch them anew"
        ) from e


def _state(path: Path, stored: Any) -> Mapping[str, Tensor]:
    if isinstance(stored, Mapping) and isinstance(stored.get("state_dict"), Mapping):
        stored = stored["state_dict"]
    if (
        not isinstance(stored, Mapping)
        or not stored
        or not all(isinstance(value, Tensor) for value in stored.values())
    ):
        raise IsbenchError(f"weights {path} hold no state dict; wanted tensors by key")
    return stored


def _check(path: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    faults = {
        "lack": [key for key in wanted if key not in state],
        "have besides": [key for key in state if key not in wanted],
        "have in another shape": [
            f"{key} {tuple(state[key].shape)} for {tuple(wanted[key].shape)}"
            for key in wanted
            if key in state and state[key].shape != wanted[key].shape
        ],
    }
    told = [f"{what} {_first(keys)}" for what, keys in faults.items() if keys]
    if told:
        raise IsbenchError(f"weights {path} are of another network: they {'; they '.join(told)}")
    broken = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise IsbenchError(
            f"weights {path} hold numbers that are not finite, in {_first(broken)}; delete and "
            "fetch them anew"
        )


def _first(keys: list[str]) -> str:
    rest = len(keys) - _NAMED
    return ", ".join(islice(keys, _NAMED)) + (f" and {rest} more" if rest > 0 else "")
