"""What a training leaves to play with, and what one starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import nn

from isbench.errors import IsbenchError
from isbench.models.registry import load_card
from isbench.nn.runtime.checkpoint import load_checkpoint
from isbench.nn.stem import ZeroConv2d
from isbench.training import checkpoints, train
from isbench.training.loop import WEIGHTS
from isbench.training.optimiser import draw_weights
from isbench.training.training_run import find_start
from isbench.training.weight_card import CARD, read_card, read_origin
from isbench.training.weights import save_weights, start_from
from tests.support.tiny import RECIPE, Tiny, card

pytestmark = pytest.mark.usefixtures("one_thread")


def test_weights_that_ship_are_the_mean_in_half_the_bytes_with_a_card(whole: Path) -> None:
    net = Tiny()
    load_checkpoint([net], whole / WEIGHTS)
    mean = torch.load(whole / "training.pt", weights_only=True)["mean"]
    for key, value in net.state_dict().items():
        assert torch.allclose(value, mean[key], rtol=1e-3, atol=1e-4)
    stored = read_card(whole / WEIGHTS)
    assert stored["model"] == "tiny"
    assert stored["recipe"] == RECIPE.format_json()
    assert stored["steps"] == "9 of 9"
    assert "held-out images left out" in stored["data"]
    assert '"whole": "' in stored["sources"]


def test_the_same_weights_and_card_are_the_same_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Tiny().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    texts = {f"key{k}": str(k) for k in range(20)}
    save_weights(net, tmp_path / "a.safetensors", texts)
    save_weights(net, tmp_path / "b.safetensors", dict(reversed(texts.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert read_card(tmp_path / "a.safetensors") == texts
    assert not list(tmp_path.glob("*.tmp"))


def test_a_disk_that_refuses_a_file_keeps_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(Tiny(), path, {"which": "first"})
    (tmp_path / "w.safetensors.tmp").mkdir()
    with pytest.raises(IsbenchError, match=r"cannot write .* the previous file is kept"):
        save_weights(Tiny(), path, {"which": "second"})
    assert read_card(path) == {"which": "first"}


def test_numbers_too_large_for_half_the_bytes_stay_whole(tmp_path: Path) -> None:
    net = Tiny()
    net.norm.running_var.fill_(1e6)
    save_weights(net, tmp_path / "w.safetensors", {})
    other = Tiny()
    load_checkpoint([other], tmp_path / "w.safetensors")
    assert torch.equal(other.norm.running_var, net.norm.running_var)


def test_a_training_starts_from_what_fits(toy_pack: str, whole: Path, tmp_path: Path) -> None:
    net = Tiny()
    net.aux = nn.Conv2d(8, 2, 1)  # another shape
    net.more = nn.Conv2d(1, 1, 1)
    loaded = start_from(net, whole / WEIGHTS)
    assert set(loaded.new) == {"aux.weight", "aux.bias", "more.weight", "more.bias"}
    assert set(loaded.left) == {"aux.weight", "aux.bias"}


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [("first", torch.nan, "not finite, in first.weight"), ("norm", -1.0, "negative variances")],
)
def test_a_training_does_not_start_from_damaged_weights(
    toy_pack: str, tmp_path: Path, part: str, value: float, said: str
) -> None:
    net = Tiny()
    (net.first.weight.data if part == "first" else net.norm.running_var).fill_(value)
    save_weights(net, tmp_path / "w.safetensors", {})
    with pytest.raises(IsbenchError, match=said):
        start_from(Tiny(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", [WEIGHTS, checkpoints.FILE])
def test_a_training_goes_on_with_the_running_mean_of_another(
    name: str, toy_pack: str, whole: Path, tmp_path: Path
) -> None:
    plan = replace(RECIPE, init=str(whole / name), steps=1, learning_rate=1e-9)
    train(card, toy_pack, tmp_path, recipe=plan)
    assert read_card(tmp_path / WEIGHTS)["origin"].startswith(f"{name} ")
    one, other = Tiny(), Tiny()
    load_checkpoint([one], whole / WEIGHTS)
    load_checkpoint([other], tmp_path / WEIGHTS)
    assert torch.equal(one.first.weight, other.first.weight)


def test_a_training_starts_from_the_weights_of_a_model_by_name(tmp_path: Path) -> None:
    bundled = load_card("ritm-mini").bundled
    assert find_start("ritm-mini") == find_start("ritm-mini:pack") == bundled["pack"]
    (tmp_path / "file").touch()
    assert find_start(f"{tmp_path}/file") == tmp_path / "file"
    for missing in ("./some/file", "some.pt", f"{tmp_path}/none.safetensors"):
        with pytest.raises(
            IsbenchError, match=rf"cannot start from {missing}: there is no such file"
        ):
            find_start(missing)
    with pytest.raises(IsbenchError, match=r"did you mean ritm-mini\?"):
        find_start("ritm-mimi")
    with pytest.raises(IsbenchError, match="no user has this home folder"):
        find_start("~nobody-of-this-name/file")
    with pytest.raises(IsbenchError, match="names 0 weight files"):
        find_start("ritm-mini:random")
    with pytest.raises(IsbenchError, match="nonsense"):
        find_start("ritm-mini:nonsense")


def test_a_part_that_ends_in_a_zero_convolution_changes_nothing_until_it_learns() -> None:
    part = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), ZeroConv2d(8, 2, 3, padding=1))
    draw_weights(part, "gluon", seed=3)
    image = torch.rand(2, 3, 8, 8)
    assert not part(image).any()
    part(image).sum().backward()
    assert part[2].weight.grad.any()


@pytest.mark.parametrize("text", ["{not json", "[1, 2]", '{"origin": 3}'])
def test_a_damaged_card_is_refused_and_its_origin_not_lost(
    toy_pack: str, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(Tiny().state_dict(), {CARD: text}))
    with pytest.raises(IsbenchError, match=r"the card of weights .* cannot be read"):
        train(card, toy_pack, tmp_path / "out", recipe=replace(RECIPE, init=str(path)))
    path.write_bytes(save(Tiny().state_dict()))
    assert read_origin(path) == ""
    with pytest.raises(IsbenchError, match="have no card"):
        read_card(path)


def test_weights_of_another_kind_are_refused(toy_pack: str, tmp_path: Path, whole: Path) -> None:
    with pytest.raises(IsbenchError, match="no tensor matches"):
        start_from(nn.Linear(1, 1), whole / WEIGHTS)
    (tmp_path / "bad.safetensors").write_text("no")
    with pytest.raises(IsbenchError, match="cannot start from"):
        start_from(Tiny(), tmp_path / "bad.safetensors")
    with pytest.raises(IsbenchError, match="cannot be read"):
        read_card(tmp_path / "bad.safetensors")
    (tmp_path / "bad.pt").write_text("no")
    plan = replace(RECIPE, init=str(tmp_path / "bad.pt"), steps=1)
    with pytest.raises(IsbenchError, match="is damaged"):
        train(card, toy_pack, tmp_path / "out", recipe=plan)
