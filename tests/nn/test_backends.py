"""Every backend answers as the network does, at every size and number of clicks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from baselines.cdnet import CDNet, Refinement, make_networks
from isbench.errors import IsbenchError, Unfit
from isbench.models.loading import load_model
from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.resnet import BasicBlock, ResNet
from isbench.nn.clickmaps import encode_points
from isbench.nn.network import example_image, example_points, make_examples
from isbench.nn.runtime import backends, openvino
from isbench.nn.runtime.backends import accelerate, choose_backend
from isbench.nn.runtime.compute import build_networks, parse_device
from isbench.testing import check_predictor
from isbench.types import Runtime
from tests.support.networks import Lawless
from tests.support.networks import network as new_network
from tests.support.official_games import read_golden
from tests.support.official_networks import BLOWN_UP, ROUNDING, check, fill_network
from tests.support.official_networks import NETWORKS as OFFICIAL
from tests.support.synthetic import POINTS, draw_picture

SIZES = ((96, 128), (97, 61), (33, 200), (1, 1), (1, 40), (40, 1))
needs_openvino = pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")


def network(name: str) -> nn.Module:
    """Return a network with made-up weights none of which is without effect."""
    torch.manual_seed(0)
    made = new_network(name).eval().requires_grad_(False)
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


def make_inputs(size: tuple[int, int], clicks: int, channels: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(clicks)
    at = torch.rand(clicks, 2, generator=rng) * torch.tensor(size)
    places = [(float(row), float(col), k % 3 != 1) for k, (row, col) in enumerate(at)]
    return torch.rand(2, channels, *size, generator=rng), encode_points(places).repeat(2, 1, 1)


SLOW = [pytest.mark.slow, needs_openvino]


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        pytest.param("csfpn-mini", "openvino", marks=needs_openvino),
        pytest.param("csfpn-lite", "openvino", marks=SLOW),
        pytest.param("fcanet-lite", "openvino", marks=SLOW),
        pytest.param("baseline-lite-fdm", "openvino", marks=SLOW),
        pytest.param("ritm-hrnet18s", "openvino", marks=SLOW),
        pytest.param("ritm-r34", "openvino", marks=SLOW),
    ],
)
def test_a_backend_answers_as_the_network_does(name: str, backend: str) -> None:
    plain, fast = network(name), accelerate(network(name), Runtime(backend=backend))
    channels = make_examples(plain, (8, 8), 2)[0].shape[1]
    for size in SIZES:
        for clicks in (1, 4, 23):
            inputs = make_inputs(size, clicks, channels)
            with torch.inference_mode():
                (wanted,), (found,) = plain(*inputs), fast(*inputs)
            scale = max(1.0, wanted.abs().max().item())
            assert (found - wanted).abs().max().item() <= backends.TOLERANCE * scale


@needs_openvino
@pytest.mark.slow
def test_signals_are_handled_after_compiled_networks_are_freed() -> None:
    lines = (
        "import gc, signal",
        "from functools import partial",
        "from baselines.cdnet import make_networks",
        "from isbench.nn.runtime.compute import build_networks",
        "from isbench.types import Runtime",
        "built = build_networks(partial(make_networks, 34), Runtime(backend='openvino'))",
        "del built",
        "gc.collect()",
        "signal.signal(signal.SIGTERM, lambda number, frame: print('handled'))",
        "signal.raise_signal(signal.SIGTERM)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def make_small_cdnet() -> dict[str, nn.Module]:
    """Return CDNet's networks on a backbone with a few layers."""
    network = CDNet(DeepLab(ResNet(BasicBlock, (1, 1, 1, 1)), 16))
    return {"network": network, "refinement": Refinement(network.PDM)}


@needs_openvino
@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [make_small_cdnet, partial(make_networks, 34)],
    ids=["small", "r34"],
)
def test_every_network_of_a_card_is_compiled_for_any_size_and_batch(
    make: Callable[[], dict[str, nn.Module]],
) -> None:
    plain = build_networks(make, Runtime())
    fast = build_networks(make, Runtime(backend="openvino"))
    assert list(plain) == list(fast) == ["network", "refinement"]
    made = make()
    for size, points, batch in (((96, 128), 4, 1), ((40, 56), 2, 2), ((72, 33), 10, 1)):
        for name in plain:
            examples = make_examples(made[name], size, points)
            inputs = [torch.cat([x] * batch) for x in examples]
            with torch.inference_mode():
                (wanted,), (found,) = plain[name](*inputs), fast[name](*inputs)
            assert found.shape == wanted.shape == (batch, 1, *size)
            scale = max(1.0, wanted.abs().max().item())
            assert (found - wanted).abs().max().item() <= backends.TOLERANCE * scale


