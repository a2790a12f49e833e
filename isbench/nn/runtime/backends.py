"""Backends: eager PyTorch, OpenVINO, ONNX Runtime, PyTorch's compiler. All give the same outputs.

A backend takes a network in eval mode and returns a faster one with the same outputs, which a small
pass checks when it is built. Eager PyTorch is the reference: it does not fold batch norms into
convolutions, which would save 5 % but change the last bits of every recorded game. The others do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError, Unfit, make_unknown_error
from isbench.extras import describe_installation
from isbench.nn.network import Computed, compute_outputs, make_examples
from isbench.nn.runtime import onnxruntime, openvino
from isbench.types import Runtime

TOLERANCE = 1e-4  # of outputs, relative to the largest value if that is above 1
# of another size and number of clicks than what a backend traces
_TRIAL_SIZE, _TRIAL_POINTS = (72, 104), 6


def choose_backend(name: str, device: str, precision: str, gradients: bool = False) -> str:
    """Return the backend for a name, `auto` being the fastest available one.

    With `gradients` only eager PyTorch is available. Raises IsbenchError for a backend that is
    unknown or unavailable.
    """
    if name not in ("auto", *_BACKENDS):
        raise make_unknown_error("backend", name, ("auto", *_BACKENDS), "backend")
    if gradients and name not in ("auto", "eager"):
        raise IsbenchError(
            f"backend {name} computes no gradients, which this model needs; wanted eager",
            setting="backend",
        )
    if gradients:
        return "eager"
    on_cpu = device == "cpu"
    if name == "auto":
        return "openvino" if openvino.is_installed() and on_cpu and precision == "fp32" else "eager"
    if name in _LIBRARIES:
        _check_library(name, device, precision)
    return name


def _check_library(name: str, device: str, precision: str) -> None:
    """Raise IsbenchError unless a backend's library is here and runs on this device."""
    if not _LIBRARIES[name]():
        remedy = describe_installation(name)
        message = f"backend {name} is not installed: {remedy}, or use eager"
        raise IsbenchError(message, setting="backend")
    if device != "cpu":
        message = f"backend {name} runs on the CPU, not on {device}; wanted eager"
        raise IsbenchError(message, setting="backend")
    if name == "onnxruntime" and precision != "fp32":
        message = f"backend onnxruntime computes in fp32, not in {precision}; wanted eager"
        raise IsbenchError(message, setting="backend")


def accelerate(network: nn.Module, runtime: Runtime) -> Computed:
    """Return the network for the runtime's backend.

    Raises Unfit if, in fp32, the outputs of a trial pass differ by more than TOLERANCE.
    """
    compiled = _BACKENDS[runtime.backend](network, runtime)
    if compiled is not network and runtime.precision == "fp32":
        _check_outputs(network, compiled, runtime)
    if isinstance(compiled, openvino.CompiledNetwork):
        compiled.keep()
    return compiled


def _check_outputs(network: nn.Module, compiled: Computed, runtime: Runtime) -> None:
    """Raise Unfit unless a backend's outputs are those of the network."""
    # twice the same image, since the mirror image is the second of a batch
    examples = make_examples(network, _TRIAL_SIZE, _TRIAL_POINTS)
    inputs = [torch.cat([x, x]).to(runtime.device) for x in examples]
    with torch.inference_mode():
        expected, actual = compute_outputs(network, inputs), compiled(*inputs)
    _compare(runtime.backend, expected, actual)


def _compare(backend: str, expected: Sequence[Tensor], actual: Sequence[Tensor]) -> None:
    shapes, wanted = ([tuple(x.shape) for x in outputs] for outputs in (actual, expected))
    if shapes != wanted:  # happens with OpenVINO on processors without AVX2
        raise Unfit(
            f"backend {backend} gives outputs of shape {_join(shapes)}; wanted {_join(wanted)}: "
            "use the eager backend",
            setting="backend",
        )
    for output, reference in zip(actual, expected, strict=True):
        scale = max(1.0, reference.abs().max().item())
        error = (output.float() - reference.float()).abs().max().item() / scale
        if not error <= TOLERANCE:
            raise Unfit(
                f"backend {backend} gives outputs {error:.1e} off; wanted {TOLERANCE:.0e}: use "
                "the eager backend",
                setting="backend",
            )


def _join(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) or "none"


def _eager(network: nn.Module, runtime: Runtime) -> Computed:
    return network


def _compile(network: nn.Module, runtime: Runtime) -> Computed:
    # the size of crops varies between objects
    compiled: Computed = torch.compile(network, dynamic=True)
    return compiled


def _openvino(network: nn.Module, runtime: Runtime) -> Computed:
    return openvino.CompiledNetwork(network, runtime)


# the backends that compute with a library of their own, and whether it is installed
_LIBRARIES: Mapping[str, Callable[[], bool]] = {
    "openvino": openvino.is_installed,
    "onnxruntime": onnxruntime.is_installed,
}
_BACKENDS: Mapping[str, Callable[[nn.Module, Runtime], Computed]] = {
    "eager": _eager,
    "openvino": _openvino,
    "onnxruntime": onnxruntime.compile_network,
    "compile": _compile,
}
