"""An exported network answers as PyTorch does, at any size, and says what goes in and out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError, Unfit
from isbench.evaluation.runner import Silent, run
from isbench.exchange.onnx_model import TOLERANCE, export_model
from isbench.models.loading import load_model
from isbench.models.registry import load_card
from isbench.nn.network import make_examples
from isbench.nn.runtime import onnxruntime, openvino
from isbench.nn.runtime.backends import accelerate, choose_backend
from isbench.nn.runtime.onnx import export_onnx
from isbench.types import Rules, Runtime
from tests.support.networks import Lawless, network

Command = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]
needs_onnx = pytest.mark.skipif(find_spec("onnx") is None, reason="onnx is not installed")
needs_runtime = pytest.mark.skipif(
    not onnxruntime.is_installed(), reason="onnxruntime or onnx is not installed"
)
PHOTO = "astronaut#1"  # which the page shows
SIZES = (((96, 128), 2), ((97, 61), 4), ((240, 320), 10))


def make(name: str) -> torch.nn.Module:
    """Return a network in eval mode whose graph modules have an effect."""
    made = network(name).eval().requires_grad_(False)
    for key, value in made.named_parameters():
        if key.endswith("gamma"):
            value.fill_(0.7)
    return made


@needs_runtime
@pytest.mark.parametrize(
    "name",
    ["csfpn-mini", *(pytest.param(one, marks=pytest.mark.slow)
                     for one in ("csfpn-lite", "ritm-lite", "ritm-hrnet18s", "fcanet-lite"))],
)  # fmt: skip
def test_onnx_runtime_gives_the_outputs_of_the_network(name: str) -> None:
    made = make(name)
    fast = accelerate(made, Runtime(backend="onnxruntime"))
    for size, points in SIZES:
        for batch in (1, 3):
            inputs = [torch.cat([x] * batch) for x in make_examples(made, size, points)]
            with torch.inference_mode():
                wanted, found = made(*inputs), fast(*inputs)
            for one, other in zip(wanted, found, strict=True):
                scale = max(1.0, one.abs().max().item())
                assert (one - other).abs().max().item() <= TOLERANCE * scale


@needs_onnx
@pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")
def test_another_reader_of_onnx_gives_the_outputs_of_the_network(tmp_path: Path) -> None:
    import openvino as library

    made, path = make("csfpn-mini"), tmp_path / "network.onnx"
    path.write_bytes(export_onnx(made).data)
    core = library.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size, points in SIZES:
        inputs = make_examples(made, size, points)
        with torch.inference_mode():
            (wanted,) = made(*inputs)
        found = compiled([x.numpy() for x in inputs])[0]
        assert np.abs(found - wanted.numpy()).max() <= TOLERANCE


@needs_onnx
def test_dimensions_of_any_length_have_names() -> None:
    made = export_onnx(make("ritm-mini"))
    shapes = {one.name: one.shape for one in (*made.inputs, *made.outputs)}
    assert shapes == {
        "inputs": ("batch", 4, "rows", "columns"),
        "clicks": ("batch", "points", 5),
        "output": ("batch", 1, "rows", "columns"),
    }


@needs_runtime
def test_a_network_that_cannot_be_traced_is_unfit() -> None:
    with pytest.raises(Unfit):
        accelerate(Lawless(), Runtime(backend="onnxruntime"))


@pytest.mark.slow
@needs_runtime
def test_the_card_describes_the_files_and_the_script_segments_a_photograph(
    tmp_path: Path, isbench: Command
) -> None:
    code, printed, said = isbench("export-model", "csfpn-lite", "--out", tmp_path / "csfpn-lite")
    assert code == 0, said
    *_, readable, card = map(Path, printed.split())
    facts = json.loads(card.read_text())
    assert facts["weights"] == load_model("csfpn-lite", backend="eager").runtime.digest  # type: ignore[union-attr]
    assert facts["weights_licence"] == load_card("csfpn-lite").bundled_terms
    assert facts["weights_licence"] in readable.read_text()
    (made,) = facts["networks"].values()
    assert [one["name"] for one in made["inputs"]] == ["inputs", "clicks"]
    assert all(one["meaning"] for one in (*made["inputs"], *made["outputs"]))
    assert "threshold=" in readable.read_text()

    page = (ROOT / "docs" / "onnx.md").read_text()
    (script,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len([line for line in script.splitlines() if line.strip()]) <= 30
    sample = load_dataset("sample").load(PHOTO)
    cv2.imwrite(str(tmp_path / "photo.png"), sample.image[:, :, ::-1])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""
    mask = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_GRAYSCALE) > 127
    assert (mask & sample.truth).sum() / (mask | sample.truth).sum() > 0.8


@needs_runtime
def test_games_on_onnx_runtime_are_those_of_pytorch_and_name_its_version(tmp_path: Path) -> None:
    played = []
    for backend in ("eager", "onnxruntime"):
        model = load_model("csfpn-mini", {"flip": False}, backend=backend)
        data = load_dataset("sample", limit=2)
        played.append(run(model, data, Rules(2, 1.01), out=tmp_path / backend, watch=Silent()))
    plain, fast = ([game.clicks for game in one.trajectories] for one in played)
    assert plain == fast
    assert played[1].spec.backend == "onnxruntime-cpu"
    assert played[1].spec.libraries["onnxruntime"] == version("onnxruntime")


def test_a_backend_that_cannot_be_used_says_why() -> None:
    with pytest.raises(IsbenchError, match=r"not installed: pip install|fp32, not in bf16"):
        choose_backend("onnxruntime", "cpu", "bf16")
    with pytest.raises(IsbenchError, match="no gradients"):
        choose_backend("onnxruntime", "cpu", "fp32", gradients=True)


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as if it were not installed
    with pytest.raises(IsbenchError, match=r"onnx is not installed: pip install"):
        export_onnx(make("ritm-mini"))


def test_a_model_without_a_network_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="nearest has no network"):
        export_model(load_model("nearest"), tmp_path)
