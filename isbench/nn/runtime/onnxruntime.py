"""The ONNX Runtime backend: a network's ONNX file, computed on the CPU.

Not here: making the file (`onnx`).
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError, Unfit
from isbench.extras import describe_installation
from isbench.nn.network import compute_outputs, make_examples
from isbench.nn.runtime.onnx import OnnxNetwork, export_onnx
from isbench.types import Runtime

CHECK = (((96, 128), 2), ((97, 61), 4), ((240, 320), 6))  # sizes and places for clicks


def is_installed() -> bool:
    """Return whether ONNX Runtime and the library that exports to it are installed."""
    return find_spec("onnxruntime") is not None and find_spec("onnx") is not None


class OnnxSession:
    """An exported network that is ready to compute; raises IsbenchError without ONNX Runtime."""

    def __init__(self, exported: OnnxNetwork, threads: int = 1) -> None:
        if find_spec("onnxruntime") is None:
            remedy = describe_installation("onnxruntime")
            raise IsbenchError(f"onnxruntime is not installed: {remedy}")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # threads that wait would take processors from other workers
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(
            exported.data, options, providers=["CPUExecutionProvider"]
        )
        self._arguments = exported.arguments
        self._used = frozenset(one.name for one in exported.inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        named = zip(self._arguments, inputs, strict=True)
        arrays = {name: x.contiguous().numpy() for name, x in named if name in self._used}
        outputs = self._session.run(None, arrays)
        return tuple(map(torch.from_numpy, outputs))


def compile_network(network: nn.Module, runtime: Runtime) -> OnnxSession:
    """Return a network on ONNX Runtime, on the runtime's number of threads.

    The network is exported first, which takes seconds. Raises Unfit if that is not possible.
    """
    return OnnxSession(export_onnx(network), runtime.threads)


def check_onnx(network: nn.Module, exported: OnnxNetwork, tolerance: float) -> float:
    """Return the largest difference of an exported network's outputs from those of the network.

    It is relative to the largest output if that is above 1, over batches of two at three sizes.
    Raises Unfit if it is above `tolerance`, or if it gives outputs of other shapes.
    """
    session, largest = OnnxSession(exported), 0.0
    for size, points in CHECK:
        inputs = [torch.cat([x, x]) for x in make_examples(network, size, points)]
        with torch.inference_mode():
            expected = compute_outputs(network, inputs)
        actual = session(*inputs)
        if [x.shape for x in actual] != [x.shape for x in expected]:
            raise Unfit(f"the exported network gives outputs of other shapes at {size}")
        for output, reference in zip(actual, expected, strict=True):
            scale = max(1.0, reference.abs().max().item())
            error = (output - reference).abs().max().item() / scale
            if not error <= tolerance:
                raise Unfit(
                    f"the exported network gives outputs {error:.1e} off at {size}; wanted "
                    f"{tolerance:.0e}"
                )
            largest = max(largest, error)
    return largest
