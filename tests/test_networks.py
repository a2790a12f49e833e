"""Networks as models: weights found and refused, games that no sharding changes, odd images."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from csfpn.predictor import GlobalToLocal
from isbench import store, weights
from isbench.datasets import load_dataset
from isbench.engine import play
from isbench.errors import IsbenchError
from isbench.nn.predictor import MaskGuided, answered
from isbench.registry import load_model, with_options
from isbench.runner import Silent, build, run
from isbench.types import Click, File, Model, Rules, Runtime, Sample, Turn
from tests import toys
from tests.serving import Page, serving

Isbench = Callable[..., tuple[int, str, str]]
SMALL = {"zoom_target": "48"}


def drawn(name: str, **options: str) -> Model:
    """Return a model with random weights and small crops."""
    return weights.prepared(with_options(load_model(name), {**SMALL, **options}), "random")


def network(name: str, **options: str) -> torch.nn.Module:
    card = with_options(load_model(name), options)
    assert card.network is not None
    torch.manual_seed(1)
    made: torch.nn.Module = card.network(**card.options)
    return made


@pytest.fixture(scope="module")
def bs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of weights of ritm-mini."""
    path = tmp_path_factory.mktemp("weights") / "bs.safetensors"
    save_file(network("ritm-mini").state_dict(), path)
    return path