@needs_openvino
@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini"])
def test_a_backend_keeps_the_contract_of_predictors(name: str) -> None:
    small = {"zoom_target": 64, "overview": 64}
    check_predictor(load_model(name, small, backend="openvino"))


@needs_openvino
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ritm_hrnet18s_ocr48", "ritm_deeplab_r50_dh128_prevmask", "ritm_hrnet18_ocr64"]
)
def test_a_backend_answers_as_the_official_networks(name: str) -> None:
    wanted = read_golden("ritm")[name]
    network = fill_network(OFFICIAL[name]()).requires_grad_(False)
    fast = openvino.CompiledNetwork(network, Runtime(backend="openvino"))
    with torch.inference_mode():
        (main,) = fast(draw_picture(wanted["in_ch"], 64, 96), POINTS)
    check(main, wanted["instances"], BLOWN_UP.get(name, ROUNDING))


class Small(nn.Module):
    """As little as can be computed wrongly: PyTorch's compiler takes minutes for a network."""

    calls: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 1, 1)
        self.gain = 1

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        Small.calls += 1
        logits: Tensor = self.gain * self.head(torch.relu(self.norm(self.conv(inputs))))
        return (logits + clicks[..., 0].amax(dim=1)[:, None, None, None] / 100,)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return example_image(size), example_points(size, points)


def small() -> Small:
    torch.manual_seed(0)
    return Small().eval().requires_grad_(False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch.compile's own
def test_a_compiled_network_answers_as_the_network_does() -> None:
    made = small()
    fast = accelerate(made, Runtime(backend="compile"))
    for size in SIZES[:3]:
        with torch.inference_mode():
            (wanted,), (found,) = made(*make_inputs(size, 4, 4)), fast(*make_inputs(size, 4, 4))
        assert (found - wanted).abs().max().item() <= backends.TOLERANCE


class Fickle(nn.Module):
    """Answers otherwise while it is traced."""

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (image[:, :1] + float(torch.jit.is_tracing()),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return (example_image(size),)


class Unknown(nn.Module):
    """Has an operation that OpenVINO does not know."""

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (torch.special.bessel_j0(image[:, :1]),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return (example_image(size),)


@needs_openvino
def test_a_network_that_cannot_be_converted_is_refused() -> None:
    with pytest.raises(Unfit, match=r"OpenVINO cannot convert this network .* the eager backend"):
        accelerate(Unknown(), Runtime(backend="openvino"))


@needs_openvino
def test_a_network_that_answers_differently_each_time_is_refused_every_time() -> None:
    for _ in range(2):
        with pytest.raises(Unfit, match=r"backend openvino gives outputs .* off; wanted 1e-04"):
            accelerate(Lawless(), Runtime(backend="openvino"))


@needs_openvino
def test_a_backend_that_answers_otherwise_is_refused() -> None:
    with pytest.raises(Unfit, match=r"backend openvino gives outputs .* off; wanted 1e-04"):
        accelerate(Fickle(), Runtime(backend="openvino"))


def test_the_measure_is_the_network_itself() -> None:
    made = network("ritm-mini")
    assert accelerate(made, Runtime()) is made


@pytest.mark.parametrize("name", ["cpu:", "cuda:", "mps:", "cpu:0", "cuda:x", "", ":", "tpu"])
def test_a_device_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(IsbenchError, match="device"):
        parse_device(name)


@pytest.mark.parametrize(
    ("asked", "device", "precision", "found"),
    [("eager", "cpu", "fp32", "eager"), ("auto", "cuda:0", "fp32", "eager")],
)
def test_which_backend_is_chosen(asked: str, device: str, precision: str, found: str) -> None:
    assert choose_backend(asked, device, precision) == found


@pytest.mark.parametrize(
    ("asked", "device", "said"),
    [("opnvino", "cpu", "openvino"), ("openvino", "cuda", "openvino")],
)
def test_a_backend_that_is_not_there_is_refused(asked: str, device: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        choose_backend(asked, device, "fp32")
