"""Device, precision and threads of networks, and networks prepared for inference.

A network is initialised or loaded on the CPU and then moved, so that a seed gives the same weights
on every device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from isbench.errors import IsbenchError, make_unknown_error
from isbench.nn.network import (
    Computed,
    Networks,
    check_examples,
    compute_outputs,
    make_examples,
)
from isbench.nn.runtime.backends import accelerate
from isbench.nn.runtime.checkpoint import group_by_file, load_checkpoint
from isbench.types import Runtime

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SEED = 0  # of randomly initialised weights
# in torch's errors about tensors that autograd did not record
_NEEDS_GRADIENTS = re.compile(r"requires?[ _]grad|inference tensor", re.IGNORECASE)


def build_networks(make: Callable[[], Networks], runtime: Runtime) -> Mapping[str, Computed]:
    """Return a card's networks for the runtime's backend, by name; see `load_networks`.

    Raises Unfit if the outputs on the backend differ from those of a network, and IsbenchError for
    one without `example_inputs`.
    """
    networks = load_networks(make, runtime)
    for network in networks.values():
        check_examples(network)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with inference(runtime):
        return {name: accelerate(network, runtime) for name, network in networks.items()}


def load_networks(make: Callable[[], Networks], runtime: Runtime) -> Networks:
    """Return networks for inference, their weights loaded, or randomly initialised if none are set.

    All networks are in one weight file, unless their keys name different tensors: then each has a
    separate file, in order. Raises IsbenchError for a wrong number of files, and for weights that
    changed since they were hashed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        networks = make()
    if runtime.weights:
        groups = group_by_file(list(networks.values()))
        _check_files(runtime, len(groups))
        digests = runtime.digest.split("+")
        for group, path, digest in zip(groups, runtime.weights, digests, strict=True):
            if load_checkpoint(group, path) != digest:
                raise IsbenchError(f"weights {path} changed after the run began; run it again")
    for network in networks.values():
        network.requires_grad_(False).eval().to(runtime.device)
    return networks


def check_networks(make: Callable[[], Networks]) -> None:
    """Raise IsbenchError unless networks take their example inputs, and batches of them."""
    runtime = Runtime()
    for name, network in load_networks(make, runtime).items():
        examples = make_examples(network, (33, 48), 4)
        try:
            with inference(runtime):
                compute_outputs(network, [torch.cat([x, x]) for x in examples])
        except IsbenchError:
            raise
        except Exception as error:  # third-party code may raise anything
            raise IsbenchError(
                f"network {name} raised {type(error).__name__} for a batch of its example inputs: "
                f"{error}"
            ) from error


def _check_files(runtime: Runtime, wanted: int) -> None:
    given = len(runtime.weights)
    if given != wanted:
        needed = "1 weight file" if wanted == 1 else f"{wanted} weight files, one per network,"
        names = ",".join(map(str, runtime.weights))
        raise IsbenchError(
            f"this model needs {needed} but was given {given} ({names}); wanted "
            f"{','.join(['FILE'] * wanted)}",
            setting="weights",
        )


@contextmanager
def inference(runtime: Runtime) -> Iterator[None]:
    """Run the `with` block in the runtime's precision and number of threads.

    Gradients are off unless the runtime asks for them. Then an error of autograd says how to ask.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(runtime.threads)
    try:
        with (
            torch.inference_mode(not runtime.gradients),
            exact_convolutions(runtime.precision),
            _autocast(runtime),
        ):
            yield
    except RuntimeError as error:
        if runtime.gradients or not _NEEDS_GRADIENTS.search(str(error)):
            raise
        raise RuntimeError(
            f"{error}; a model that computes gradients needs gradients=True on its card"
        ) from error
    finally:
        torch.set_num_threads(threads)


@contextmanager
def exact_convolutions(precision: str) -> Iterator[None]:
    """Compute the convolutions of the `with` block in float32 if that is the precision.

    PyTorch computes them in TF32 on GPUs, which has 10 mantissa bits instead of 23.
    """
    allow_tf32 = torch.backends.cudnn.allow_tf32
    if precision == "fp32":
        torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allow_tf32


def _autocast(runtime: Runtime) -> AbstractContextManager[object]:
    if runtime.precision == "fp32":
        return nullcontext()
    kind, dtype = runtime.device.partition(":")[0], PRECISIONS[runtime.precision]
    # autocast would keep the first copies of weights that a model updates during a game
    return torch.autocast(kind, dtype, cache_enabled=not runtime.gradients)


def assign_device(device: str, worker: int) -> None:
    """Assign a GPU to a worker, round-robin if the device names none."""
    if device == "cuda":
        torch.cuda.set_device(worker % torch.cuda.device_count())


def name_device(device: str) -> str:
    """Return the name of the GPU, or of the kind of another device."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def count_devices(device: str) -> int:
    """Return how many workers a device has room for: one per GPU if the device names none."""
    return torch.cuda.device_count() if device == "cuda" else 1


def parse_device(name: str) -> str:
    """Return the device for a name, `auto` being the fastest available one.

    Raises IsbenchError for a device that is unknown or unavailable.
    """
    kind, colon, number = name.partition(":")
    numbered = kind == "cuda" and bool(number)
    if kind not in ("auto", "cpu", "cuda", "mps") or (colon and not numbered):
        raise make_unknown_error("device", name, ("auto", "cpu", "cuda", "cuda:N", "mps"), "device")
    mps = torch.backends.mps.is_available()
    if kind == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    gpus = torch.cuda.device_count()
    if (kind == "cuda" and not _is_available(number, gpus)) or (kind == "mps" and not mps):
        available = ", ".join([f"cuda:{n}" for n in range(gpus)] + ["mps"] * mps + ["cpu"])
        message = f"device {name} is not available; this machine has {available}"
        raise IsbenchError(message, setting="device")
    return name


def _is_available(number: str, gpus: int) -> bool:
    return gpus > 0 if not number else number.isdecimal() and int(number) < gpus


def parse_precision(name: str) -> str:
    """Return the name of a precision; raises IsbenchError for an unknown one."""
    if name not in PRECISIONS:
        raise make_unknown_error("precision", name, PRECISIONS, "precision")
    return name
