"""Weights load whole and strictly, and nothing in a file is run."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from baselines.ritm import Ritm
from isbench.errors import IsbenchError
from isbench.nn.backbones.deeplab import SeparableHead
from isbench.nn.backbones.mini import Mini
from isbench.nn.runtime.checkpoint import group_by_file, load_checkpoint
from isbench.nn.runtime.compute import load_networks
from isbench.types import Runtime
from tests.support.synthetic import fill_state


def head(width: int = 8) -> nn.Module:
    return SeparableHead(width)


def weights() -> dict[str, Tensor]:
    return fill_state(head().state_dict())


def save_ritm(path: Path) -> None:
    """Write the container of RITM, ClickSEG and CSFPN."""
    config = {
        "class": "isegm.model.is_hrnet_model.HRNetModel",
        "params": {
            "norm_layer": {
                "type": "class",
                "value": "torch.nn.modules.batchnorm.BatchNorm2d",
                "specified": False,
            },
            "norm_mean_std": {"type": "builtin", "value": ([0.485], [0.229]), "specified": False},
        },
    }
    torch.save({"state_dict": OrderedDict(weights()), "config": config}, path)


@pytest.mark.parametrize("kind", ["ritm", "flat", "safetensors"])
def test_every_kind_of_file_loads_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "ritm":
        save_ritm(path)
    elif kind == "flat":
        torch.save(weights(), path)
    else:
        save_file(weights(), path)
    network = head()
    assert load_checkpoint([network], path) == sha256(path.read_bytes()).hexdigest()
    for key, value in network.state_dict().items():
        assert torch.equal(value, weights()[key])


class Code:
    """Runs when it is unpickled, unless nobody runs it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise AssertionError('code in a file was run')",))


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    for name, write in (
        ("torch.pth", lambda path: torch.save({"state_dict": Code()}, path)),
        ("plain.pkl", lambda path: path.write_bytes(pickle.dumps(Code()))),
    ):
        write(tmp_path / name)
        with pytest.raises(IsbenchError, match=r"not executed|damaged"):
            load_checkpoint([head()], tmp_path / name)


def test_a_web_page_saved_as_weights_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_text("\n<!DOCTYPE html><html><body>This file is too large to scan.</body></html>")
    with pytest.raises(IsbenchError, match="are a web page: delete the file, and download what"):
        load_checkpoint([head()], path)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        save_ritm(path)
    else:
        save_file(weights(), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(IsbenchError, match=r"damaged|not executed"):
        load_checkpoint([head()], path)


def test_weights_of_another_network_are_refused_with_the_first_keys(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match=r"keys of another shape: layers\.0\.body\.0\.weight"):
        load_checkpoint([head(16)], tmp_path / "w.pth")
    other = nn.Sequential(head())
    with pytest.raises(
        IsbenchError, match=r"missing keys: 0\.layers.* and \d+ more; unexpected keys: "
    ):
        load_checkpoint([other], tmp_path / "w.pth")


@pytest.mark.parametrize("change", ["lacks", "besides"])
def test_half_matching_weights_change_nothing(tmp_path: Path, change: str) -> None:
    state = weights()
    if change == "lacks":
        state.popitem()
    else:
        state["extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    network = head()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(IsbenchError, match="for another network"):
        load_checkpoint([network], tmp_path / "w.pth")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_found_at_load(tmp_path: Path, number: float) -> None:
    state = weights()
    state["layers.2.bias"][0] = number
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match=r"not finite, in layers\.2\.bias"):
        load_checkpoint([head()], tmp_path / "w.pth")


def test_a_negative_variance_is_found_at_load(tmp_path: Path) -> None:
    network = nn.BatchNorm2d(2)
    state = {**network.state_dict(), "running_var": torch.tensor([1.0, -1.0])}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match="negative variances, in running_var"):
        load_checkpoint([network], tmp_path / "w.pth")


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "int8": lambda value: (value * 50).to(torch.int8),
    "bool": lambda value: value > 0,
    "complex64": lambda value: value.to(torch.complex64),
    "float8_e4m3fn": lambda value: value.to(torch.float8_e4m3fn),
    "quantized": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    "sparse": lambda value: value.to_sparse(),
    "nested": lambda value: torch.nested.nested_tensor([value[:1], value[:1]]),
}