def one(shape: tuple[int, int]) -> Sample:
    """Return an object that fills the middle of a noisy picture of any shape."""
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    truth = np.zeros(shape, bool)
    rows, cols = shape
    truth[rows // 4 : rows // 4 + max(1, rows // 2), cols // 4 : cols // 4 + max(1, cols // 2)] = 1
    return Sample(f"odd{rows}x{cols}#1", image, truth, np.zeros(shape, bool))


def masks(card: Model, sample: Sample, clicks: int = 3) -> list[Any]:
    predictor = build(card)
    state, told, found = predictor.start(predictor.begin(sample.image), None), (), []
    for k in range(clicks):
        told = (*told, Click(k * sample.image.shape[0] // clicks, 2 * k, k % 2 == 0))
        mask, state = predictor.predict([Turn(state, told)])[0]
        found.append(mask)
    return found


# which weights


def test_a_model_whose_weights_nobody_released_says_so_and_what_to_do(isbench: Isbench) -> None:
    code, _, said = isbench("run", "--model", "csfpn-r101", "--dataset", "sbd", "--data", "none")
    assert code == 2
    assert "its authors never released any" in said
    assert "--weights FILE" in said
    assert "isbench data get sbd" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        ("ritm-hrnet18", None, "has the weights sbd, cocolvis, cocolvis-baseline"),
        ("ritm-hrnet18", "cocolvi", "no weights of ritm-hrnet18 named 'cocolvi'; did you mean"),
        ("ritm-mini", "there/is/none.pth", "there are no weights there/is/none.pth"),
        ("cdnet-r34", None, "on Google Drive"),
    ],
)
def test_weights_that_are_not_there_are_refused(model: str, asked: str | None, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        weights.prepared(load_model(model), asked)


def test_published_weights_are_fetched_by_name_and_hashed(
    tmp_path: Path, bs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isbench.weights.weights_folder", lambda: tmp_path)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with serving() as server:
        file = File("bs.safetensors", (server.add("/bs", Page(bs.read_bytes())),))
        card = replace(load_model("ritm-mini"), weights={"bs": file})
        runtime = weights.prepared(card).runtime  # the only published ones need not be named
    assert runtime is not None
    assert runtime.weights == (tmp_path / "bs.safetensors",)
    assert runtime.digest == sha256(bs.read_bytes()).hexdigest()


def test_a_file_of_weights_is_hashed_into_the_record(
    isbench: Isbench, bs: Path, folder_set: Path, tmp_path: Path
) -> None:
    asked = ["--dataset", f"folder:{folder_set}", "--out", tmp_path, "--max-clicks", 2]
    code, _, said = isbench("run", "--model", "ritm-mini", "--weights", bs, *asked)
    assert code == 0, said
    (path,) = store.find(tmp_path)
    spec = store.read(path).spec
    assert spec.weights == sha256(bs.read_bytes()).hexdigest()
    assert (spec.backend, spec.precision, spec.threads) == ("eager-cpu", "fp32", 1)
    assert spec.options["longest_side"] == 1024
    assert spec.options["zoom_target"] == 400


def test_random_weights_are_told_in_the_table(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    asked = ["--dataset", f"folder:{folder_set}", "--out", tmp_path, "--max-clicks", 1]
    code, out, _ = isbench("run", "--model", "ritm-mini", "--weights", "random", *asked)
    assert code == 0
    assert "weights=random" in out


def refused(isbench: Isbench, path: Path, *more: str, model: str = "ritm-mini") -> str:
    code, _, said = isbench(
        "run", "--model", model, "--weights", path, "--dataset", "sample", "--limit", 1, *more
    )
    assert code == 2
    assert len(said.strip().splitlines()) == 1, said
    return said


def test_weights_of_another_model_are_refused_by_their_keys(isbench: Isbench, bs: Path) -> None:
    assert "lack feature_extractor.att.atts.0.gamma" in refused(isbench, bs, model="csfpn-mini")
    assert "of another network" in refused(isbench, bs, model="ritm-hrnet18s")


def test_damaged_weights_are_refused(isbench: Isbench, bs: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(bs.read_bytes()[:1000])
    assert "damaged or no checkpoint" in refused(isbench, torn)


def test_weights_that_hold_code_are_refused_and_not_run(isbench: Isbench, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"state_dict": Evil()}, protocol=2))
    assert "more than tensors and plain values" in refused(isbench, path)
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_not_finite_are_refused(isbench: Isbench, tmp_path: Path) -> None:
    state = network("ritm-mini").state_dict()
    state["head.layers.2.bias"][:] = float("nan")
    path = tmp_path / "nan.safetensors"
    save_file(state, path)
    assert "not finite, in head.layers.2.bias" in refused(isbench, path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "cuda:99"], "device cuda:99 is not on this machine"),
        (["--device", "cdua"], "did you mean cuda"),
        (["--precision", "fp61"], "did you mean fp16"),
        (["--threads", "0"], "threads is 0; wanted at least 1"),
        (["--set", "threshold=1.5"], "threshold is 1.5; wanted above 0 and below 1"),
        (["--set", "zoom_target=-3"], "zoom_target is -3; wanted 0 pixels or more"),
    ],
)
def test_what_a_network_cannot_be_run_with_is_refused(
    isbench: Isbench, bs: Path, words: list[str], said: str
) -> None:
    assert said in refused(isbench, bs, *words)


def test_weights_for_a_model_without_a_network_are_refused(isbench: Isbench) -> None:
    assert "nearest has no network" in refused(isbench, Path("random"), model="nearest")


# games


def test_neither_workers_nor_batches_change_a_trajectory() -> None:
    card, rules = drawn("ritm-mini"), Rules(3, 1.01)
    samples = [toys.blob(k) for k in range(6)]
    predictor = build(card)
    alone = [game.trajectory for game in play(predictor, samples, rules)]
    together = [game.trajectory for game in play(predictor, samples, rules, batch=4)]
    assert sorted(alone, key=lambda t: t.key) == sorted(together, key=lambda t: t.key)


