"""On the lite trunk the graph modules are inserted into a trained network and start at zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from isbench.models.registry import load_card
from isbench.nn.network import make_examples
from isbench.training.optimiser import draw_weights
from isbench.training.weights import save_weights, start_from

pytestmark = pytest.mark.usefixtures("one_thread")
ADDED = ("feature_extractor.att.", "feature_extractor.upatt.", "detail.")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """Return ritm-lite's network with drawn weights, and the file that it was saved to."""
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    network = draw("ritm-lite", seed=1)
    save_weights(network, path, {})
    start_from(network, path)  # the file is in half precision
    return network, path


def draw(name: str, seed: int, **options: Any) -> nn.Module:
    card = load_card(name)
    assert card.networks is not None
    (network,) = card.networks(**{**card.options, **options}).values()
    draw_weights(network, "gluon", seed)
    return network.eval()


@pytest.mark.parametrize("hsgm", [True, False])
def test_csfpn_lite_starts_as_good_as_the_network_it_is_inserted_into(
    base: tuple[nn.Module, Path], hsgm: bool
) -> None:
    network, path = base
    inserted = draw("csfpn-lite", seed=2, hsgm=hsgm)
    loaded = start_from(inserted, path)
    assert loaded.left == ()
    assert all(key.startswith(ADDED) for key in loaded.new)
    inputs = make_examples(network, (64, 96), 4)
    with torch.no_grad():
        assert torch.equal(inserted(*inputs)[0], network(*inputs)[0])


def test_gates_learn_first_and_then_every_inserted_module(base: tuple[nn.Module, Path]) -> None:
    _, path = base
    network = draw("csfpn-lite", seed=2)
    start_from(network, path)
    gates = {
        "feature_extractor.att.atts.0.gamma": network.feature_extractor.att.atts[0].gamma,
        "detail.weight": network.detail.weight,
        "detail.bias": network.detail.bias,
        "feature_extractor.upatt.gamma": network.feature_extractor.upatt.gamma,
    }
    assert list_learning(network) == set(gates) - {"feature_extractor.upatt.gamma"}
    for gate in gates.values():
        nn.init.constant_(gate, 0.5)
    assert list_learning(network) == {
        key for key, _ in network.named_parameters() if key.startswith(ADDED)
    }


def list_learning(network: nn.Module) -> set[str]:
    """Return the inserted parameters that have a gradient."""
    network.zero_grad()
    network(*make_examples(network, (64, 96), 4))[0].square().mean().backward()
    return {
        key
        for key, value in network.named_parameters()
        if key.startswith(ADDED) and value.grad is not None and value.grad.any()
    }
