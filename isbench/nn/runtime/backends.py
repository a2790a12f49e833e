"""What computes a network: PyTorch as it is, OpenVINO, or PyTorch's compiler. All answer alike.

A backend takes a network in eval mode and returns one that gives the same logits, only sooner. Each
is held to that when it is made, by one small pass. PyTorch as it is, `eager`, is the measure: no
batch norm is folded into a convolution there, which would save 5 % and change the last bits of
every recorded game. The others fold them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError, Unfit, unknown
from isbench.nn.clickmaps import encode_points
from isbench.nn.runtime import openvino
from isbench.types import Runtime

TOLERANCE = 1e-4  # of logits, as a share of the largest where that is above 1

# RGB in [0, 1] and probabilities (B, 4, H, W), and (B, 2K, 3) points, to logits (B, 1, H, W)
Computed = Callable[[Tensor, Tensor], Tensor]


def choose_backend(name: str, device: str, precision: str) -> str:
    """Return the backend for a name, `auto` being the fastest here; refuse one that is not."""
    if name not in ("auto", *_BACKENDS):
        raise unknown("backend", name, ("auto", *_BACKENDS))
    on_cpu = device == "cpu"
    if name == "auto":
        return "openvino" if openvino.is_installed() and on_cpu and precision == "fp32" else "eager"
    if name == "openvino" and not openvino.is_installed():
        raise IsbenchError("backend openvino is not installed: pip install 'isbench[cpu]'")
    if name == "openvino" and not on_cpu:
        raise IsbenchError(f"backend openvino computes on the CPU, not on {device}; wanted eager")
    return name


def accelerate(network: nn.Module, runtime: Runtime) -> Computed:
    """Return the network as the runtime's backend computes it.

    Raises Unfit where, in full precision, a trial's logits differ by more than TOLERANCE.
    """
    made = _BACKENDS[runtime.backend](network, runtime)
    if made is network or runtime.precision != "fp32":
        return made
    wanted, found = _trial(network, runtime), _trial(made, runtime)
    if found.shape != wanted.shape:  # OpenVINO on processors without AVX2
        raise Unfit(
            f"backend {runtime.backend} gives logits of shape {tuple(found.shape)}; wanted "
            f"{tuple(wanted.shape)}: play with --backend eager"
        )
    off = (found - wanted).abs().max().item() / max(1.0, wanted.abs().max().item())
    if not off <= TOLERANCE:
        raise Unfit(
            f"backend {runtime.backend} gives logits {off:.1e} off; wanted {TOLERANCE:.0e}: play "
            "with --backend eager"
        )
    return made


def _eager(network: nn.Module, runtime: Runtime) -> Computed:
    return network


def _compile(network: nn.Module, runtime: Runtime) -> Computed:
    # sizes of crops differ from object to object
    made: Computed = torch.compile(network, dynamic=True)
    return made


def _openvino(network: nn.Module, runtime: Runtime) -> Computed:
    return openvino.Compiled(network, runtime)


_BACKENDS: Mapping[str, Callable[[nn.Module, Runtime], Computed]] = {
    "eager": _eager,
    "openvino": _openvino,
    "compile": _compile,
}


def _trial(network: Computed, runtime: Runtime) -> Tensor:
    """Return the logits of a made-up picture and its mirror image's, clicks of both signs on it."""
    rows, cols = 96, 128
    ramp = torch.linspace(0, 1, rows * cols).reshape(1, 1, rows, cols)
    picture = torch.cat([ramp, (7 * ramp) % 1, (31 * ramp) % 1, (ramp > 0.4).float()], dim=1)
    clicks = encode_points([(30.0, 40.0, True), (80.0, 100.0, False), (50.0, 64.0, True)])
    inputs = torch.cat([picture, picture.flip(3)]).to(runtime.device)
    with torch.inference_mode():
        return network(inputs, clicks.repeat(2, 1, 1).to(runtime.device)).float()