def test_two_workers_play_what_one_plays(tmp_path: Path) -> None:
    card, rules = drawn("csfpn-mini"), Rules(3, 1.01)
    files = [
        run(card, toys.blobs(6), rules, out=tmp_path / str(n), workers=n, watch=Silent()).path
        for n in (1, 2)
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_stacked_passes_answer_as_single_ones() -> None:
    predictor = build(drawn("csfpn-mini"))
    assert isinstance(predictor, GlobalToLocal)
    turns = []
    for k in range(4):
        state = predictor.start(predictor.begin(toys.blob(k).image), None)
        turns.append(Turn(state, (Click(5, 5 + k, True), *[Click(1, k, False)] * (k % 3))))
    apart, stacked = (
        [
            answer.state.probability
            for answer in answered([predictor._answer(*turn) for turn in turns], True, stack)
        ]
        for stack in (False, True)
    )
    for one_by_one, at_once in zip(apart, stacked, strict=True):
        assert torch.allclose(one_by_one, at_once, atol=1e-5)


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini", "ritm-hrnet18s", "cdnet-r34"])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3, 5), (7, 33)])
def test_images_smaller_than_the_stride_are_answered(name: str, shape: tuple[int, int]) -> None:
    options = {"size": "48"} if name == "cdnet-r34" else SMALL
    card = weights.prepared(with_options(load_model(name), options), "random")
    (game,) = play(build(card), [one(shape)], Rules(3, 1.01))
    assert len(game.trajectory.clicks) == 3


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini", "baseline-mini-fdm"])
def test_a_game_of_a_hundred_clicks_is_played(name: str) -> None:
    (game,) = play(build(drawn(name)), [one((24, 32))], Rules(100, 1.01))
    assert len(game.trajectory.clicks) == 100


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini", "cdnet-r34"])
def test_a_large_photograph_is_seen_smaller_and_answered_at_its_size(name: str) -> None:
    card = weights.prepared(load_model(name), "random")
    card = replace(card, options={**card.options, "longest_side": 32})
    predictor = build(card)
    picture = predictor.begin(one((60, 90)).image)
    assert picture.pixels.shape == (1, 3, 21, 32)
    answer = predictor.predict([Turn(predictor.start(picture, None), (Click(59, 89, True),))])[0]
    assert answer.mask.shape == (60, 90)


def test_an_initial_mask_is_what_a_game_starts_from() -> None:
    sample = one((30, 40))
    predictor = build(drawn("ritm-mini"))
    state = predictor.start(predictor.begin(sample.image), sample.truth)
    assert (state.probability[0, 0].numpy() == sample.truth).all()


# CSFPN's switches


def test_without_graphs_and_g2l_csfpn_is_the_base_segmenter(bs: Path) -> None:
    off = {"sgm": "off", "hsgm": "off", "g2l": "off"}
    cards = [
        weights.prepared(with_options(load_model(name), {**SMALL, **options}), str(bs))
        for name, options in (("csfpn-mini", off), ("ritm-mini", {}), ("baseline-mini", {}))
    ]
    answers = [masks(card, one((40, 60))) for card in cards]
    for csfpn, ritm, baseline in zip(*answers, strict=True):
        assert (csfpn == ritm).all()
        assert (csfpn == baseline).all()


def test_g2l_is_a_switch_between_two_ways_to_zoom() -> None:
    assert isinstance(build(drawn("csfpn-mini")), GlobalToLocal)
    assert isinstance(build(drawn("csfpn-mini", g2l="off")), MaskGuided)


def painted(logit: float) -> Callable[..., torch.Tensor]:
    """Return a network that finds the bright, and notes the sizes that it was shown."""

    def answer(inputs: torch.Tensor, clicks: torch.Tensor) -> torch.Tensor:
        shown.append(tuple(inputs.shape[-2:]))
        return logit * (2 * (inputs[:, :1] > 0.5).float() - 1)

    return answer


shown: list[tuple[int, ...]] = []


def bright(logit: float, **options: str) -> tuple[Any, Any]:
    """Return G2L around `painted`, and its state on an image with a bright 10 x 20 box."""
    card = drawn("csfpn-mini", flip="off", **options)
    built = build(card)
    predictor = replace(built, overall=painted(logit), detail=painted(logit))  # type: ignore[type-var]
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:30, 30:50] = 255
    shown.clear()
    return predictor, predictor.start(predictor.begin(image), None)


