"""The OCR head on branches gives the outputs of the head on resized maps, up to rounding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from baselines.focalclick.network import Segmentor
from baselines.focalclick.versions import S1
from baselines.pseudoclick.network import PseudoClick
from baselines.ritm import Ritm
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.mini import Mini
from isbench.nn.backbones.sizes import Sizes
from isbench.nn.network import make_examples

SMALL = Sizes(width=4, ocr=6, bottlenecks=1, blocks=1, modules=(1, 1, 1))
SIZES = ((96, 128), (97, 61), (33, 200), (64, 64), (2, 2), (2, 40), (40, 2))
CLOSE = 3e-5  # relative to the largest value if that is above 1


def make_network(name: str, seed: int = 0) -> nn.Module:
    """Return a small network on HRNet, with random weights and norms."""
    torch.manual_seed(seed)
    made: dict[str, nn.Module] = {
        "ritm": Ritm(HRNet(SMALL)),
        "focalclick": Segmentor(HRNet(SMALL), S1),
        "pseudoclick": PseudoClick(HRNet(SMALL)),
    }
    network = made[name].eval().requires_grad_(False)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.5)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.normal_(1, 0.5)
            part.bias.normal_(0, 0.5)
    return network


def make_inputs(network: nn.Module, size: tuple[int, int], seed: int) -> list[Tensor]:
    """Return two noisy images, and the clicks of the examples."""
    image, *points = make_examples(network, size, 6)
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(2, *image.shape[1:], generator=rng)
    return [images, *(torch.cat([one, one]) for one in points)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["ritm", "focalclick", "pseudoclick"])
def test_fewer_operations_give_the_same_outputs(name: str, size: tuple[int, int]) -> None:
    for seed in range(3):
        plain = make_network(name, seed)
        fast = plain.for_inference()
        inputs = make_inputs(plain, size, seed)
        wanted, found = plain(*inputs), fast(*inputs)
        assert len(wanted) == len(found)
        for reference, output in zip(wanted, found, strict=True):
            scale = max(1.0, reference.abs().max().item())
            assert (output - reference).abs().max().item() <= CLOSE * scale
        # an object's pixels are those of the first output's first map above a threshold
        assert torch.equal(found[0][:, 0] > 0, wanted[0][:, 0] > 0)


def test_the_network_itself_stays_as_it_was() -> None:
    plain = make_network("ritm")
    inputs, keys = make_inputs(plain, (64, 48), 0), list(plain.state_dict())
    (before,) = plain(*inputs)
    fast = plain.for_inference()
    assert fast is not plain
    assert torch.equal(plain(*inputs)[0], before)
    assert list(plain.state_dict()) == keys


def test_a_network_on_another_trunk_has_nothing_to_save() -> None:
    plain = Ritm(Mini())
    assert plain.for_inference() is plain
