"""The OpenVINO backend, which fuses operations that PyTorch computes layer by layer.

A network is traced and compiled once, for any crop size and number of clicks. What OpenVINO
compiled is kept on disk, since this takes seconds and every process needs the result.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isbench.errors import Unfit, get_first_line
from isbench.nn.network import make_examples, simplify
from isbench.nn.runtime.contents import describe_value
from isbench.nn.runtime.graph_cache import read_graph, write_graph
from isbench.nn.runtime.interrupts import defer_interrupts
from isbench.storage.environment import describe_processor
from isbench.types import Runtime

# bytes of a network's weights; tracing and compiling need about five times as much memory
_LARGEST = 2**30
# rows and columns of the image, and places for clicks, of two sets of example inputs. The first is
# traced: it is small, but no two maps of a network have equal sizes by chance, so that the trace
# stays general. Dimensions in which the second differs may have any length.
_TRACED, _OTHER = ((96, 128), 4), ((528, 720), 6)
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def is_installed() -> bool:
    """Return whether OpenVINO is installed."""
    return find_spec("openvino") is not None


class CompiledNetwork:
    """A network compiled by OpenVINO, on the runtime's number of threads.

    Raises Unfit for a network that is too large or that OpenVINO cannot convert.
    """

    def __init__(self, network: nn.Module, runtime: Runtime) -> None:
        _check_memory(network)
        settings = {
            "INFERENCE_NUM_THREADS": runtime.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINTS[runtime.precision],
            # with pinning every worker process would choose the same first cores
            "ENABLE_CPU_PINNING": False,
        }
        self._key, self._content = _make_key(network, settings), b""
        compiled = _import((self._key and read_graph(self._key)) or b"", settings)
        if compiled is None:
            compiled, self._content = _compile(network, settings)
        self._request = compiled.create_infer_request()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        arrays = [x.contiguous().numpy() for x in inputs]
        outputs = self._request.infer(arrays, share_inputs=True, share_outputs=True)
        # copied, since the next call writes into them
        return tuple(torch.from_numpy(outputs[k].copy()) for k in range(len(outputs)))

    def keep(self) -> None:
        """Write the network to the cache, after its outputs were checked, unless it is from there.

        So a network that is refused is compiled and refused again.
        """
        if self._key and self._content:
            write_graph(self._key, self._content)
            self._content = b""


def _check_memory(network: nn.Module) -> None:
    """Raise Unfit for a network whose compilation takes more memory than many machines have."""
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    if size > _LARGEST:
        raise Unfit(
            f"the weights of this network take {size / 2**30:.1f} GiB and OpenVINO would need five "
            "times as much memory: use the eager backend",
            setting="backend",
        )


@cache
def _make_core() -> Any:
    """Return OpenVINO's core, one for the life of the process.

    The CPU plugin gives the thread a stack for signal handlers. When the last core ends it unmaps
    this stack but leaves it registered, so that the next signal would end the process.
    """
    import openvino

    return openvino.Core()


def _import(content: bytes, settings: Mapping[str, Any]) -> Any:
    """Return what was compiled and exported, None if OpenVINO refuses it."""
    try:
        return _make_core().import_model(io.BytesIO(content), "CPU", settings) if content else None
    except RuntimeError:
        return None


def _compile(network: nn.Module, settings: Mapping[str, Any]) -> tuple[Any, bytes]:
    """Return the traced and compiled network, and what of it is kept, nothing if it cannot be."""
    graph = _trace(simplify(network))
    compiled, exported = _make_core().compile_model(graph, "CPU", settings), io.BytesIO()
    compiled.export_model(exported)
    content = exported.getvalue()
    # read back, so that the network is the same in every process
    imported = _import(content, settings)
    return (compiled, b"") if imported is None else (imported, content)


def _trace(network: nn.Module) -> Any:
    """Return the network as a graph for any batch, crop size and number of clicks.

    Calls the front end directly: `openvino.convert_model` would send usage statistics. An interrupt
    waits until the end, since the front end would take it for a failure of the conversion.
    """
    import openvino
    from openvino import frontend
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    failures = (
        frontend.GeneralFailure,
        frontend.NotImplementedFailure,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
    )
    examples, others = (make_examples(network, *sizes) for sizes in (_TRACED, _OTHER))
    with defer_interrupts(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about branches on sizes; see _TRACED
        example = tuple(torch.cat([x, x]) for x in examples)
        try:
            # as a function, whose weights are constants: of a module, torch would build a copy.
            # Not traced a second time for a comparison, since `accelerate` compares outputs
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                lambda *inputs: network(*inputs), example, strict=False, check_trace=False
            )
            decoder = TorchScriptPythonDecoder(traced, example_input=example)
            front_end = frontend.FrontEndManager().load_by_framework("pytorch")
            graph = front_end.convert(front_end.load(decoder))
        except (RuntimeError, *failures) as error:  # of torch's tracer, of the front end
            raise Unfit(
                f"OpenVINO cannot convert this network ({get_first_line(error)}): use the eager "
                "backend",
                setting="backend",
            ) from error
    shapes = (
        openvino.PartialShape(
            [-1, *(a if a == b else -1 for a, b in zip(x.shape[1:], y.shape[1:], strict=True))]
        )
        for x, y in zip(examples, others, strict=True)
    )
    graph.reshape(dict(zip(graph.inputs, shapes, strict=True)))
    return graph


def _make_key(network: nn.Module, settings: Mapping[str, Any]) -> str:
    """Return a digest of everything that decides a compiled network.

    It is empty for a network that is not kept: its code is in no file, such as a notebook's, or
    something in it cannot be described.
    """
    files = set(_list_code(network))
    if None in files:
        return ""
    digest = sha256()
    for package in ("isbench", "openvino", "torch"):
        digest.update(f"{package} {version(package)}\n".encode())
    digest.update(f"{describe_processor()} {torch.backends.cpu.get_cpu_capability()}\n".encode())
    digest.update(f"{sorted(settings.items())}\n".encode())
    for file in sorted(file for file in files if file is not None):
        digest.update(file.read_bytes())
    try:
        for part in describe_value(network):
            digest.update(part)
    except RuntimeError:  # such as of a sparse tensor
        return ""
    return digest.hexdigest()[:32]


def _list_code(network: nn.Module) -> Iterator[Path | None]:
    """Yield the files of `isbench.nn`, of the network's folder, and of all its parts.

    None stands for code that is in no file.
    """
    yield from Path(__file__).parents[1].rglob("*.py")
    for part in {type(one) for one in network.modules()}:
        if not part.__module__.startswith("torch."):
            yield _find_file(part)
    if file := _find_file(type(network)):
        yield from file.parent.glob("*.py")


def _find_file(kind: type) -> Path | None:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return Path(file) if file and Path(file).is_file() else None