def test_global_to_local_looks_at_the_whole_and_then_at_the_enlarged_box() -> None:
    predictor, state = bright(8.0)
    answer = predictor.predict([Turn(state, (Click(25, 40, True),))])[0]
    # rows 20..29 about 24.5 by 1.4 * 10, columns 30..49 about 39.5 by 1.4 * 20, even rounding
    assert list(answer.state.box) == [18, 32, 26, 54]
    assert shown == [(60, 80), (25, 48)]
    assert answer.mask[20:30, 30:50].all()
    assert not answer.mask[:18].any()


def test_where_the_whole_shows_no_object_its_answer_stands() -> None:
    predictor, state = bright(-8.0)
    predictor = replace(predictor, overall=painted(0.0), detail=painted(0.0))
    answer = predictor.predict([Turn(state, (Click(25, 40, True),))])[0]
    assert shown == [(60, 80)]
    assert answer.state.box is None
    assert answer.mask.all()  # 0.5 exceeds the threshold of 0.49, not that of the zoom


def test_an_overview_is_of_its_size_and_its_answer_of_the_images() -> None:
    predictor, state = bright(8.0, overview="40")
    answer = predictor.predict([Turn(state, (Click(25, 40, True),))])[0]
    assert shown[0] == (30, 40)
    assert answer.mask.shape == (60, 80)
    assert answer.mask[22:28, 32:48].all()


def test_without_zoom_the_whole_is_looked_at_alone() -> None:
    predictor, state = bright(8.0, zoom="off")
    predictor.predict([Turn(state, (Click(25, 40, True),))])
    assert shown == [(60, 80)]


def test_released_takes_two_networks_and_all_switches(bs: Path) -> None:
    card = with_options(load_model("csfpn-hrnet18"), {"released": "on"})
    predictor = build(weights.prepared(card, "random"))
    assert isinstance(predictor, GlobalToLocal)
    assert predictor.overall is not predictor.detail
    with pytest.raises(IsbenchError, match="leave sgm, hsgm, g2l on"):
        build(weights.prepared(with_options(card, {"sgm": "off"}), "random"))


def test_two_networks_want_two_files(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    save_file(network("csfpn-hrnet18").state_dict(), path)
    card = with_options(load_model("csfpn-hrnet18"), {"released": "on"})
    with pytest.raises(IsbenchError, match="wanted --weights FILE,FILE"):
        build(weights.prepared(card, str(path)))
    assert "+" in weights.prepared(card, f"{path},{path}").runtime.digest  # type: ignore[union-attr]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_the_precision_answers_too(precision: str) -> None:
    card = weights.prepared(
        with_options(load_model("csfpn-mini"), SMALL), "random", Runtime(precision=precision)
    )
    assert all(mask.shape == (24, 32) for mask in masks(card, one((24, 32))))


def test_the_threads_of_torch_are_given_back() -> None:
    before = torch.get_num_threads()
    masks(drawn("ritm-mini"), one((24, 32)), 1)
    assert torch.get_num_threads() == before


def test_a_predictor_plays_random_networks_alike_in_every_process(folder_set: Path) -> None:
    dataset = load_dataset(f"folder:{folder_set}", limit=1)
    sample = dataset.load(dataset.keys[0])
    for again, first in zip(*(masks(drawn("csfpn-mini"), sample) for _ in range(2)), strict=True):
        assert (again == first).all()


def test_a_picture_of_one_row_is_read_and_played(tmp_path: Path, isbench: Isbench) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "masks").mkdir()
    row = np.zeros((1, 50, 3), np.uint8)
    row[:, 10:30] = 200
    cv2.imwrite(str(tmp_path / "set" / "images" / "row.png"), row)
    cv2.imwrite(str(tmp_path / "set" / "masks" / "row.png"), row[..., 0])
    asked = ["--weights", "random", "--max-clicks", 3, "--out", tmp_path / "runs"]
    code, _, said = isbench(
        "run", "--model", "csfpn-mini", "--dataset", f"folder:{tmp_path / 'set'}", *asked
    )
    assert code == 0, said
