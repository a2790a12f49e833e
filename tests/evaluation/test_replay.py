"""Recorded games, played again, are the recorded ones; where they are not, it is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation.replay import model_from_spec, open_predictor, replay_masks
from isbench.evaluation.replay_check import describe_difference, pick_keys, play_again, shorten
from isbench.evaluation.runner import run
from isbench.metrics import count_overlap
from isbench.models.loading import load_model
from isbench.models.registry import load_card
from isbench.reporting.qualitative import (
    average_examples,
    make_caption,
    make_examples,
    rank_by_distance,
)
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Click, Rules, Trajectory
from tests.support import toys
from tests.support.networks import eager

Isbench = Callable[..., tuple[int, str, str]]
RULES = Rules(4, 1.01)
FEW = load_dataset("sample", limit=2)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    out = tmp_path_factory.mktemp("runs")
    return [run(name, FEW, RULES, out=out) for name in ("grabcut", "nearest")]


def test_masks_of_recorded_clicks_have_the_recorded_overlap(pair: list[Run]) -> None:
    for one in pair:
        with open_predictor(model_from_spec(one.spec)) as predictor:
            for game in one.trajectories:
                sample = FEW.load(game.key)
                found = [
                    count_overlap(mask, sample.truth, sample.ignore)
                    for mask in replay_masks(predictor, sample, game.clicks)
                ]
                assert tuple(found) == game.overlap


@pytest.mark.parametrize("click", [Click(-1, 3, True), Click(3, 9999, False)])
def test_a_recorded_click_outside_its_image_is_a_damaged_record(click: Click) -> None:
    dataset = load_dataset("sample")
    sample = dataset.load(dataset.keys[0])
    with (
        open_predictor(load_model("nearest")) as predictor,
        pytest.raises(IsbenchError, match=r"record of object .* click \(.*\) is outside its image"),
    ):
        next(replay_masks(predictor, sample, [Click(3, 3, True), click]))


def test_a_network_with_drawn_weights_replays_too(tmp_path: Path) -> None:
    model = eager("ritm-mini", flip="off")
    (one,) = FEW.keys[:1]
    played = run(model, replace(FEW, keys=(one,), limit=1), Rules(2, 1.01), out=tmp_path)
    with open_predictor(model_from_spec(played.spec)) as predictor:
        now = play_again(predictor, FEW.load(one), played.spec.rules)
    assert describe_difference(played.trajectories[0], now) == ""


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(0, 5))
def test_a_shortened_game_is_the_game_under_shorter_rules(clicks: int, number: int) -> None:
    sample, predictor = toys.blob(number), toys.Disks()
    whole = play_again(predictor, sample, Rules(8, 0.95))
    short, rules = shorten(whole, Rules(8, 0.95), clicks)
    assert play_again(predictor, sample, rules) == short


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (([Click(1, 2, True)], [(3, 4)]), ""),
        (([Click(1, 3, True)], [(3, 4)]), "click 1 was positive at (1, 2) and is positive at"),
        (([Click(1, 2, True)], [(2, 4)]), "after click 1 IoU was 3/4 and is 2/4"),
        (([Click(1, 2, True), Click(0, 0, False)], [(3, 4), (4, 4)]), "it took 1 clicks and takes"),
    ],
)
def test_a_difference_is_described_where_it_begins(
    now: tuple[list[Click], list[tuple[int, int]]], said: str
) -> None:
    recorded = Trajectory("a#1", (Click(1, 2, True),), ((3, 4),))
    described = describe_difference(recorded, Trajectory("a#1", tuple(now[0]), tuple(now[1])))
    assert described.startswith(said)
    assert bool(described) == bool(said)


def test_the_objects_that_are_drawn_do_not_depend_on_the_order() -> None:
    keys = [f"image#{k}" for k in range(9)]
    assert pick_keys(keys, 3) == pick_keys(keys[::-1], 3)
    assert len(set(pick_keys(keys, 3))) == 3
    assert pick_keys(keys, 99) == pick_keys(keys, 9)


def test_a_model_or_weights_that_are_not_at_hand_are_named(pair: list[Run]) -> None:
    spec = pair[0].spec
    with pytest.raises(IsbenchError, match="did you mean grabcut"):
        model_from_spec(replace(spec, model="grabcat"))
    network = replace(
        spec, model="ritm-mini", weights="ab" * 32, options=load_card("ritm-mini").options
    )
    with pytest.raises(IsbenchError, match="weights abababababab of ritm-mini are not available"):
        model_from_spec(network)


def test_scenes_begin_where_two_runs_are_farthest_apart(pair: list[Run]) -> None:
    distances = [one.distance for one in rank_by_distance(pair, 3)]
    assert distances == sorted(distances, reverse=True)
    found = list(make_examples(pair, FEW, 3, 2))
    assert [example.key for example in found] == [
        one.games[0].key for one in rank_by_distance(pair, 3)
    ]
    assert all(side.exact for example in found for side in example.sides)


def test_both_models_of_a_scene_answer_the_first_run_s_clicks(pair: list[Run]) -> None:
    for runs in (pair, pair[::-1]):
        first, second = runs
        games = {game.key: game for game in first.trajectories}
        own = {game.key: game for game in second.trajectories}
        for example in make_examples(runs, FEW, 3, 2):
            assert example.clicks == games[example.key].clicks[:3]
            assert example.clicks != own[example.key].clicks[:3]
            with open_predictor(model_from_spec(second.spec)) as predictor:
                (*_, wanted) = replay_masks(predictor, FEW.load(example.key), example.clicks)
            assert (example.sides[1].mask == wanted).all()


def test_a_scene_s_answer_that_is_not_the_recorded_one_is_marked(pair: list[Run]) -> None:
    first, second = pair
    games = [replace(game, overlap=((0, 1), *game.overlap[1:])) for game in second.trajectories]
    for example in make_examples([first, replace(second, trajectories=games)], FEW, 3, 2):
        assert [side.exact for side in example.sides] == [True, False]


def test_averages_are_of_every_scene_that_has_the_figure(pair: list[Run]) -> None:
    one, two = make_examples(pair, FEW, 3, 2)
    a, b = one.sides
    blind = two._replace(sides=(two.sides[0], two.sides[1]._replace(boundary_iou=float("nan"))))
    first, second = average_examples([one, blind])
    assert first.iou == pytest.approx((a.iou + two.sides[0].iou) / 2)
    assert first.boundary_iou == pytest.approx((a.boundary_iou + two.sides[0].boundary_iou) / 2)
    assert second.boundary_iou == pytest.approx(b.boundary_iou)
    assert f"{second.label} IoU {second.iou:.3f}, boundary IoU" in make_caption([one, blind])


def test_pictures_are_drawn_and_written_with_both_figures(
    isbench: Isbench, pair: list[Run], tmp_path: Path
) -> None:
    names = [one.path for one in pair[::-1]]
    options = ("--plot", "pictures", "--max-clicks", 3, "--objects", 1, "--out", tmp_path)
    code, printed, said = isbench("report", *names, *options)
    assert code == 0, said
    assert "after 3 clicks: nearest, first 2 objects IoU" in printed
    assert printed.count("boundary IoU") == 4
    assert "the same clicks, those recorded for nearest" in printed
    assert "mean over 1 object: nearest, first 2 objects IoU" in printed
    picture = cv2.imread(str(tmp_path / "pictures.png"))
    assert picture is not None
    assert np.std(picture) > 1


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (lambda runs: runs[:1], "pictures compare two runs; 1 named"),
        (lambda runs: [], "no run below"),
    ],
)
def test_pictures_want_two_runs(
    isbench: Isbench,
    pair: list[Run],
    tmp_path: Path,
    take: Callable[[list[Run]], list[Run]],
    said: str,
) -> None:
    names = [one.path for one in take(pair)]
    code, _, errors = isbench("report", *names, "--plot", "pictures", "--runs", tmp_path)
    assert code == 2
    assert said in errors


def test_pictures_want_the_data_that_were_played_on(pair: list[Run]) -> None:
    with pytest.raises(IsbenchError, match="not played on the local files of sample"):
        list(make_examples(pair, toys.blobs(2), 3, 1))
    assert store.parse_digest(pair[0].path) != store.parse_digest(pair[1].path)
