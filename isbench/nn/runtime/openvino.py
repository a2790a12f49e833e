"""Networks computed by OpenVINO, which fuses and blocks what PyTorch computes layer by layer.

A network is traced once, for every size of crop and number of clicks, and kept on this machine: it
takes seconds, and every worker needs it. What is kept is found by all that decides it: weights,
code and versions.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from contextlib import suppress
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
from isbench.nn.clickmaps import encode_points
from isbench.types import Runtime

_FILE = "network.xml"
_KEPT = 24  # networks; the least recently used are removed
# no two maps of a network are of one size by chance here, so that what is traced holds everywhere
_ROWS, _COLS = 304, 400
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def is_installed() -> bool:
    """Whether OpenVINO is here."""
    return find_spec("openvino") is not None


class Compiled:
    """A network as OpenVINO runs it, on the runtime's threads."""

    def __init__(self, network: nn.Module, runtime: Runtime) -> None:
        import openvino

        core = openvino.Core()
        hints = {
            "INFERENCE_NUM_THREADS": runtime.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINTS[runtime.precision],
            # workers are told their cores by the pool: here each would take the first
            "ENABLE_CPU_PINNING": False,
        }
        self._request = core.compile_model(_find_kept(network), "CPU", hints).create_infer_request()

    def __call__(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W)."""
        given = [inputs.contiguous().numpy(), clicks.contiguous().numpy()]
        answer = self._request.infer(given, share_inputs=True, share_outputs=True)[0]
        return torch.from_numpy(answer.copy())  # the next call writes into it


def _find_kept(network: nn.Module) -> Path:
    """Return the network's file, written if it is not there yet."""
    folder = user_cache_path("isbench", appauthor=False) / "openvino"
    found = folder / _key(network)
    if not (found / _FILE).is_file():
        _keep(network, found)
        _prune(folder)
    with suppress(OSError):
        found.touch()  # used just now
    return found / _FILE


def _keep(network: nn.Module, found: Path) -> None:
    """Trace a network into a folder of its own, which appears whole or not at all."""
    import openvino

    try:
        found.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(dir=found.parent))
    except OSError as error:
        raise IsbenchError(
            f"cannot keep what OpenVINO compiles in {found.parent}: {error}; make room there, or "
            "play with --backend eager"
        ) from error
    try:
        openvino.save_model(_trace(network), draft / _FILE, compress_to_fp16=False)
        draft.replace(found)
    except OSError as error:
        if not (found / _FILE).is_file():  # else another worker was faster
            raise IsbenchError(
                f"cannot write {found}: {error}; make room there, or play with --backend eager"
            ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _trace(network: nn.Module) -> Any:
    """Return the network as a graph for any size of crop and number of clicks.

    The front end is asked itself: `openvino.convert_model` would report its use over the network.
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    image = torch.rand(2, 4, _ROWS, _COLS, generator=torch.Generator().manual_seed(0))
    clicks = encode_points([(50.0, 60.0, True), (100.0, 200.0, False), (20.0, 30.0, True)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that decide a branch: see _ROWS
        example = image, clicks.repeat(2, 1, 1)
        try:
            decoder = TorchScriptPythonDecoder(network, example_input=example)
            front = FrontEndManager().load_by_framework("pytorch")
            made = front.convert(front.load(decoder))
        except RuntimeError as error:  # of torch's tracer, or of the front end's converter
            raise Unfit(
                f"OpenVINO cannot take this network ({str(error).strip().splitlines()[0]}): play "
                "with --backend eager"
            ) from error
    shapes = openvino.PartialShape([-1, 4, -1, -1]), openvino.PartialShape([-1, -1, 3])
    made.reshape(dict(zip(made.inputs, shapes, strict=True)))
    return made


def _key(network: nn.Module) -> str:
    """Return a digest of all that decides what is traced."""
    made = sha256()
    for package in ("openvino", "torch"):
        made.update(f"{package} {version(package)}\n".encode())
    module = Path(str(sys.modules[type(network).__module__].__file__))
    for file in sorted({*Path(__file__).parent.glob("*.py"), *module.parent.glob("*.py")}):
        made.update(file.read_bytes())
    made.update(str(network).encode())
    for key, value in network.state_dict().items():
        made.update(key.encode())
        made.update(value.contiguous().numpy().tobytes())
    return made.hexdigest()[:32]


def _prune(folder: Path) -> None:
    kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in kept[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
