"""Loads weight files into networks: strictly, and without executing code from the file.

Reads the format of RITM, ClickSEG and CSFPN (a dict with `state_dict` and `config`), flat state
dicts, and safetensors.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from isbench.errors import IsbenchError
from isbench.files.digests import digest_file
from isbench.nn.runtime.torch_file import load_torch_file

_MOST_KEYS = 3  # most keys that an error lists
_OF_A_TRAINING = {"network", "mean", "optimiser"}  # of the fields of `training.checkpoints`
_SETTINGS = (bool, int, float, str, type(None))  # kinds of values in a checkpoint's config
_LONGEST_HEADER = 100_000_000  # bytes, as the format allows
# beginnings of keys that training tools add, and what saves the state dict without them
_PREFIXES = {
    "module.": "save `network.module.state_dict()`",
    "_orig_mod.": "save `network._orig_mod.state_dict()`",
    "model.": "save `model.state_dict()`",
}


def load_checkpoint(networks: Sequence[nn.Module], path: Path) -> str:
    """Load a checkpoint file into networks and return the file's sha256.

    The keys of the file must be those of all networks together, and equal in shape; all values must
    be of the network's kind of number, and finite in its precision. A network's `checkpoint_config`
    names settings that an official checkpoint must have been made with. Official files may lack
    values without effect, or have further ones: `checkpoint_may_lack` of a network has the last
    parts of such keys, `checkpoint_may_have` such keys of single numbers. Raises IsbenchError for a
    file that is damaged, contains code, or is for another network.

    A network whose files have other keys than its tensors has a `checkpoint_layout`: a function
    from its tensors and those of a file, each by key, to its tensors, or views of them, by the keys
    of the file, and to the tensors of the file that are read. Its `checkpoint_entry` is the entry
    of a file that may hold the state dict, in addition to `state_dict`.
    """
    digest, stored = digest_file(path), _read(path)
    state = _find_state(path, stored, _list_attributes(networks, "checkpoint_entry"))
    may_have = set(chain(*_list_attributes(networks, "checkpoint_may_have")))
    state = {
        key: value for key, value in state.items() if key not in may_have or value.numel() != 1
    }
    wanted = {key: value for network in networks for key, value in network.state_dict().items()}
    for match_layout in _list_attributes(networks, "checkpoint_layout"):
        wanted, state = match_layout(wanted, state)
    may_lack = set(chain(*_list_attributes(networks, "checkpoint_may_lack")))
    _check_keys(path, state, wanted, may_lack)
    loaded = {
        key: _convert(path, key, state.get(key, value), value) for key, value in wanted.items()
    }
    check_values(path, loaded)
    _check_config(path, stored, networks)
    with torch.no_grad():
        for key, value in wanted.items():
            value.copy_(loaded[key])
    return digest


def _list_attributes(networks: Sequence[nn.Module], name: str) -> list[Any]:
    """Return the values of an attribute that some of the networks have, each once."""
    return list(dict.fromkeys(getattr(one, name) for one in networks if hasattr(one, name)))


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
        if _is_safetensors(path):
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about what it then rejects
            return load_torch_file(path)
    except Exception as error:  # the readers raise many types for a damaged file
        raise IsbenchError(f"weights {path} {_describe_fault(path, error)}") from error


def _describe_fault(path: Path, error: Exception) -> str:
    """Return what is wrong with a file that cannot be read, and the remedy."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):  # such as a page that asks for consent
        return "are a web page: delete the file, and download what the page links"
    if isinstance(error, pickle.UnpicklingError):
        return (
            "contain more than tensors and plain values (not executed), or are damaged: ask the "
            "author for a file of tensors, or delete it and download it again"
        )
    return "are damaged or not a checkpoint; delete the file and download it again"


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins like safetensors, whatever its name."""
    with path.open("rb") as file:
        start = file.read(9)
    # the length of a JSON header, then the header
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _LONGEST_HEADER


def _find_state(path: Path, stored: Any, entries: Sequence[str]) -> Mapping[str, Tensor]:
    """Return the tensors by key, alone in a file, as its `state_dict` or as one of `entries`."""
    for entry in ("state_dict", *entries):
        if isinstance(stored, Mapping) and isinstance(stored.get(entry), Mapping):
            stored = stored[entry]
    if _is_state(stored):
        found: Mapping[str, Tensor] = stored
        return found
    if _has_items(stored) and stored.keys() >= _OF_A_TRAINING:
        raise IsbenchError(
            f"{path} is the checkpoint of a training, not its weights; wanted weights.safetensors, "
            "which the training writes next to it"
        )
    inner = [key for key, value in stored.items() if _is_state(value)] if _has_items(stored) else []
    if inner:
        raise IsbenchError(
            f"weights {path} contain their state dict as {inner[0]!r}; wanted it alone, or as "
            f"'state_dict': save `torch.load(path)[{inner[0]!r}]`"
        )
    raise IsbenchError(f"weights {path} contain no state dict; wanted tensors by key")


def _has_items(stored: Any) -> bool:
    return isinstance(stored, Mapping) and bool(stored)


def _is_state(stored: Any) -> bool:
    return _has_items(stored) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in stored.items()
    )


def _check_keys(
    path: Path,
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    may_lack: Collection[str],
) -> None:
    keys_of = {
        "missing keys": [
            key for key in wanted if key not in state and key.rpartition(".")[2] not in may_lack
        ],
        "unexpected keys": [key for key in state if key not in wanted],
        "keys of another shape": [
            f"{key} {tuple(state[key].shape)}, wanted {tuple(wanted[key].shape)}"
            for key in wanted
            if key in state
            and not state[key].is_nested  # has no shape, and is refused later
            and state[key].shape != wanted[key].shape
        ],
    }
    prefix = _find_prefix(state, wanted) if keys_of["missing keys"] else ""
    if prefix:
        remedy = _PREFIXES.get(prefix, f"save them without it: `key.removeprefix({prefix!r})`")
        raise IsbenchError(
            f"the keys of weights {path} begin with {prefix!r}, which a training tool added; "
            f"{remedy}"
        )
    problems = [f"{problem}: {_list_keys(keys)}" for problem, keys in keys_of.items() if keys]
    if problems:
        raise IsbenchError(f"weights {path} are for another network: {'; '.join(problems)}")


def _find_prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Return what every key begins with before a wanted key, "" if that does not make them all."""
    key, shortest = next(iter(state), ""), min(wanted, key=len, default="")
    for at in range(1, len(key) - len(shortest) + 1):
        if key[at:] in wanted and set(state) == {key[:at] + name for name in wanted}:
            return key[:at]
    return ""


