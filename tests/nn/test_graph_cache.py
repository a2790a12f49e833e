"""Compiled networks on disk: found by all that decides them, and never needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from isbench.nn.network import make_examples
from isbench.nn.runtime import graph_cache
from isbench.nn.runtime.backends import accelerate
from isbench.types import Runtime
from tests.nn.test_backends import Small, needs_openvino, small


@pytest.fixture
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty folder in which compiled networks are kept."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(graph_cache, "find_folder", lambda: folder)
    return folder


def compute(made: nn.Module, threads: int = 1) -> Tensor:
    """Return what OpenVINO computes with a network."""
    with torch.inference_mode():
        (found,) = accelerate(made, Runtime(backend="openvino", threads=threads))(
            *make_examples(made, (49, 66), 3)
        )
    return found


@needs_openvino
def test_what_is_compiled_is_kept_and_found_by_all_that_decides_it(cache_folder: Path) -> None:
    made = small()
    first, again = compute(made), compute(made)
    assert torch.equal(first, again)
    assert count_files(cache_folder) == 1
    compute(made, threads=2)
    assert count_files(cache_folder) == 2
    next(made.parameters()).mul_(2)
    doubled = compute(made)
    assert not torch.equal(doubled, first)
    assert count_files(cache_folder) == 3
    made.gain = 2  # decides the outputs, and is in no tensor
    assert not torch.equal(compute(made), doubled)
    assert count_files(cache_folder) == 4


@needs_openvino
def test_a_network_that_cannot_be_described_is_compiled_and_not_kept(cache_folder: Path) -> None:
    made = small()
    made.places = torch.eye(3).to_sparse()
    assert compute(made).shape == (1, 1, 49, 66)
    assert count_files(cache_folder) == 0


MADE_IN_NO_FILE = """
import torch
from isbench.nn.network import example_image, make_examples
from isbench.nn.runtime.backends import accelerate
from isbench.types import Runtime

class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 1, 1)
    def forward(self, image):
        return (self.conv(image),)
    def example_inputs(self, size, points):
        return (example_image(size),)

with torch.inference_mode():
    made = Mine().eval().requires_grad_(False)
    (found,) = accelerate(made, Runtime(backend="openvino"))(*make_examples(made, (49, 66), 3))
print(tuple(found.shape))
"""


@needs_openvino
def test_a_network_of_a_notebook_is_compiled_and_not_kept(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-"],
        input=MADE_IN_NO_FILE,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (0, "(1, 1, 49, 66)\n"), ended.stderr
    assert not list(tmp_path.rglob("*.blob"))


@needs_openvino
def test_a_network_is_not_traced_again(cache_folder: Path) -> None:
    made = small()
    Small.calls = 0
    compute(made)
    before, Small.calls = Small.calls, 0
    compute(made)
    assert (before, Small.calls) == (2, 1)  # the trial's own pass remains


@needs_openvino
@pytest.mark.parametrize(
    "damage", [b"", b"short", bytes(100), bytes(1 << 20)], ids=["empty", "short", "small", "large"]
)
def test_a_damaged_cache_is_written_again(cache_folder: Path, damage: bytes) -> None:
    made = small()
    first = compute(made)
    (path,) = cache_folder.glob("*.blob")
    path.write_bytes(damage)
    Small.calls = 0
    assert torch.equal(compute(made), first)
    assert torch.equal(compute(made), first)
    assert Small.calls == 1 + 2  # traced once


@needs_openvino
def test_what_openvino_refuses_to_read_is_written_again(cache_folder: Path) -> None:
    made = small()
    first = compute(made)
    (path,) = cache_folder.glob("*.blob")
    graph_cache.write_graph(path.stem, b"not a compiled network")
    Small.calls = 0
    assert torch.equal(compute(made), first)
    assert torch.equal(compute(made), first)
    assert Small.calls == 1 + 2


@needs_openvino
def test_a_cache_that_cannot_be_written_breaks_nothing(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = small()
    first = compute(made)
    (tmp_path / "file").touch()
    monkeypatch.setattr(graph_cache, "find_folder", lambda: tmp_path / "file")
    assert torch.equal(compute(made), first)


def test_the_networks_that_were_used_last_are_kept(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_cache, "LARGEST", 2 * (100 + 32))
    for number, key in enumerate("abc"):
        graph_cache.write_graph(key, bytes(100))
        os.utime(cache_folder / f"{key}.blob", (number, number))
        graph_cache.read_graph("a")
    assert graph_cache.read_graph("b") is None
    assert graph_cache.read_graph("a") == graph_cache.read_graph("c") == bytes(100)


def count_files(folder: Path) -> int:
    return len(list(folder.glob("*.blob")))
