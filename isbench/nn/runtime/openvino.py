"""The OpenVINO backend, which fuses operations that PyTorch computes layer by layer.

A network is traced once, for any crop size and number of clicks, and cached on disk, since tracing
takes seconds and every worker needs the result. The cache key covers weights, code and versions.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn

from isbench.errors import IsbenchError, Unfit
from isbench.nn.network import make_examples
from isbench.types import Runtime

_FILE = "network.xml"
_CACHE_SIZE = 24  # networks; the least recently used are removed
# bytes of a network's weights; tracing and compiling need about five times as much memory
_LARGEST = 2**30
# rows and columns of the image, and places for clicks, of two sets of example inputs. The first is
# traced, and chosen so that no two maps of a network have equal sizes by chance: the trace stays
# general. Dimensions in which the second differs may have any length.
_TRACED, _OTHER = ((304, 400), 4), ((528, 720), 6)
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
        hints = {
            "INFERENCE_NUM_THREADS": runtime.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINTS[runtime.precision],
            # with pinning every worker process would choose the same first cores
            "ENABLE_CPU_PINNING": False,
        }
        self._request = (
            _make_core().compile_model(_find_cached(network), "CPU", hints).create_infer_request()
        )

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        arrays = [x.contiguous().numpy() for x in inputs]
        outputs = self._request.infer(arrays, share_inputs=True, share_outputs=True)
        # copied, since the next call writes into them
        return tuple(torch.from_numpy(outputs[k].copy()) for k in range(len(outputs)))


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


def _find_cached(network: nn.Module) -> Path:
    """Return the network's file in the cache, written if it is missing."""
    folder = user_cache_path("isbench", appauthor=False) / "openvino"
    found = folder / _key(network)
    if not (found / _FILE).is_file():
        _add_to_cache(network, found)
        _prune(folder)
    with suppress(OSError):
        found.touch()  # used just now
    return found / _FILE


def _add_to_cache(network: nn.Module, found: Path) -> None:
    """Trace a network into its own cache folder, atomically."""
    import openvino

    try:
        found.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(dir=found.parent))
    except OSError as error:
        raise IsbenchError(
            f"cannot write OpenVINO's cache {found.parent}: {error}; free some space, or use "
            "the eager backend",
            setting="backend",
        ) from error
    try:
        openvino.save_model(_trace(network), temporary / _FILE, compress_to_fp16=False)
        temporary.replace(found)
    except OSError as error:
        if not (found / _FILE).is_file():  # else another worker was faster
            raise IsbenchError(
                f"cannot write {found}: {error}; free some space, or use the eager backend",
                setting="backend",
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _trace(network: nn.Module) -> Any:
    """Return the network as a graph for any batch, crop size and number of clicks.

    Calls the front end directly: `openvino.convert_model` would send usage statistics.
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    examples, others = (make_examples(network, *sizes) for sizes in (_TRACED, _OTHER))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about branches on sizes; see _TRACED
        example = tuple(torch.cat([x, x]) for x in examples)
        try:
            decoder = TorchScriptPythonDecoder(network, example_input=example)
            front_end = FrontEndManager().load_by_framework("pytorch")
            graph = front_end.convert(front_end.load(decoder))
        except RuntimeError as error:  # from torch's tracer or the front end's converter
            raise Unfit(
                f"OpenVINO cannot convert this network ({str(error).strip().splitlines()[0]}): use "
                "the eager backend",
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


def _key(network: nn.Module) -> str:
    """Return a digest of everything that decides the trace."""
    digest = sha256()
    for package in ("openvino", "torch"):
        digest.update(f"{package} {version(package)}\n".encode())
    module = Path(str(sys.modules[type(network).__module__].__file__))
    for file in sorted({*Path(__file__).parents[1].rglob("*.py"), *module.parent.glob("*.py")}):
        digest.update(file.read_bytes())
    digest.update(str(network).encode())
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _prune(folder: Path) -> None:
    entries = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in entries[_CACHE_SIZE:]:
        shutil.rmtree(old, ignore_errors=True)