@pytest.mark.filterwarnings("ignore:.*(quantiz|TypedStorage|sparse|nested)")
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_another_kind_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    state = weights()
    state["layers.2.weight"] = KINDS[kind](state["layers.2.weight"])
    torch.save(state, tmp_path / "w.pth")
    network = head()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(IsbenchError, match=rf"{kind} numbers in layers\.2\.weight; wanted float32"):
        load_checkpoint([network], tmp_path / "w.pth")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_of_any_precision_loads(tmp_path: Path, kind: torch.dtype) -> None:
    state = {key: value.to(kind) if value.is_floating_point() else value
             for key, value in weights().items()}  # fmt: skip
    torch.save(state, tmp_path / "w.pth")
    network = head()
    load_checkpoint([network], tmp_path / "w.pth")
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key].to(value.dtype))


def test_a_number_that_single_precision_cannot_hold_is_not_finite(tmp_path: Path) -> None:
    state = weights()
    state["layers.2.bias"] = torch.full((1,), 1e300, dtype=torch.float64)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match=r"not finite, in layers\.2\.bias"):
        load_checkpoint([head()], tmp_path / "w.pth")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "net."])
def test_prefixes_of_training_tools_are_named_with_the_remedy(tmp_path: Path, prefix: str) -> None:
    torch.save({prefix + key: value for key, value in weights().items()}, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match=rf"begin with '{prefix}'.*; save .*`") as raised:
        load_checkpoint([head()], tmp_path / "w.pth")
    remedy = "state_dict()`" if prefix.count(".") == 1 and prefix != "net." else "removeprefix"
    assert remedy in str(raised.value)


@pytest.mark.parametrize("key", [5, (1, 2), None, b"layers.2.bias"])
def test_a_key_that_is_no_text_is_refused(tmp_path: Path, key: object) -> None:
    torch.save({**weights(), key: torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match="contain no state dict; wanted tensors by key"):
        load_checkpoint([head()], tmp_path / "w.pth")


def test_a_tensor_without_numbers_is_refused(tmp_path: Path) -> None:
    state = weights()
    state["layers.2.weight"] = state["layers.2.weight"].to("meta")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match=r"contain no numbers in layers\.2\.weight"):
        load_checkpoint([head()], tmp_path / "w.pth")


def test_a_state_dict_in_another_container_is_named(tmp_path: Path) -> None:
    torch.save({"model": weights(), "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match="contain their state dict as 'model'; wanted it alone"):
        load_checkpoint([head()], tmp_path / "w.pth")


def test_the_checkpoint_of_a_training_is_named_as_such(tmp_path: Path) -> None:
    saved = {"network": weights(), "mean": weights(), "optimiser": {}, "step": 5}
    torch.save(saved, tmp_path / "training.pt")
    with pytest.raises(
        IsbenchError, match=r"checkpoint of a training.*wanted weights\.safetensors"
    ):
        load_checkpoint([head()], tmp_path / "training.pt")


def test_safetensors_are_recognised_by_content(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "w.pth")
    network = head()
    load_checkpoint([network], tmp_path / "w.pth")
    torch.save(weights(), tmp_path / "w.safetensors")
    load_checkpoint([network], tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("norm_radius", 3),
        ("use_disks", False),
        ("use_leaky_relu", False),
        ("norm_radius", torch.ones(3)),
        ("norm_radius", None),
        ("norm_radius", [5]),
    ],
)
def test_an_official_checkpoint_with_other_settings_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    network = Ritm(Mini(8))
    params = {"norm_radius": 5, "use_disks": True, "use_leaky_relu": True, "with_prev_mask": True}

    def save(params: Mapping[str, object]) -> None:
        entries = {key: {"type": "builtin", "value": value} for key, value in params.items()}
        stored = {"state_dict": network.state_dict(), "config": {"class": "x", "params": entries}}
        torch.save(stored, tmp_path / "w.pth")

    save(params)
    load_checkpoint([network], tmp_path / "w.pth")
    save({**params, name: value})
    message = f"are for a network with {name}={value}; wanted {name}={params[name]}"
    with pytest.raises(IsbenchError, match=re.escape(message)):
        load_checkpoint([network], tmp_path / "w.pth")


@pytest.mark.parametrize("stored", [[], {}, {"a": 1}, 5, {"state_dict": {}}])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, stored: object) -> None:
    torch.save(stored, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match="contain no state dict"):
        load_checkpoint([head()], tmp_path / "w.pth")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match=r"cannot read .*none\.pth"):
        load_checkpoint([head()], tmp_path / "none.pth")


