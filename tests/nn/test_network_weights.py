"""Which weights a network plays with: found by name or file, hashed, or refused in a line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from isbench.errors import IsbenchError
from isbench.models import known_weights, weights
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.nn.runtime import openvino
from isbench.storage import store
from isbench.training.weight_card import read_card
from isbench.types import File
from tests.support.networks import eager, load_small, make_object, masks, network
from tests.support.serving import Page, serve

Isbench = Callable[..., tuple[int, str, str]]


def test_a_model_whose_weights_nobody_released_says_so_and_what_to_do(isbench: Isbench) -> None:
    code, _, said = isbench("run", "--model", "csfpn-r101", "--dataset", "sbd", "--data", "none")
    assert code == 2
    assert "its authors never released any" in said
    assert "pass a file as `weights`, or random for an untrained network (--weights); and " in said
    assert "isbench data get sbd" in said
    assert said.endswith("`data` (--data)\n")  # each of the two errors has its flag
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        ("ritm-hrnet18", None, "has the weights sbd, cocolvis"),
        ("baseline-lite-fdm", None, "ships without trained weights"),
        ("ritm-hrnet18", "cocolvi", "no weights of ritm-hrnet18 named 'cocolvi'; did you mean"),
        ("ritm-mini", "there/is/none.pth", "there are no weights there/is/none.pth"),
        ("ritm-mini", "tests", "tests is a folder; wanted a file of weights"),
        ("ritm-mini", "", "no weights of ritm-mini named ''"),
        ("cdnet-r34", None, "has the weights sbd, cocolvis"),
        ("cdnet-r34", "sbd", "download cdnet_res34_sbd.pth by hand from https://.*ClickSEG, then"),
    ],
)
def test_weights_that_are_not_there_are_refused(
    model: str, asked: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(IsbenchError, match=said):
        weights.load_weights(load_card(model), asked)


def test_published_weights_are_fetched_by_name_and_hashed(
    tmp_path: Path, bs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isbench.models.weights.find_weights_folder", lambda: tmp_path)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with serve() as server:
        file = File("bs.safetensors", (server.add("/bs", Page(bs.read_bytes())),))
        card = replace(load_card("ritm-mini"), bundled={}, weights={"bs": file})
        runtime = weights.load_weights(card)  # the only published ones need not be named
    assert runtime.weights == (tmp_path / "bs.safetensors",)
    assert runtime.digest == sha256(bs.read_bytes()).hexdigest()


def test_a_file_without_a_mirror_is_asked_for_and_found_by_name_once_it_is_saved(
    tmp_path: Path, bs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isbench.models.weights.find_weights_folder", lambda: tmp_path)
    file = File("bs.pth", size=bs.stat().st_size, page="https://example.org/readme")
    card = replace(load_card("ritm-mini"), bundled={}, weights={"bs": file})
    with pytest.raises(IsbenchError) as refused:
        weights.load_weights(card)  # the only published ones need not be named
    for part in ("bs.pth", f"{file.size:,} bytes", file.page, str(tmp_path), "pass the file as"):
        assert part in str(refused.value)
    assert refused.value.setting == "weights"
    (tmp_path / "bs.pth").write_bytes(bs.read_bytes())
    runtime = weights.load_weights(card, "bs")
    assert runtime.digest == sha256(bs.read_bytes()).hexdigest()
    (tmp_path / "bs.pth").write_bytes(b"something else")
    with pytest.raises(IsbenchError, match="not as published: it has 14 bytes, wanted"):
        weights.load_weights(card, "bs")


@pytest.mark.parametrize(
    "file", [File("bs.pth"), File("bs.pth", ("http://127.0.0.1:1/bs.pth",))], ids=["hand", "mirror"]
)
def test_a_folder_in_the_place_of_weights_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: File
) -> None:
    monkeypatch.setattr("isbench.models.weights.find_weights_folder", lambda: tmp_path)
    (tmp_path / "bs.pth").mkdir()
    card = replace(load_card("ritm-mini"), bundled={}, weights={"bs": file})
    with pytest.raises(IsbenchError, match=r"bs\.pth is not a file, but the place of weights bs"):
        weights.load_weights(card, "bs")


def test_damaged_weights_of_another_model_do_not_hide_those_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_weights, "find_weights_folder", lambda: tmp_path)
    card, other = load_card("ritm-mini"), load_card("ritm-hrnet18")
    damaged = next(file for file in other.weights.values() if file.size is not None)
    (tmp_path / damaged.name).write_bytes(b"not it")
    (pack, *_) = known_weights.list_weights(card)
    assert known_weights.find_weights(card, pack.digest) == (pack.path,)
    with pytest.raises(IsbenchError, match="not as published"):  # its own may be what was wanted
        known_weights.find_weights(other, "ab" * 32)


def test_a_file_of_weights_is_hashed_into_the_record(
    isbench: Isbench, bs: Path, folder_set: Path, tmp_path: Path
) -> None:
    asked = ["--dataset", f"folder:{folder_set}", "--out", tmp_path, "--max-clicks", 2]
    asked += ["--set", "zoom_target=0", "--backend", "eager"]  # 0: as the data set says
    code, _, said = isbench("run", "--model", "ritm-mini", "--weights", bs, *asked)
    assert code == 0, said
    (path,) = store.find(tmp_path)
    spec = store.read(path).spec
    assert spec.weights == sha256(bs.read_bytes()).hexdigest()
    assert (spec.backend, spec.precision, spec.threads) == ("eager-cpu", "fp32", 1)
    assert spec.options["longest_side"] == 1024
    assert spec.options["zoom_target"] == 400


def test_the_table_says_that_weights_are_random(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    asked = ["--dataset", f"folder:{folder_set}", "--out", tmp_path, "--max-clicks", 1]
    code, out, _ = isbench("run", "--model", "ritm-mini", "--weights", "random", *asked)
    assert code == 0
    assert "ritm-mini, random weights" in out


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini"])
def test_weights_that_come_with_a_card_are_taken_unless_others_are_asked_for(name: str) -> None:
    runtime = weights.load_weights(load_card(name))
    (path,) = runtime.weights
    assert runtime.digest == sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size <= 6_000_000
    assert read_card(path)["model"] == name
    assert weights.load_weights(load_card(name), "random") != runtime


def refuse(isbench: Isbench, path: Path, *more: str, model: str = "ritm-mini") -> str:
    code, _, said = isbench(
        "run", "--model", model, "--weights", path, "--dataset", "sample", "--limit", 1, *more
    )
    assert code == 2
    assert len(said.strip().splitlines()) == 1, said
    return said


def test_weights_of_another_model_are_refused_by_their_keys(isbench: Isbench, bs: Path) -> None:
    assert "missing keys: feature_extractor.att.atts.0.gamma" in refuse(
        isbench, bs, model="csfpn-mini"
    )
    assert "for another network" in refuse(isbench, bs, model="ritm-hrnet18s")


def test_damaged_weights_are_refused(isbench: Isbench, bs: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(bs.read_bytes()[:1000])
    assert "damaged or not a checkpoint" in refuse(isbench, torn)


def test_weights_that_hold_code_are_refused_and_not_run(isbench: Isbench, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"state_dict": Evil()}, protocol=2))
    assert "more than tensors and plain values" in refuse(isbench, path)
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_not_finite_are_refused(isbench: Isbench, tmp_path: Path) -> None:
    state = network("ritm-mini").state_dict()
    state["head.layers.2.bias"][:] = float("nan")
    path = tmp_path / "nan.safetensors"
    save_file(state, path)
    assert "not finite, in head.layers.2.bias" in refuse(isbench, path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "cuda:99"], "device cuda:99 is not available"),
        (["--device", "cdua"], "did you mean cuda"),
        (["--precision", "fp61"], "did you mean fp16"),
        (["--threads", "0"], "threads is 0; wanted at least 1"),
        (["--threads", "100000000000"], "threads is 100000000000; wanted at most 1024"),
        (["--set", "threshold=1.5"], "threshold is 1.5; wanted above 0 and below 1"),
        (["--set", "zoom_target=4097"], "zoom_target is 4097; wanted from 0 to 4096 pixels"),
        (["--set", "zoom_target=-3"], "zoom_target is -3; wanted from 0 to 4096 pixels"),
    ],
)
def test_what_a_network_cannot_be_run_with_is_refused(
    isbench: Isbench, bs: Path, words: list[str], said: str
) -> None:
    assert said in refuse(isbench, bs, *words)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--weights", "random"),
        ("--device", "nonsense"),
        ("--precision", "bf16"),
        ("--backend", "openvino"),
        ("--threads", 2),
    ],
)
def test_what_only_networks_have_is_refused_for_others(
    isbench: Isbench, option: str, value: object
) -> None:
    code, _, said = isbench("run", "--model", "nearest", "--dataset", "sample", option, value)
    assert (code, said.count("\n")) == (2, 1)
    assert f"{option[2:]} is {value}, but nearest has no network; leave it out ({option})" in said


def test_as_many_files_as_networks_are_wanted(tmp_path: Path, bs: Path) -> None:
    path = tmp_path / "one.safetensors"
    save_file(network("csfpn-hrnet18").state_dict(), path)
    with pytest.raises(IsbenchError, match="wanted FILE,FILE"):
        build_predictor(eager("csfpn-hrnet18", str(path), released="on"))
    pair = eager("csfpn-hrnet18", f"{path},{path}", released="on")
    assert pair.runtime is not None
    assert "+" in pair.runtime.digest
    with pytest.raises(IsbenchError, match="needs 1 weight file but was given 2"):
        build_predictor(eager("ritm-mini", f"{bs},{bs}"))


def test_a_file_with_a_comma_in_its_name_is_one_file(tmp_path: Path, bs: Path) -> None:
    path = tmp_path / "a,b.safetensors"
    path.write_bytes(bs.read_bytes())
    build_predictor(eager("ritm-mini", str(path)))


def test_weights_that_change_after_they_were_hashed_are_refused(tmp_path: Path, bs: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(bs.read_bytes())
    model = eager("ritm-mini", str(path))
    save_file(network("ritm-mini").state_dict() | {"head.layers.2.bias": torch.ones(1)}, path)
    with pytest.raises(IsbenchError, match="changed after the run began"):
        build_predictor(model)


def test_what_is_wrong_with_the_last_model_is_known_before_the_first_plays(
    isbench: Isbench, bs: Path, tmp_path: Path
) -> None:
    said = refuse(isbench, bs, "--model", "csfpn-mini", "--out", str(tmp_path / "runs"))
    assert "for another network" in said
    assert not (tmp_path / "runs").exists()


def test_random_weights_are_the_same_every_time_and_leave_other_generators_alone() -> None:
    torch.manual_seed(3)
    first = masks(load_small("csfpn-mini"), make_object((24, 32)))
    lot = torch.rand(1)
    torch.manual_seed(3)
    assert lot == torch.rand(1)
    for again, before in zip(
        masks(load_small("csfpn-mini"), make_object((24, 32))), first, strict=True
    ):
        assert (again == before).all()


@pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")
def test_a_network_that_the_fastest_backend_cannot_take_is_played_without(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    asked = ["--dataset", f"folder:{folder_set}", "--max-clicks", 1, "--weights", "random"]
    asked += ["--model", "tests.support.networks:lawless"]
    code, _, said = isbench("run", *asked, "--out", tmp_path)
    assert code == 0
    assert "lawless: backend openvino gives outputs" in said
    (path,) = store.find(tmp_path)
    assert store.read(path).spec.backend == "eager-cpu"
    code, _, said = isbench("run", *asked, "--backend", "openvino", "--out", tmp_path / "other")
    assert code == 2
    assert said.strip().count("\n") == 0
