"""Backends: eager PyTorch, OpenVINO, and PyTorch's compiler. All give the same logits.

A backend takes a network in eval mode and returns a faster one with the same logits, which a small
pass checks when it is built. Eager PyTorch is the reference: it does not fold batch norms into
convolutions, which would save 5 % but change the last bits of every recorded game. The others do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError, Unfit, unknown
from isbench.nn.clickmaps import encode_points
from isbench.nn.runtime import openvino
from isbench.types import Runtime

TOLERANCE = 1e-4  # of logits, relative to the largest if that is above 1

# RGB in [0, 1] and probabilities (B, 4, H, W), and (B, 2K, 3) points, to logits (B, 1, H, W)
Computed = Callable[[Tensor, Tensor], Tensor]


def choose_backend(name: str, device: str, precision: str) -> str:
    """Return the backend for a name, `auto` being the fastest available one.

    Raises IsbenchError for a backend that is unknown or unavailable.
    """
    if name not in ("auto", *_BACKENDS):
        raise unknown("backend", name, ("auto", *_BACKENDS))
    on_cpu = device == "cpu"
    if name == "auto":
        return "openvino" if openvino.is_installed() and on_cpu and precision == "fp32" else "eager"
    if name == "openvino" and not openvino.is_installed():
        raise IsbenchError("backend openvino is not installed: pip install 'isbench[cpu]'")
    if name == "openvino" and not on_cpu:
        raise IsbenchError(f"backend openvino runs on the CPU, not on {device}; wanted eager")
    return name


def accelerate(network: nn.Module, runtime: Runtime) -> Computed:
    """Return the network for the runtime's backend.

    Raises Unfit if, in fp32, the logits of a trial pass differ by more than TOLERANCE.
    """
    compiled = _BACKENDS[runtime.backend](network, runtime)
    if compiled is network or runtime.precision != "fp32":
        return compiled
    expected, actual = _trial_logits(network, runtime), _trial_logits(compiled, runtime)
    if actual.shape != expected.shape:  # happens with OpenVINO on processors without AVX2
        raise Unfit(
            f"backend {runtime.backend} gives logits of shape {tuple(actual.shape)}; wanted "
            f"{tuple(expected.shape)}: use --backend eager"
        )
    error = (actual - expected).abs().max().item() / max(1.0, expected.abs().max().item())
    if not error <= TOLERANCE:
        raise Unfit(
            f"backend {runtime.backend} gives logits {error:.1e} off; wanted {TOLERANCE:.0e}: use "
            "--backend eager"
        )
    return compiled


def _eager(network: nn.Module, runtime: Runtime) -> Computed:
    return network


def _compile(network: nn.Module, runtime: Runtime) -> Computed:
    # the size of crops varies between objects
    compiled: Computed = torch.compile(network, dynamic=True)
    return compiled


def _openvino(network: nn.Module, runtime: Runtime) -> Computed:
    return openvino.Compiled(network, runtime)


_BACKENDS: Mapping[str, Callable[[nn.Module, Runtime], Computed]] = {
    "eager": _eager,
    "openvino": _openvino,
    "compile": _compile,
}


def _trial_logits(network: Computed, runtime: Runtime) -> Tensor:
    """Return the logits of a synthetic image and its mirror image, with clicks of both signs."""
    rows, cols = 96, 128
    ramp = torch.linspace(0, 1, rows * cols).reshape(1, 1, rows, cols)
    picture = torch.cat([ramp, (7 * ramp) % 1, (31 * ramp) % 1, (ramp > 0.4).float()], dim=1)
    clicks = encode_points([(30.0, 40.0, True), (80.0, 100.0, False), (50.0, 64.0, True)])
    inputs = torch.cat([picture, picture.flip(3)]).to(runtime.device)
    with torch.inference_mode():
        return network(inputs, clicks.repeat(2, 1, 1).to(runtime.device)).float()