# Several networks


class Pair(nn.Module):
    """A part that other networks may share, and a part under a key of its own."""

    def __init__(self, shared: nn.Module, own: str) -> None:
        super().__init__()
        self.shared = shared
        self.add_module(own, nn.Conv2d(1, 1, 1))


def make_sharing() -> list[nn.Module]:
    shared = nn.Conv2d(3, 2, 1)
    return [Pair(shared, "first"), Pair(shared, "second")]


def state_of(networks: list[nn.Module]) -> dict[str, Tensor]:
    """Return made-up values for the keys of all networks, each key once."""
    state = {key: value for one in networks for key, value in one.state_dict().items()}
    return {key: torch.full_like(value, 1 + k) for k, (key, value) in enumerate(state.items())}


def test_networks_that_share_a_part_load_one_file_with_each_key_once(tmp_path: Path) -> None:
    networks = make_sharing()
    assert group_by_file(networks) == [networks]
    state = state_of(networks)
    assert [key for key in state if "shared" in key] == ["shared.weight", "shared.bias"]
    save_file(state, tmp_path / "w.safetensors")
    load_checkpoint(networks, tmp_path / "w.safetensors")
    for network in networks:
        for key, value in network.state_dict().items():
            assert torch.equal(value, state[key])


@pytest.mark.parametrize("missing", ["shared.weight", "first.bias", "second.weight"])
def test_a_key_that_any_of_the_networks_lacks_is_refused_and_nothing_changes(
    tmp_path: Path, missing: str
) -> None:
    networks = make_sharing()
    before = [{key: value.clone() for key, value in one.state_dict().items()} for one in networks]
    state = state_of(networks)
    del state[missing]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(IsbenchError, match=f"for another network: missing keys: {missing}$"):
        load_checkpoint(networks, tmp_path / "w.safetensors")
    for network, values in zip(networks, before, strict=True):
        assert all(torch.equal(value, values[key]) for key, value in network.state_dict().items())


def test_a_key_that_none_of_the_networks_has_is_refused(tmp_path: Path) -> None:
    state = state_of(make_sharing()) | {"third.weight": torch.zeros(1)}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(IsbenchError, match=r"unexpected keys: third\.weight"):
        load_checkpoint(make_sharing(), tmp_path / "w.safetensors")


def test_networks_whose_keys_collide_have_a_file_each(tmp_path: Path) -> None:
    first, second = Pair(nn.Conv2d(3, 2, 1), "first"), Pair(nn.Conv2d(3, 2, 1), "second")
    resize = nn.Upsample(scale_factor=2)  # without weights: needs no file
    assert group_by_file([first, resize, second]) == [[first], [second]]
    assert group_by_file([first, resize]) == [[first, resize]]
    paths = (tmp_path / "first.safetensors", tmp_path / "second.safetensors")
    for path, network in zip(paths, (first, second), strict=True):
        save_file(state_of([network]), path)
    digest = "+".join(sha256(path.read_bytes()).hexdigest() for path in paths)

    def make() -> dict[str, nn.Module]:
        return {"first": first, "resize": resize, "second": second}

    load_networks(make, Runtime(weights=paths, digest=digest))
    for network in (first, second):
        state = state_of([network])
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    needed = r"needs 2 weight files, one per network, but was given 1 \(.*\); wanted .*FILE,FILE"
    with pytest.raises(IsbenchError, match=needed):
        load_networks(make, Runtime(weights=paths[:1], digest=digest))


def test_a_checkpoint_with_a_changed_byte_is_damaged(tmp_path: Path) -> None:
    state = weights()
    torch.save(state, tmp_path / "w.pth")
    content = bytearray((tmp_path / "w.pth").read_bytes())
    content[content.index(state["layers.2.weight"].numpy().tobytes())] ^= 1
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(IsbenchError, match=r"w\.pth are damaged or not a checkpoint; delete"):
        load_checkpoint([head()], tmp_path / "w.pth")
