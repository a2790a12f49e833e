"""Where and how networks are computed: device, precision, threads; and networks made ready for it.

A network is drawn or loaded on the CPU and then moved, so that a seed draws the same weights
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from isbench.errors import IsbenchError, unknown
from isbench.nn.checkpoint import load_weights
from isbench.types import Runtime

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SEED = 0  # of weights that are drawn


def ready(network: Callable[[], nn.Module], runtime: Runtime, number: int = 0) -> nn.Module:
    """Return a network for inference: its weights loaded, or drawn where the runtime has none.

    `number` counts the networks of one model, which take the runtime's files in order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED + number)
        made = network()
    if runtime.weights:
        load_weights(made, _file(runtime, number))
    made.requires_grad_(False)
    made = made.eval().to(runtime.device)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _file(runtime: Runtime, number: int) -> Path:
    if number >= len(runtime.weights):
        given = ",".join(map(str, runtime.weights))
        raise IsbenchError(
            f"this model is of {number + 1} networks or more and was given {len(runtime.weights)} "
            f"file of weights ({given}); wanted --weights FILE,FILE"
        )
    return runtime.weights[number]


@contextmanager
def computing(runtime: Runtime) -> Iterator[None]:
    """Compute inside without gradients, in the runtime's precision, on its number of threads."""
    before, kind = torch.get_num_threads(), runtime.device.partition(":")[0]
    lowered = runtime.precision != "fp32"
    torch.set_num_threads(runtime.threads)
    try:
        with (
            torch.inference_mode(),
            torch.autocast(kind, PRECISIONS[runtime.precision], enabled=lowered),
        ):
            yield
    finally:
        torch.set_num_threads(before)


def device(name: str) -> str:
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


def precision(name: str) -> str:
    """Return the name of a precision; refuse one that there is not."""
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    return name
