"""Networks as models: weights found and refused, games that no sharding changes, odd images."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from baselines import cdnet
from csfpn.predictor import PAPER, RELEASED, global_to_local
from isbench import store, weights
from isbench.engine import play
from isbench.errors import IsbenchError
from isbench.nn.clickmaps import mirrored
from isbench.nn.predictor import Passing, View, answered, crop, mask_guided
from isbench.nn.stem import raised
from isbench.nn.zoom import Box, Zoom
from isbench.registry import load_model, with_options
from isbench.runner import Silent, build, run
from isbench.training.weights import read_card
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


def played_by(card: Model) -> Any:
    """Return a predictor whose gates are open: at 0, as they start, graphs propagate nothing."""
    predictor = build(card)
    assert isinstance(predictor, Passing)
    for part in predictor.answer.args:  # type: ignore[attr-defined]
        for network in part if isinstance(part, (tuple, list)) else [part]:
            if isinstance(network, torch.nn.Module):
                for key, value in network.named_parameters():
                    if key.endswith("gamma"):
                        value.fill_(0.3)
    return predictor


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
        ("ritm-hrnet18", None, "has the weights sbd, cocolvis"),
        ("csfpn-mini", None, "comes without trained ones"),
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
        card = replace(load_model("ritm-mini"), bundled={}, weights={"bs": file})
        runtime = weights.prepared(card).runtime  # the only published ones need not be named
    assert runtime is not None
    assert runtime.weights == (tmp_path / "bs.safetensors",)
    assert runtime.digest == sha256(bs.read_bytes()).hexdigest()


def test_a_file_of_weights_is_hashed_into_the_record(
    isbench: Isbench, bs: Path, folder_set: Path, tmp_path: Path
) -> None:
    asked = ["--dataset", f"folder:{folder_set}", "--out", tmp_path, "--max-clicks", 2]
    asked += ["--set", "zoom_target=0"]  # as the data set says
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


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini"])
def test_batches_never_change_a_trajectory(name: str) -> None:
    rules, samples = Rules(3, 1.01), [toys.blob(k) for k in range(6)]
    predictor = played_by(drawn(name))
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


def stacked_and_single(device: str) -> float:
    """Return the largest difference of probabilities between passes stacked and one by one."""
    card = weights.prepared(
        with_options(load_model("csfpn-mini"), SMALL), "random", Runtime(device=device)
    )
    predictor, turns = played_by(card), []
    for k in range(4):
        state = predictor.start(predictor.begin(toys.blob(k).image), None)
        turns.append(Turn(state, (Click(5, 5 + k, True), *[Click(1, k, False)] * (k % 3))))
    found = [
        [one.state.probability for one in answered(list(map(predictor.passes, turns)), True, stack)]
        for stack in (False, True)
    ]
    return max(float((one - at_once).abs().max()) for one, at_once in zip(*found, strict=True))


def test_stacked_passes_answer_as_single_ones() -> None:
    assert stacked_and_single("cpu") < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_stacked_passes_answer_as_single_ones_on_a_gpu() -> None:
    difference = stacked_and_single("cuda")
    print(f"stacked passes differ from single ones by {difference:.2g} in probability")
    assert difference < 1e-3


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini", "ritm-hrnet18s", "cdnet-r34"])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3, 5), (7, 33)])
def test_images_smaller_than_the_stride_are_answered(name: str, shape: tuple[int, int]) -> None:
    options = {"size": "48"} if name == "cdnet-r34" else SMALL
    card = weights.prepared(with_options(load_model(name), options), "random")
    (game,) = play(played_by(card), [one(shape)], Rules(3, 1.01))
    assert len(game.trajectory.clicks) == 3


@pytest.mark.parametrize("name", ["ritm-mini", "csfpn-mini", "baseline-mini-fdm"])
def test_a_game_of_a_hundred_clicks_is_played(name: str) -> None:
    (game,) = play(played_by(drawn(name)), [one((24, 32))], Rules(100, 1.01))
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


def test_what_is_seen_smaller_stays_where_it_is() -> None:
    bands = np.zeros((512, 512, 3), np.uint8)
    bands[:, 8:120] = bands[:, 392:504] = 255

    def bright_ones(inputs: torch.Tensor, clicks: torch.Tensor) -> torch.Tensor:
        return 20 * (inputs[:, :1] - 0.5)

    predictor = Passing(View(flip=False, longest_side=64), partial(mask_guided, bright_ones))
    state = predictor.start(predictor.begin(bands), None)
    mask = predictor.predict([Turn(state, (Click(9, 9, True),))])[0].mask
    ends = np.flatnonzero(np.diff(mask[256].astype(int)))
    assert np.abs(ends - [7, 119, 391, 503]).max() <= 1


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


def test_the_switches_choose_how_to_zoom() -> None:
    def way(card: Model) -> tuple[Any, Any]:
        built: Any = build(card)
        return built.answer.func, replace(built.view.zoom, target=400)

    assert way(drawn("csfpn-mini")) == (global_to_local, PAPER)
    assert way(drawn("csfpn-hrnet18", released="on")) == (global_to_local, RELEASED)
    assert way(drawn("csfpn-mini", g2l="off")) == way(drawn("ritm-mini"))


class Pass(NamedTuple):
    """What a stand-in network was shown."""

    network: str
    size: tuple[int, int]
    previous: torch.Tensor  # (h, w)


class Stub:
    """A network that calls `answer` for its logits and remembers its passes in `seen`."""

    def __init__(self, name: str, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.name, self.answer = name, answer

    def __call__(self, inputs: torch.Tensor, clicks: torch.Tensor) -> torch.Tensor:
        seen.append(Pass(self.name, tuple(inputs.shape[-2:]), inputs[0, 3]))  # type: ignore[arg-type]
        return self.answer(inputs)


seen: list[Pass] = []


def like_bright(logit: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda inputs: logit * (2 * (inputs[:, :1] > 0.5).float() - 1)


def nothing(inputs: torch.Tensor) -> torch.Tensor:
    return torch.full_like(inputs[:, :1], -8.0)


def g2l(
    whole: Callable[[torch.Tensor], torch.Tensor], view: View, released: bool = False
) -> tuple[Passing, Any]:
    """Return global to local around stand-ins, and its state on an image with a bright box."""
    pair = Stub("whole", whole), Stub("crop", like_bright(4.0))
    predictor = Passing(view, partial(global_to_local, pair, released))
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:30, 30:50] = 255
    seen.clear()
    return predictor, predictor.start(predictor.begin(image), None)


ON_OBJECT = (Click(25, 40, True),)


def crops(zoom: Zoom) -> View:
    return View(replace(zoom, target=48), flip=False)


def test_global_to_local_looks_at_the_whole_and_then_at_the_enlarged_box() -> None:
    predictor, state = g2l(like_bright(8.0), crops(PAPER))
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    # rows 20..29 about 24.5 by 1.4 * 10, columns 30..49 about 39.5 by 1.4 * 20, even rounding
    assert list(answer.state.box) == [18, 32, 26, 54]
    assert [(one.network, one.size) for one in seen] == [("whole", (60, 80)), ("crop", (25, 48))]
    assert answer.mask[20:30, 30:50].all()
    assert not answer.mask[:18].any()


def test_the_pass_over_the_crop_is_given_the_first_ones_map() -> None:
    predictor, state = g2l(like_bright(8.0), crops(PAPER))
    state = predictor.predict([Turn(state, ON_OBJECT)])[0].state
    predictor.predict([Turn(state, (*ON_OBJECT, Click(0, 0, False)))])
    first_whole, first_crop, second_whole, second_crop = (one.previous for one in seen)
    assert first_whole.max() == 0
    # sigmoid(8), the whole pass's, in both crops; sigmoid(4), the answer, in the second whole pass
    assert float(first_crop.max()) == pytest.approx(0.99966, abs=1e-4)
    assert float(second_crop.max()) == pytest.approx(0.99966, abs=1e-4)
    assert float(second_whole.max()) == pytest.approx(0.98201, abs=1e-4)


def test_the_box_is_renewed_at_every_click() -> None:
    predictor, state = g2l(like_bright(8.0), crops(PAPER))
    first = predictor.predict([Turn(state, ON_OBJECT)])[0].state
    further = (*ON_OBJECT, Click(31, 52, True))  # inside the first box
    second = predictor.predict([Turn(first, further)])[0].state
    assert list(second.box) == [17, 34, 25, 57]  # rows 20..31, columns 30..52


def test_released_boxes_are_larger_around_smaller_objects() -> None:
    predictor, state = g2l(like_bright(8.0), crops(RELEASED), released=True)
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    ratio = 2.5 - 4 * (9 * 19 / (60 * 80)) ** 0.5
    rows, cols = ratio * 10 / 2, ratio * 20 / 2
    wanted = [24.5 - rows, 24.5 + rows, 39.5 - cols, 39.5 + cols]
    assert list(answer.state.box) == [round(edge) for edge in wanted]


def test_where_the_whole_shows_no_object_its_answer_stands() -> None:
    predictor, state = g2l(nothing, crops(PAPER))
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    assert [one.network for one in seen] == ["whole"]
    assert answer.state.box is None
    assert not answer.mask.any()


def test_released_looks_again_at_all_and_answers_into_its_last_box() -> None:
    predictor, state = g2l(nothing, crops(RELEASED), released=True)
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    assert [(one.network, one.size) for one in seen] == [("whole", (60, 80)), ("crop", (60, 80))]
    assert answer.mask[20:30, 30:50].all()  # no box yet: the answer is the crop network's
    stale = state._replace(box=Box(10, 39, 20, 59))
    answer = predictor.predict([Turn(stale, ON_OBJECT)])[0]
    assert answer.state.box == stale.box
    assert not answer.mask[:10].any()  # the whole picture was pasted into the box
    assert answer.mask[10:40, 20:60].any()


def test_an_overview_is_of_its_size_and_its_answer_of_the_images() -> None:
    predictor, state = g2l(like_bright(8.0), replace(crops(PAPER), overview=40))
    answer = predictor.predict([Turn(state, ON_OBJECT)])[0]
    assert seen[0].size == (30, 40)
    assert answer.mask.shape == (60, 80)
    assert answer.mask[22:28, 32:48].all()


def test_without_zoom_the_whole_is_looked_at_alone() -> None:
    predictor, state = g2l(like_bright(8.0), View(None, flip=False))
    predictor.predict([Turn(state, ON_OBJECT)])
    assert [(one.network, one.size) for one in seen] == [("whole", (60, 80))]


def test_released_takes_two_networks_and_all_switches() -> None:
    card = with_options(load_model("csfpn-hrnet18"), {"released": "on", **SMALL})
    predictor: Any = build(weights.prepared(card, "random"))
    first, second = predictor.answer.args[0]
    assert first is not second
    assert not torch.equal(first.maps_transform[0].weight, second.maps_transform[0].weight)
    assert masks(weights.prepared(card, "random"), one((24, 32)), 2)[1].shape == (24, 32)
    with pytest.raises(IsbenchError, match="leave sgm, hsgm, g2l on"):
        build(weights.prepared(with_options(card, {"sgm": "off"}), "random"))


def test_as_many_files_as_networks_are_wanted(tmp_path: Path, bs: Path) -> None:
    path = tmp_path / "one.safetensors"
    save_file(network("csfpn-hrnet18").state_dict(), path)
    card = with_options(load_model("csfpn-hrnet18"), {"released": "on"})
    with pytest.raises(IsbenchError, match="wanted --weights FILE,FILE"):
        build(weights.prepared(card, str(path)))
    assert "+" in weights.prepared(card, f"{path},{path}").runtime.digest  # type: ignore[union-attr]
    with pytest.raises(IsbenchError, match="of 1 network and was given 2 files"):
        build(weights.prepared(load_model("ritm-mini"), f"{bs},{bs}"))


def test_a_file_with_a_comma_in_its_name_is_one_file(tmp_path: Path, bs: Path) -> None:
    path = tmp_path / "a,b.safetensors"
    path.write_bytes(bs.read_bytes())
    build(weights.prepared(load_model("ritm-mini"), str(path)))


def test_weights_that_change_after_they_were_hashed_are_refused(tmp_path: Path, bs: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(bs.read_bytes())
    card = weights.prepared(load_model("ritm-mini"), str(path))
    save_file(network("baseline-mini").state_dict() | {"head.layers.2.bias": torch.ones(1)}, path)
    with pytest.raises(IsbenchError, match="changed after the run began"):
        build(card)


def test_what_is_wrong_with_the_last_model_is_known_before_the_first_plays(
    isbench: Isbench, bs: Path, tmp_path: Path
) -> None:
    said = refused(isbench, bs, "--model", "csfpn-mini", "--out", str(tmp_path / "runs"))
    assert "of another network" in said
    assert not (tmp_path / "runs").exists()


# CDNet


def test_cdnet_sees_a_square_and_diffuses_the_mean_of_both_mirror_images() -> None:
    card = weights.prepared(with_options(load_model("cdnet-r34"), {"size": "48"}), "random")
    predictor: Any = build(card)
    net = predictor.answer.args[0]
    state = predictor.start(predictor.begin(one((40, 60)).image), None)
    (answer,) = predictor.predict([Turn(state, (Click(20, 30, True),))])
    inputs, table = crop(state.picture.pixels, [Click(20, 30, True)], Box(0, 39, 0, 59), (48, 48))
    with torch.inference_mode():
        pair = net(torch.cat([inputs, inputs.flip(3)]), torch.cat([table, mirrored(table, 48)]))
        mean = (pair[:1] + pair[1:].flip(3)) / 2
        wanted = raised(torch.sigmoid(net.refined(inputs, table, mean)), (40, 60))
    assert torch.allclose(answer.state.probability, wanted, atol=1e-5)
    assert (answer.mask == (wanted[0, 0] > 0.5).numpy()).all()
    assert predictor.view.threshold == 0.5


def test_cdnets_box_is_renewed_at_every_click_and_may_be_small() -> None:
    zoom = replace(cdnet.ZOOM, target=48)
    mask = np.zeros((200, 300), bool)
    mask[50:54, 60:64] = True
    clicks = (Click(51, 61, True), Click(52, 62, True))
    box = zoom.box(mask, clicks, None)
    assert box == Box(46, 56, 56, 66)  # 1.4 * 4 is below 10: 10 about 51.5 and 61.5, even rounding
    mask[50:54, 60:65] = True
    assert zoom.box(mask, clicks, box) != box  # RITM would keep it
    assert zoom.box(mask, clicks[:1], None) is None


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


def test_weights_that_are_drawn_are_drawn_alike_and_leave_others_lots_alone() -> None:
    torch.manual_seed(3)
    first = masks(drawn("csfpn-mini"), one((24, 32)))
    lot = torch.rand(1)
    torch.manual_seed(3)
    assert lot == torch.rand(1)
    for again, before in zip(masks(drawn("csfpn-mini"), one((24, 32))), first, strict=True):
        assert (again == before).all()


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


@pytest.mark.parametrize("name", ["ritm-mini", "baseline-mini"])
def test_weights_that_come_with_a_card_are_taken_unless_others_are_asked_for(name: str) -> None:
    card = weights.prepared(load_model(name))
    assert card.runtime is not None
    (path,) = card.runtime.weights
    assert card.runtime.digest == sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size <= 6_000_000
    assert read_card(path)["model"] == "ritm-mini"
    assert weights.prepared(card, "random").runtime != card.runtime
