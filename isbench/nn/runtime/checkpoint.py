"""Loads weight files into networks: strictly, and without executing code from the file.

Reads the format of RITM, ClickSEG and CSFPN (a dict with `state_dict` and `config`), flat state
dicts, and safetensors.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from isbench.datasets.fingerprints import digest_file
from isbench.errors import IsbenchError

_MOST_KEYS = 3  # most keys that an error lists


def load_checkpoint(networks: Sequence[nn.Module], path: Path) -> str:
    """Load a checkpoint file into networks and return the file's sha256.

    The keys of the file must be those of all networks together, and equal in shape; all values must
    be finite. Raises IsbenchError for a file that is damaged, contains code, or is for another
    network.
    """
    digest = digest_file(path)
    state = _state(path, _read(path))
    states = [network.state_dict() for network in networks]
    _check(path, state, {key: value for one in states for key, value in one.items()})
    for network, keys in zip(networks, states, strict=True):
        network.load_state_dict({key: state[key] for key in keys}, strict=True)
    return digest


def group_by_file(networks: Sequence[nn.Module]) -> list[list[nn.Module]]:
    """Return the networks that share a weight file, in order.

    They share one unless a key names different tensors in two of them; then each has its own. A
    network without tensors needs none.
    """
    tensors: dict[str, Tensor] = {}
    for network in networks:
        for key, tensor in network.state_dict(keep_vars=True).items():
            if tensors.setdefault(key, tensor) is not tensor:
                return [[one] for one in networks if one.state_dict()]
    return [list(networks)]


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about what it then rejects
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise IsbenchError(
            f"weights {path} contain more than tensors and plain values (not executed), or are "
            "damaged: ask the author for a file of tensors, or delete it and download it again"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError, zipfile.BadZipFile) as e:
        raise IsbenchError(
            f"weights {path} are damaged or not a checkpoint; delete the file and download it again"
        ) from e


def _state(path: Path, stored: Any) -> Mapping[str, Tensor]:
    if isinstance(stored, Mapping) and isinstance(stored.get("state_dict"), Mapping):
        stored = stored["state_dict"]
    if (
        not isinstance(stored, Mapping)
        or not stored
        or not all(isinstance(value, Tensor) for value in stored.values())
    ):
        raise IsbenchError(f"weights {path} contain no state dict; wanted tensors by key")
    return stored


def _check(path: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    keys_of = {
        "missing keys": [key for key in wanted if key not in state],
        "unexpected keys": [key for key in state if key not in wanted],
        "keys of another shape": [
            f"{key} {tuple(state[key].shape)}, wanted {tuple(wanted[key].shape)}"
            for key in wanted
            if key in state and state[key].shape != wanted[key].shape
        ],
    }
    problems = [f"{problem}: {_list_keys(keys)}" for problem, keys in keys_of.items() if keys]
    if problems:
        raise IsbenchError(f"weights {path} are for another network: {'; '.join(problems)}")
    not_finite = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if not_finite:
        raise IsbenchError(
            f"weights {path} contain values that are not finite, in {_list_keys(not_finite)}; "
            "delete the file and download it again"
        )


def _list_keys(keys: list[str]) -> str:
    rest = len(keys) - _MOST_KEYS
    return ", ".join(islice(keys, _MOST_KEYS)) + (f" and {rest} more" if rest > 0 else "")
