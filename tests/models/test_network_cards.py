"""Every network plays real images and refuses the weights of another network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation.runner import Silent, run
from isbench.models.registry import describe_missing_library, list_model_names, load_card
from isbench.nn.runtime.checkpoint import group_by_file, load_checkpoint
from isbench.types import Rules
from tests.support.networks import eager

NETWORKS = [
    name
    for name in list_model_names()
    if not name.startswith("toy-") and load_card(name).networks is not None
]
# one object and one click; others play two objects and two clicks
ONE_CLICK = ("adaptation-r101", "fbrs-r101", "sam-vit-h", "sam-hq-vit-h", "simpleclick-vit-h")


@pytest.mark.slow
@pytest.mark.huge
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_plays_real_objects(name: str, real_data: Path, tmp_path: Path) -> None:
    count = 1 if name in ONE_CLICK else 2
    dataset = load_dataset("grabcut", real_data, limit=count)
    model = eager(name, threads=torch.get_num_threads())
    played = run(model, dataset, Rules(count, 1.01), out=tmp_path, watch=Silent())
    assert [len(game.clicks) for game in played.trajectories] == [count] * count
    assert played.spec.weights == "random"


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_of_another_network_are_refused_with_the_first_keys(
    name: str, tmp_path: Path
) -> None:
    card = load_card(name)
    if missing := describe_missing_library(card):
        pytest.skip(missing)
    assert card.networks is not None
    path = tmp_path / "other.safetensors"
    save_file({"encoder.weight": torch.zeros(2, 3), "encoder.bias": torch.zeros(3)}, path)
    with torch.device("meta"):
        networks = card.networks(**card.options)
    for group in group_by_file(list(networks.values())):
        with pytest.raises(IsbenchError, match=r"missing keys: .*; unexpected keys: encoder"):
            load_checkpoint(group, path)
