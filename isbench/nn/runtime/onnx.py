"""Networks as ONNX files for any batch, image size and number of clicks, and their contract.

Not here: running such a file (`onnxruntime`), and the card that travels with it.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError, Unfit, get_first_line
from isbench.extras import describe_installation
from isbench.nn.network import compute_outputs, make_examples

OPSET = 18  # the first one with a scatter that takes the maximum, which draws clicks
# rows, columns and places for clicks of two sets of example inputs, as for OpenVINO's traces: the
# first is traced, and dimensions in which the second differs may have any length
_TRACED, _OTHER = ((304, 400), 4), ((528, 720), 6)
_DIMENSIONS = {
    (a, b): name
    for a, b, name in zip(
        (*_TRACED[0], _TRACED[1]), (*_OTHER[0], _OTHER[1]), ("rows", "columns", "points"),
        strict=True,
    )
}  # fmt: skip


@dataclass(frozen=True)
class TensorContract:
    """An input or output of a network: a dimension is a number, or the name of any length."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxNetwork:
    """A network as the bytes of an ONNX file, with its inputs and outputs in order."""

    data: bytes
    arguments: tuple[str, ...]  # of the network
    inputs: tuple[TensorContract, ...]  # the arguments that have an effect
    outputs: tuple[TensorContract, ...]


def export_onnx(network: nn.Module) -> OnnxNetwork:
    """Return a network in eval mode, on the CPU, as ONNX.

    Raises IsbenchError if the library onnx is not installed, and Unfit for a network that cannot
    be exported.
    """
    if find_spec("onnx") is None:
        raise IsbenchError(f"onnx is not installed: {describe_installation('onnx')}")
    (examples, outputs), (others, other_outputs) = (
        _compute(network, *sizes) for sizes in (_TRACED, _OTHER)
    )
    inputs = _describe(_name_inputs(network, len(examples)), examples, others)
    names = [f"output_{k}" if k else "output" for k in range(len(outputs))]
    described = _describe(names, outputs, other_outputs)
    data = _export(network, examples, inputs, described)
    used = _list_inputs(data)
    kept = tuple(one for one in inputs if one.name in used)
    return OnnxNetwork(data, tuple(one.name for one in inputs), kept, described)


def _list_inputs(data: bytes) -> set[str]:
    """Return the names of a file's inputs: the exporter drops those without an effect."""
    import onnx

    return {one.name for one in onnx.load_model_from_string(data).graph.input}


def _compute(
    network: nn.Module, size: tuple[int, int], points: int
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    # tensors of the inference mode, which backends are made in, cannot be traced
    with torch.inference_mode(False), torch.no_grad():
        examples = make_examples(network, size, points)
        return examples, compute_outputs(network, examples)


def _name_inputs(network: nn.Module, count: int) -> list[str]:
    """Return the names of the parameters of `forward`, numbered ones for `*inputs`."""
    parameters = inspect.signature(network.forward).parameters.values()
    if len(parameters) == count and all(
        one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters
    ):
        return [one.name for one in parameters]
    return [f"input_{k}" for k in range(count)]


def _describe(
    names: Sequence[str], tensors: Sequence[Tensor], others: Sequence[Tensor]
) -> tuple[TensorContract, ...]:
    return tuple(
        TensorContract(name, str(x.dtype).removeprefix("torch."), _name_shape(name, x, y))
        for name, x, y in zip(names, tensors, others, strict=True)
    )


def _name_shape(name: str, x: Tensor, y: Tensor) -> tuple[int | str, ...]:
    """Return the shape of a tensor, with a name for each dimension that varies."""
    pairs = list(zip(x.shape, y.shape, strict=True))[1:]
    named = (
        a if a == b else _DIMENSIONS.get((a, b), f"{name}_{axis}")
        for axis, (a, b) in enumerate(pairs, start=1)
    )
    return ("batch", *named)


def _export(
    network: nn.Module,
    examples: Sequence[Tensor],
    inputs: Sequence[TensorContract],
    outputs: Sequence[TensorContract],
) -> bytes:
    axes = {
        one.name: {k: name for k, name in enumerate(one.shape) if isinstance(name, str)}
        for one in (*inputs, *outputs)
    }
    try:
        with (
            TemporaryDirectory(prefix="isbench-") as folder,
            warnings.catch_warnings(),
            torch.inference_mode(False),
            torch.no_grad(),
        ):
            # about branches on sizes, see _TRACED, and about the exporter: the newer one needs one
            # more library and does not take every network
            warnings.simplefilter("ignore")
            twice = tuple(torch.cat([x, x]) for x in examples)  # 1 would be taken as fixed
            path = Path(folder) / "network.onnx"
            torch.onnx.export(
                network, twice, path, dynamo=False, opset_version=OPSET, dynamic_axes=axes,
                input_names=[one.name for one in inputs],
                output_names=[one.name for one in outputs],
            )  # fmt: skip
            return _forget_branch_shapes(path.read_bytes())
    except (RuntimeError, ValueError, TypeError) as error:  # from the tracer or the exporter
        reason = get_first_line(error)
        raise Unfit(f"this network cannot be exported to ONNX ({reason})") from error


def _forget_branch_shapes(content: bytes) -> bytes:
    """Return a file whose branches declare no shapes of their outputs.

    The exporter writes two branches for an operation on a scalar or a tensor, and gives both the
    shape of one; ONNX Runtime then warns at every call.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    for node in model.graph.node:
        for attribute in node.attribute:
            for output in attribute.g.output:
                output.type.tensor_type.ClearField("shape")
    changed: bytes = model.SerializeToString()
    return changed