def _convert(path: Path, key: str, value: Tensor, wanted: Tensor) -> Tensor:
    """Return a value as the network's kind of number; raises IsbenchError for another kind."""
    kind = _name_kind(value)
    if kind not in _ACCEPTED[wanted.is_floating_point()]:
        name = str(wanted.dtype).removeprefix("torch.")
        raise IsbenchError(
            f"weights {path} contain {kind} numbers in {key}; wanted {name}: save them in fp32, "
            "fp16 or bf16"
        )
    return value.to(wanted.dtype)


_ACCEPTED = {
    True: {"float64", "float32", "float16", "bfloat16"},
    False: {"uint8", "int8", "int16", "int32", "int64"},
}


def _name_kind(value: Tensor) -> str:
    """Return a tensor's kind of number, such as float32 or quantized."""
    if value.is_quantized:
        return "quantized"
    if value.is_nested:
        return "nested"
    if value.layout != torch.strided:
        return "sparse"
    if value.is_meta:
        return "no"
    return str(value.dtype).removeprefix("torch.")


def check_values(path: Path, loaded: Mapping[str, Tensor]) -> None:
    """Raise IsbenchError for values that are not finite, and variances that are negative.

    `loaded` are in the precision of the network.
    """
    not_finite = [key for key, value in loaded.items() if not torch.isfinite(value).all()]
    negative = [
        key
        for key, value in loaded.items()
        if key.rpartition(".")[2] == "running_var" and bool((value < 0).any())
    ]
    for keys, what in (
        (not_finite, "values that are not finite"),
        (negative, "negative variances"),
    ):
        if keys:
            raise IsbenchError(
                f"weights {path} contain {what}, in {_list_keys(keys)}; delete the file and "
                "download it again"
            )


def _check_config(path: Path, stored: Any, networks: Sequence[nn.Module]) -> None:
    """Raise IsbenchError for an official checkpoint of a network with other settings."""
    config = stored.get("config") if isinstance(stored, Mapping) else None
    params = config.get("params") if isinstance(config, Mapping) else None
    if not isinstance(params, Mapping):
        return
    for network in networks:
        wanted: Mapping[str, Any] = getattr(network, "checkpoint_config", {})
        for name, value in wanted.items():
            entry = params.get(name)
            found = entry.get("value", value) if isinstance(entry, Mapping) else value
            # a tensor has no single answer to whether it is equal
            if not isinstance(found, _SETTINGS) or found != value:
                raise IsbenchError(
                    f"weights {path} are for a network with {name}={found!s:.60}; wanted "
                    f"{name}={value}"
                )


def _list_keys(keys: list[str]) -> str:
    rest = len(keys) - _MOST_KEYS
    return ", ".join(islice(keys, _MOST_KEYS)) + (f" and {rest} more" if rest > 0 else "")
