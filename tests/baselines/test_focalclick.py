"""FocalClick's networks equal to the official ones; their weight files."""

from __future__ import annotations

import json
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.focalclick import cards
from baselines.focalclick.network import RefineLayer, Segmentor, make_networks
from baselines.focalclick.predictor import build_predictor
from baselines.focalclick.versions import S1, S2, Version
from baselines.ritm import Ritm
from isbench.errors import IsbenchError
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.sizes import W18S
from isbench.nn.runtime.checkpoint import load_checkpoint
from isbench.nn.runtime.contents import describe_value
from isbench.types import Click, ModelCard, Runtime, Turn
from tests.support.focalclick import TINY, blank_image
from tests.support.official_networks import check
from tests.support.synthetic import POINTS, draw_picture, fill_state

GOLDEN = Path(__file__).parents[1] / "golden"
CARDS = {
    "hrnet18s_S1": cards.hrnet18s_s1,
    "hrnet18s_S2": cards.hrnet18s_s2,
    "hrnet32_S2": cards.hrnet32_s2,
}
HEAVY = [pytest.param(n, marks=[pytest.mark.slow] * n.startswith("hrnet32")) for n in CARDS]


def read(folder: str) -> Any:
    return json.loads((GOLDEN / folder / "focalclick.json").read_text())


def list_networks(card: ModelCard) -> dict[str, nn.Module]:
    assert card.networks is not None
    return dict(card.networks(**card.options))


def join_states(networks: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {key: x for one in networks.values() for key, x in one.state_dict().items()}


@pytest.mark.parametrize("name", CARDS)
def test_the_keys_of_both_networks_are_those_of_the_official_checkpoint(name: str) -> None:
    with torch.device("meta"):
        networks = list_networks(CARDS[name])
    lines = "".join(
        f"{key} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}\n"
        for key, value in sorted(join_states(networks).items())
    )
    entry = read("manifests")[f"focalclick_{name}"]
    assert lines.count("\n") == entry["keys"]
    assert sha256(lines.encode()).hexdigest() == entry["sha256"]
    parameters = {p: p.numel() for one in networks.values() for p in one.parameters()}
    assert sum(parameters.values()) == read("networks")[f"focalclick_{name}"]["params"]


@pytest.mark.parametrize("name", HEAVY)
def test_the_segmentor_answers_as_the_official_one(name: str) -> None:
    network: Any = list_networks(CARDS[name])["segmentor"]
    network.load_state_dict(fill_state(network.state_dict()))
    network.eval()
    inputs, wanted = draw_picture(4, 128, 128), read("networks")[f"focalclick_{name}"]
    # rounding is multiplied by these weights; see `BLOWN_UP` in tests/support/official_networks.py
    tolerance = 1e-4 if name == "hrnet32_S2" else 3e-5
    with torch.inference_mode():
        logits, features = network(inputs, POINTS)
        main, aux, *_ = network.forward_with_aux(inputs, POINTS)
    check(logits, wanted["instances"], tolerance)
    check(features, wanted["feature"], tolerance)
    check(aux, wanted["instances_aux"], tolerance)
    assert torch.equal(main, logits)


def test_the_refiner_answers_as_the_official_one() -> None:
    (wanted,) = (value for key, value in read("networks").items() if key.startswith("RefineLayer"))
    layer = RefineLayer(96)
    layer.load_state_dict(fill_state(layer.state_dict()))
    features, logits = draw_picture(96, 16, 16, 2), draw_picture(1, 64, 64, 3) * 4 - 2
    with torch.inference_mode():
        refined, trimap = layer.eval()(
            draw_picture(3, 64, 64), draw_picture(2, 64, 64, 1), features, logits
        )
    check(refined, wanted["pred"])
    check(trimap, wanted["trimap_logits"])


def test_versions_of_a_segmentor_differ_without_their_weights() -> None:
    def describe(version: Version) -> bytes:
        made = Segmentor(HRNet(TINY), version)
        for tensor in made.state_dict().values():
            tensor.fill_(1)
        return b"".join(describe_value(made))

    assert describe(S1) == describe(S1) != describe(S2)


def save_official(path: Path, network: nn.Module | dict[str, Tensor], **params: Any) -> None:
    """Write the container of ClickSEG's checkpoints."""
    state = network.state_dict() if isinstance(network, nn.Module) else network
    config = {
        "class": "isegm.model.is_hrnet_model.HRNetModel",
        "params": {key: {"type": "builtin", "value": v} for key, v in params.items()},
    }
    torch.save({"state_dict": state, "config": config}, path)


def test_one_file_of_the_official_format_has_the_weights_of_both_networks(tmp_path: Path) -> None:
    made, path = make_networks(partial(HRNet, TINY), S2), tmp_path / "focalclick.pth"
    wanted = fill_state(join_states(made))
    save_official(path, wanted, use_disks=True, norm_radius=5, with_prev_mask=True)
    load_checkpoint(list(made.values()), path)
    for key, value in join_states(made).items():
        assert torch.equal(value, wanted[key])


@pytest.mark.parametrize("disks", [False, None])
def test_a_file_of_another_system_is_refused_by_its_first_keys(
    tmp_path: Path, disks: bool | None
) -> None:
    path = tmp_path / "other.pth"
    if disks is None:
        save_official(path, Ritm(HRNet(W18S)))
        said = "missing keys: refiner.image_conv1.conv.weight, refiner.image_conv1.conv.bias"
    else:
        save_official(path, join_states(list_networks(cards.hrnet18s_s2)), use_disks=disks)
        said = "use_disks=False; wanted use_disks=True"
    with pytest.raises(IsbenchError, match=said):
        load_checkpoint(list(list_networks(cards.hrnet18s_s2).values()), path)


@pytest.mark.parametrize(("given", "other"), [(S1, S2), (S2, S1)])
def test_a_file_of_the_other_version_is_refused_though_its_keys_are_the_same(
    tmp_path: Path, given: Version, other: Version
) -> None:
    path, made = tmp_path / "focalclick.pth", make_networks(partial(HRNet, TINY), given)
    save_official(path, join_states(made), pipeline_version=given.name)
    load_checkpoint(list(made.values()), path)
    said = f"pipeline_version={given.name}; wanted pipeline_version={other.name}"
    with pytest.raises(IsbenchError, match=said):
        load_checkpoint(list(make_networks(partial(HRNet, TINY), other).values()), path)


@pytest.mark.parametrize(
    ("card", "size", "said"),
    [
        (cards.hrnet18s_s1, 1, "option size is 1; wanted from 2 to 4096 pixels"),
        (cards.hrnet18s_s2, 0, "option size is 0; wanted from 1 to 4096 pixels"),
        (cards.hrnet18s_s2, 5000, "option size is 5000; wanted from 1 to 4096 pixels"),
    ],
)
def test_a_size_without_sense_is_refused(card: ModelCard, size: int, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        card.build(**{**card.options, "size": size}, runtime=Runtime())


@pytest.mark.parametrize("version", [S1, S2])
def test_the_smallest_size_is_played(version: Version) -> None:
    options = {**cards.hrnet18s_s1.options, "size": version.shrink}
    predictor = build_predictor(partial(HRNet, TINY), version, **options, runtime=Runtime())
    state = predictor.start(predictor.begin(blank_image(1, 9)), None)
    (answer,) = predictor.predict([Turn(state, (Click(0, 8, True),))])
    assert answer.mask.shape == (1, 9)
