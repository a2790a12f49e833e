"""Every backend answers as the network does, at every size and number of clicks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError
from isbench.nn import backends, openvino
from isbench.nn.backends import Inexact, accelerated, chosen
from isbench.nn.clickmaps import points
from isbench.nn.folded import fold
from isbench.registry import load_model
from isbench.types import Runtime

NETWORKS = ("ritm-mini", "csfpn-mini", "baseline-mini-fdm")
SIZES = ((96, 128), (97, 61), (33, 200), (1, 1), (1, 40), (40, 1))
needs_openvino = pytest.mark.skipif(not openvino.installed(), reason="openvino is not installed")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is compiled out of the user's cache."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setattr(openvino, "user_cache_path", lambda *_, **__: folder)


def network(name: str) -> nn.Module:
    """Return a network with made-up weights none of which is without effect."""
    card = load_model(name)
    assert card.network is not None
    torch.manual_seed(0)
    made: nn.Module = card.network(**card.options).eval().requires_grad_(False)
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.uniform_(0.5, 1.5)
            part.bias.normal_(0, 0.1)
    for key, value in made.named_parameters():
        if key.endswith("gamma"):
            value.fill_(0.7)
    return made


def given(size: tuple[int, int], clicks: int) -> tuple[Tensor, Tensor]:
    lots = torch.Generator().manual_seed(clicks)
    at = torch.rand(clicks, 2, generator=lots) * torch.tensor(size)
    places = [(float(row), float(col), k % 3 != 1) for k, (row, col) in enumerate(at)]
    return torch.rand(2, 4, *size, generator=lots), points(places).repeat(2, 1, 1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("backend", ["eager", pytest.param("openvino", marks=needs_openvino)])
def test_a_backend_answers_as_the_network_does(name: str, backend: str) -> None:
    plain, fast = network(name), accelerated(network(name), Runtime(backend=backend))
    for size in SIZES:
        for clicks in (1, 4, 23):
            with torch.inference_mode():
                wanted, found = plain(*given(size, clicks)), fast(*given(size, clicks))
            scale = max(1.0, wanted.abs().max().item())
            assert (found - wanted).abs().max().item() <= backends.TOLERANCE * scale


def test_every_norm_after_a_convolution_is_folded() -> None:
    made = network("ritm-mini")
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in made.modules())
    with torch.inference_mode():
        wanted = made(*given((64, 80), 3))
        assert fold(made, partial(made, *given((64, 80), 1))) == norms
        found = made(*given((64, 80), 3))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in made.modules())


class Shared(nn.Module):
    """A convolution used twice, only once before a norm: folding it would change the other use."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        return (self.norm(self.conv(inputs)) + self.conv(inputs))[:, :1]


def test_a_convolution_that_is_used_twice_is_left_alone() -> None:
    made = Shared().eval()
    assert fold(made, partial(made, *given((8, 8), 1))) == 0


class Fickle(nn.Module):
    """Answers otherwise once it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        self.calls += 1
        return inputs[:, :1] + self.calls


def test_a_backend_that_answers_otherwise_is_refused() -> None:
    with pytest.raises(Inexact, match=r"backend eager gives logits .* off; wanted 1e-04"):
        accelerated(Fickle(), Runtime())


@needs_openvino
def test_what_is_compiled_is_kept_and_found_by_its_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(openvino, "user_cache_path", lambda *_, **__: tmp_path)
    runtime, made = Runtime(backend="openvino"), network("ritm-mini")
    for _ in range(2):
        accelerated(made, runtime)
    assert len(list(kept(tmp_path))) == 1
    next(made.parameters()).mul_(2)
    accelerated(made, runtime)
    assert len(list(kept(tmp_path))) == 2


@needs_openvino
def test_a_cache_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(openvino, "user_cache_path", lambda *_, **__: tmp_path / "file")
    with pytest.raises(IsbenchError, match=r"cannot keep what OpenVINO compiles .* --backend eager"):
        accelerated(network("ritm-mini"), Runtime(backend="openvino"))


def kept(folder: Path) -> Iterator[Path]:
    return (folder / "openvino").iterdir()


@pytest.mark.parametrize(
    ("asked", "device", "precision", "found"),
    [("eager", "cpu", "fp32", "eager"), ("auto", "cuda:0", "fp32", "eager")],
)
def test_which_backend_is_chosen(asked: str, device: str, precision: str, found: str) -> None:
    assert chosen(asked, device, precision) == found


@pytest.mark.parametrize(
    ("asked", "device", "said"),
    [("opnvino", "cpu", "openvino"), ("openvino", "cuda", "openvino")],
)
def test_a_backend_that_is_not_there_is_refused(asked: str, device: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        chosen(asked, device, "fp32")
