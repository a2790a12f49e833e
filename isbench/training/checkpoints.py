"""Training checkpoints: everything needed to continue bit-exactly.

Random draws are seeded by (seed, sample, click) and (seed, step), so there is no generator state to
save.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from isbench.errors import IsbenchError, Remedy
from isbench.files.atomic import open_atomically
from isbench.files.json_text import parse_json
from isbench.nn.runtime.torch_file import is_plain_tensor, load_torch_file
from isbench.training.recipe import fill_defaults
from isbench.training.training_log import RunningMeans
from isbench.training.weights import REMEDY
from isbench.types import Scalar

FILE = "training.pt"
_SUMS = len(RunningMeans().sums)
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # of a parameter, in Adam and AdamW
_RESTART = Remedy("start again in another folder", "out")
Options: TypeAlias = Mapping[str, Scalar]


class Checkpoint(NamedTuple):
    """The state of a training after a step."""

    about: str  # everything that decides the training, as JSON
    step: int  # steps done
    network: Mapping[str, Any]
    mean: Mapping[str, Any]
    optimiser: Mapping[str, Any]
    scaler: Mapping[str, Any]
    best: float  # NoC@90 of the best validation; infinite before the first
    sums: Sequence[float]  # running sums of the log's next row
    origin: str = ""  # the initial weights and their digest
    validation_due: bool = False  # the validation after this step was not finished


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in one step; raises IsbenchError if the disk fails."""
    with open_atomically(path, REMEDY) as file:
        try:
            torch.save(checkpoint._asdict(), file)
        except RuntimeError as error:  # what torch raises when the disk is full
            raise OSError(str(error)) from error


def load(path: Path, about: str, network: Callable[[Options], nn.Module]) -> Checkpoint:
    """Load the checkpoint of the same training; `network` builds a network from options.

    Options that change inference but not the network may differ. Raises IsbenchError if there is no
    checkpoint, if it cannot be read, or if it belongs to another training.
    """
    if not path.is_file():
        message = f"no checkpoint {path} to resume; start without resuming"
        raise IsbenchError(message, setting="resume")
    checkpoint = read(path)
    try:
        saved, current = parse_json(checkpoint.about), parse_json(about)
        saved["recipe"] = fill_defaults(saved["recipe"])
    except Exception as e:  # whatever a damaged file has led to
        raise _describe_damage(path, e, _RESTART) from e
    if saved["options"] != current["options"] and _is_same_network(
        network, saved["options"], current["options"]
    ):
        saved["options"] = current["options"]
    if differences := _list_differences(saved, current):
        raise IsbenchError(
            f"{path.parent} holds another training: {'; '.join(differences)}; resume with the same "
            "settings, or choose another folder",
            setting="out",
        )
    return checkpoint


def read(path: Path, remedy: Remedy = _RESTART) -> Checkpoint:
    """Return a checkpoint of any training; raises IsbenchError if it cannot be read."""
    try:
        checkpoint = Checkpoint(**load_torch_file(path))
        _check_kinds(checkpoint)
    except Exception as e:  # torch raises many types for a damaged file
        raise _describe_damage(path, e, remedy) from e
    return checkpoint


def restore(
    checkpoint: Checkpoint,
    path: Path,
    total: int,
    network: nn.Module,
    mean: nn.Module,
    optimiser: Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Copy a checkpoint's state into the parts of a training of `total` steps.

    Raises IsbenchError for a state that is not one of theirs. `path` is its file, for errors.
    """
    settings = [_list_settings(group) for group in optimiser.param_groups]
    try:
        if checkpoint.step > total:
            raise ValueError(f"{checkpoint.step} steps of {total} are done")
        network.load_state_dict(checkpoint.network)
        mean.load_state_dict(checkpoint.mean)
        optimiser.load_state_dict(dict(checkpoint.optimiser))
        if [_list_settings(group) for group in optimiser.param_groups] != settings:
            raise ValueError("the optimiser has other settings")
        _check_moments(optimiser)
        scaler.load_state_dict(dict(checkpoint.scaler))
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as e:  # torch raises many types for a state that does not fit
        raise _describe_damage(path, e, _RESTART) from e


def _check_kinds(checkpoint: Checkpoint) -> None:
    """Raise TypeError or ValueError for a field that is not of its type."""
    numbers = (*checkpoint.sums, checkpoint.best, *checkpoint.scaler.values())
    is_state = all(
        isinstance(key, str) and is_plain_tensor(value)
        for state in (checkpoint.network, checkpoint.mean)
        for key, value in state.items()
    )
    if not is_state:
        raise TypeError("a state is not tensors by name")
    if not all(isinstance(one, str) for one in (checkpoint.about, checkpoint.origin)):
        raise TypeError("a field is not text")
    if type(checkpoint.step) is not int or checkpoint.step < 0:
        raise ValueError(f"the step is {checkpoint.step!r}")
    if type(checkpoint.validation_due) is not bool:
        raise TypeError(f"validation_due is {checkpoint.validation_due!r}")
    if len(checkpoint.sums) != _SUMS or not all(type(one) in (int, float) for one in numbers):
        raise TypeError("a field is not a number")


def _list_settings(group: Mapping[str, Any]) -> Options:
    """Return what an optimiser's parameter group is set to; the rate is set before every step."""
    return {key: value for key, value in group.items() if key not in ("params", "lr")}


def _check_moments(optimiser: Optimizer) -> None:
    """Raise ValueError if a parameter's running means are not what its optimiser needs.

    Its fused kernels do not look at shapes: they would write beyond the ends of others.
    """
    wanted = {"momentum_buffer"} if isinstance(optimiser, SGD) else _MOMENTS
    for parameter, state in optimiser.state.items():
        if state and state.keys() != wanted:
            raise ValueError(f"the optimiser has {', '.join(map(str, state))} of a parameter")
        for name, value in state.items():
            shape = () if name == "step" else parameter.shape
            if not is_plain_tensor(value) or value.shape != shape:
                raise ValueError(f"{name} of the optimiser has another shape than its parameter")


def _describe_damage(path: Path, error: Exception, remedy: Remedy) -> IsbenchError:
    fault = " ".join(str(error).split()).rstrip(" .")  # torch writes several lines
    if not fault or isinstance(error, pickle.UnpicklingError):  # torch advises to execute the file
        fault = "it is no checkpoint, or contains more than tensors and plain values (not executed)"
    message = f"checkpoint {path} is damaged: {fault}; {remedy.text}"
    return IsbenchError(message, setting=remedy.setting)


def _is_same_network(network: Callable[[Options], nn.Module], one: Options, other: Options) -> bool:
    """Return whether both options build the same network, down to every value of its modules."""
    if one.keys() != other.keys():
        return False
    try:
        return _serialize(network(one)) == _serialize(network(other))
    except (AttributeError, TypeError, pickle.PicklingError):  # undecidable: assume different
        return False


def _serialize(network: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.save(network, buffer)
    return buffer.getvalue()


def _list_differences(saved: Any, current: Any, name: str = "") -> list[str]:
    """Return the differences between two JSON values, one line each."""
    if isinstance(saved, dict) and isinstance(current, dict):
        return [
            line
            for key in sorted(saved.keys() | current.keys())
            for line in _list_differences(
                saved.get(key), current.get(key), f"{name}.{key}" if name else key
            )
        ]
    return [] if saved == current else [f"{name} is {saved!r} there and {current!r} here"]
