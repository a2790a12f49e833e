"""Where and how networks are computed: device, precision, threads; and networks made ready for it.

A network is drawn or loaded on the CPU and then moved, so that a seed draws the same weights
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from isbench.errors import IsbenchError, unknown
from isbench.nn.runtime.backends import Computed, accelerate
from isbench.nn.runtime.checkpoint import load_checkpoint
from isbench.types import Runtime

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SEED = 0  # of weights that are drawn


def build_network(
    network: Callable[[], nn.Module], runtime: Runtime, number: int = 0, of: int = 1
) -> Computed:
    """Return a network as the runtime's backend computes it; see `loaded`.

    Raises Unfit where the backend does not answer as the network does.
    """
    made = load_network(network, runtime, number, of)
    made = made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with inference(runtime):
        return accelerate(made, runtime)


def load_network(
    network: Callable[[], nn.Module], runtime: Runtime, number: int = 0, of: int = 1
) -> nn.Module:
    """Return a network for inference: its weights loaded, or drawn where the runtime has none.

    It is number `number` of the `of` networks of a model, which take the runtime's files in order.
    Raises IsbenchError for another number of files, and for weights that changed since they were
    hashed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED + number)
        made = network()
    if runtime.weights:
        path, wanted = _file(runtime, number, of)
        if load_checkpoint(made, path) != wanted:
            raise IsbenchError(f"weights {path} changed after the run began; run it again")
    made.requires_grad_(False)
    return made.eval().to(runtime.device)


def _file(runtime: Runtime, number: int, of: int) -> tuple[Path, str]:
    """Return a network's file of weights and what its sha256 was."""
    if len(runtime.weights) != of:
        given = ",".join(map(str, runtime.weights))
        raise IsbenchError(
            f"this model is of {of} network{'s' * (of > 1)} and was given {len(runtime.weights)} "
            f"files of weights ({given}); wanted --weights {','.join(['FILE'] * of)}"
        )
    return runtime.weights[number], runtime.digest.split("+")[number]


@contextmanager
def inference(runtime: Runtime) -> Iterator[None]:
    """Compute inside without gradients, in the runtime's precision, on its number of threads."""
    threads, convolutions = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(runtime.threads)
    if runtime.precision == "fp32":
        torch.backends.cudnn.allow_tf32 = False  # 10 bits of 23 are not what fp32 says
    try:
        with torch.inference_mode(), _lowered(runtime):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.set_num_threads(threads)


def _lowered(runtime: Runtime) -> AbstractContextManager[object]:
    if runtime.precision == "fp32":
        return nullcontext()
    return torch.autocast(runtime.device.partition(":")[0], PRECISIONS[runtime.precision])


def assign_device(device: str, worker: int) -> None:
    """Give a worker a GPU: where it is not said which, the workers take them in turn."""
    if device == "cuda":
        torch.cuda.set_device(worker % torch.cuda.device_count())


def list_devices(device: str) -> int:
    """Return how many workers a device has room for: one on each GPU where none is named."""
    return torch.cuda.device_count() if device == "cuda" else 1


def parse_device(name: str) -> str:
    """Return the device for a name, `auto` being the fastest there is; refuse one that is not."""
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and kind != "cuda"):
        raise unknown("device", name, ("auto", "cpu", "cuda", "cuda:N", "mps"))
    mps = torch.backends.mps.is_available()
    if kind == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    there = torch.cuda.device_count()
    if (kind == "cuda" and not _is_among(number, there)) or (kind == "mps" and not mps):
        found = ", ".join([f"cuda:{n}" for n in range(there)] + ["mps"] * mps + ["cpu"])
        raise IsbenchError(f"device {name} is not on this machine; there is {found}")
    return name


def _is_among(number: str, there: int) -> bool:
    return there > 0 if not number else number.isdecimal() and int(number) < there


def parse_precision(name: str) -> str:
    """Return the name of a precision; refuse one that there is not."""
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    return name
