"""The official networks on record: which ones they are here, and the outputs they must have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from baselines.ritm import Ritm
from csfpn.config import PropagationConfig
from csfpn.network import Csfpn
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.sizes import W18, W18S, W32
from isbench.nn.trunk import deeplab
from tests.support.synthetic import fill_state

# Largest error over the output's range. Synthetic weights blow the rounding of single precision up
# in the deep HRNets: with AVX-512, AVX2 or neither, and one or two threads, answers were seen to
# differ by a third of what is allowed here; all others stay below 2e-6.
ROUNDING = 1e-5
BLOWN_UP = {
    "ritm_hrnet18s_ocr48": 3e-5,
    "ritm_hrnet32_ocr128": 1e-4,
    "ritm_hrnet18_ocr64": 5e-4,
    "csfpn_hrnet18_ocr64": 4e-3,
}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ritm_hrnet18s_ocr48": lambda: Ritm(HRNet(W18S)),
    "ritm_hrnet18_ocr64": lambda: Ritm(HRNet(W18)),
    "ritm_hrnet32_ocr128": lambda: Ritm(HRNet(W32)),
    "ritm_deeplab_r34_dh128": lambda: Ritm(deeplab(34, 128), False),
    "ritm_deeplab_r50_dh128_prevmask": lambda: Ritm(deeplab(50, 128)),
    "ritm_deeplab_r101_dh256_prevmask": lambda: Ritm(deeplab(101, 256)),
    "csfpn_hrnet18_ocr64": lambda: Csfpn(HRNet(W18), PropagationConfig(released=True)),
}


def fill_network(network: nn.Module) -> nn.Module:
    """Return the network with synthetic weights, for inference."""
    network.load_state_dict(fill_state(network.state_dict()))
    return network.eval()


def check(x: Tensor, wanted: dict[str, Any], tolerance: float = ROUNDING) -> None:
    """Compare with golden values; the tolerance is a share of their range."""
    largest = tolerance * (wanted["max"] - wanted["min"])
    assert list(x.shape) == wanted["shape"]
    values = x.flatten()[wanted["flat_idx"]].tolist()
    assert values == pytest.approx(wanted["values"], rel=0, abs=largest)
    figures = {"mean": x.mean(), "std": x.std(), "min": x.min(), "max": x.max()}
    for name, figure in figures.items():
        assert float(figure) == pytest.approx(wanted[name], rel=0, abs=largest), name
