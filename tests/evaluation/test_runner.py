"""Resumed = whole, and what happens when data change or a model breaks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.storage import store
from isbench.storage.environment import describe_processor
from isbench.types import Game, ModelCard, Rules, Sample
from tests.conftest import write_folder_set
from tests.support import toys
from tests.support.listening import Listening

RULES = Rules(max_clicks=5, stop_iou=1.01)


@pytest.mark.parametrize("stop_after", [1, 4, 9])
def test_a_resumed_run_is_the_whole_run_byte_for_byte(tmp_path: Path, stop_after: int) -> None:
    data = toys.blobs(10)
    whole = run(toys.card, data, RULES, out=tmp_path / "whole").path
    with pytest.raises(KeyboardInterrupt):
        run(toys.card, data, RULES, out=tmp_path / "part", watch=Listening(stop_after))
    listening = Listening()
    resumed = run(toys.card, data, RULES, out=tmp_path / "part", watch=listening).path
    assert listening.resumed == stop_after
    assert len(listening.games) == 10 - stop_after
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_second_run_plays_nothing(tmp_path: Path) -> None:
    first = run(toys.card, toys.blobs(4), RULES, out=tmp_path)
    second = run(toys.card, toys.blobs(4), RULES, out=tmp_path, watch=(listening := Listening()))
    assert second == first
    assert listening.games == []


def test_full_games_answer_a_shorter_question_without_playing(tmp_path: Path) -> None:
    run(toys.card, toys.blobs(6), RULES, out=tmp_path / "full")
    asked = Rules(max_clicks=3, stop_iou=0.7)
    answered = run(toys.card, toys.blobs(6), asked, out=tmp_path / "full", watch=(w := Listening()))
    played = run(toys.card, toys.blobs(6), asked, out=tmp_path / "played")
    assert w.games == []
    assert answered.trajectories == played.trajectories
    assert answered.spec == played.spec


def test_an_adaptive_model_plays_in_order_from_the_start(tmp_path: Path) -> None:
    data = toys.blobs(6)
    whole = run(toys.learner, data, RULES, out=tmp_path / "whole", workers=3).path
    with pytest.raises(KeyboardInterrupt):
        run(toys.learner, data, RULES, out=tmp_path / "part", watch=Listening(3))
    resumed = run(toys.learner, data, RULES, out=tmp_path / "part").path
    assert resumed.read_bytes() == whole.read_bytes()
    shorter = run(toys.learner, data, replace(RULES, max_clicks=2), out=tmp_path / "whole")
    assert shorter.path != whole


def test_an_unfinished_run_over_changed_data_is_reported_and_kept(
    tmp_path: Path, folder_set: Path
) -> None:
    data, out = load_dataset(f"folder:{folder_set}"), tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt):
        run(toys.card, data, RULES, out=out, watch=Listening(2))
    (kept,) = store.find(out)
    before = kept.read_bytes()
    mask = folder_set / "masks" / "picture00003__1.png"
    mask.write_bytes((folder_set / "masks" / "picture00002__1.png").read_bytes())
    run(toys.card, load_dataset(f"folder:{folder_set}"), RULES, out=out, watch=(w := Listening()))
    assert any("started with another fingerprint" in note for note in w.notes)
    assert kept.read_bytes() == before


class Meddling(Listening):
    """Changes a file of the data set while it is played."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def add_game(self, game: Game) -> None:
        super().add_game(game)
        if len(self.games) == 1:
            self._file.write_bytes(self._file.read_bytes() + b" ")


@pytest.mark.parametrize("workers", [1])
def test_no_game_is_recorded_on_data_that_changed_during_the_run(
    tmp_path: Path, folder_set: Path, workers: int
) -> None:
    data, out = load_dataset(f"folder:{folder_set}"), tmp_path / "runs"
    whole = run(toys.card, data, RULES, out=tmp_path / "whole").path
    late = folder_set / "masks" / "picture00003__1.png"
    kept = late.read_bytes()
    with pytest.raises(IsbenchError, match=r"picture00003__1\.png changed after the run began"):
        run(toys.card, data, RULES, out=out, workers=workers, watch=Meddling(late))
    (left,) = store.find(out)
    assert not store.read(left).complete
    late.write_bytes(kept)
    resumed = run(toys.card, data, RULES, out=out, workers=workers).path
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unreadable_image_ends_the_run_and_keeps_what_was_played(
    tmp_path: Path, workers: int
) -> None:
    root = write_folder_set(tmp_path / "set", objects=6)
    (root / "images" / "picture00005.png").write_bytes(b"not a picture")
    data, out = load_dataset(f"folder:{root}"), tmp_path / "runs"
    with pytest.raises(IsbenchError, match=r"picture00005\.png cannot be read as an image"):
        run(toys.card, data, RULES, out=out, workers=workers)
    (left,) = store.find(out)
    assert len(store.read(left).trajectories) >= (5 if workers == 1 else 1)


def test_a_model_that_changes_the_working_folder_changes_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def build(**options: Any) -> Any:
        os.chdir(elsewhere)
        return toys.card.build(**options)

    moving = replace(toys.card, name="moving", build=build)
    found = run(moving, toys.blobs(3), RULES, out="runs")
    assert found.path.parent == tmp_path / "runs" / "blobs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "runs"]
    assert not list(elsewhere.iterdir())
    monkeypatch.chdir(tmp_path)
    again = run(toys.card, toys.blobs(3), RULES, out="runs")
    assert again.path.parent == Path("runs", "blobs")  # as it was given


def test_a_broken_model_fails_before_a_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match="model wrong-shape: object image000#0"):
        run(toys.shape_card, toys.blobs(3), RULES, out=tmp_path)
    assert store.find(tmp_path) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_clicks": 0}, "max_clicks is 0; wanted at least 1"),
        ({"stop_iou": 0}, "stop_iou is 0; wanted above 0"),
        ({"stop_iou": float("nan")}, "stop_iou is nan"),
        ({"seed": -1}, "seed is -1; wanted at least 0"),
    ],
)
def test_rules_that_make_no_sense_are_refused_when_they_are_made(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(IsbenchError, match=said):
        Rules(**values)


def test_a_run_by_no_workers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="workers is 0; wanted at least 1"):
        run(toys.card, toys.blobs(2), RULES, out=tmp_path, workers=0)


@pytest.mark.parametrize(
    ("option", "default", "given", "recorded"),
    [
        ("zoom_target", 0, 0, 600),
        ("zoom_target", 320, 0, 600),
        ("zoom_target", 0, 448, 448),
        ("zoom_square", 0, 0, 672),
        ("view_size", 0, 0, 512),
        ("view_size", 0, 448, 448),
        ("size", 384, 0, 0),  # not left to the data set
    ],
)
def test_a_size_of_zero_is_the_data_sets(
    option: str, default: int, given: int, recorded: int, tmp_path: Path
) -> None:
    card = ModelCard("zooming", lambda **_: toys.Disks(), {option: default})
    data = replace(toys.blobs(1), zoom_target=600, zoom_square=672, view_size=512)
    played = run(load_model(card, {option: given}), data, RULES, out=tmp_path)
    assert played.spec.options == {option: recorded}


def test_the_meta_file_says_who_played(tmp_path: Path) -> None:
    played = run(toys.card, toys.blobs(2), RULES, out=tmp_path)
    (session,) = played.meta
    assert session["workers"] == 1
    assert session["processor"] == describe_processor()
    assert session["versions"]["numpy"]
    assert set(played.seconds) == set(toys.blobs(2).keys)


def test_data_made_in_memory_are_identified_by_their_content_and_keys(tmp_path: Path) -> None:
    def inverted(key: str) -> Sample:
        sample = toys.load_blob(key)
        return replace(sample, truth=~sample.truth & ~sample.ignore)

    data = toys.blobs(4)
    runs = [
        run(toys.card, one, RULES, out=tmp_path)
        for one in (data, replace(data, load=inverted), replace(data, keys=data.keys[1:3]))
    ]
    assert len({one.path for one in runs}) == 3
    assert [len(one.trajectories) for one in runs] == [4, 4, 2]


@pytest.mark.parametrize(
    ("name", "options"),
    [("a b", {}), ("[red]", {}), ("ok", {"x": float("nan")}), ("ok", {"x": (1, 2)}), (3, {})],
)
def test_a_card_that_cannot_be_recorded_is_refused(
    tmp_path: Path, name: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(IsbenchError, match="wanted"):
        run(ModelCard(name, toys.Disks, options), toys.blobs(2), RULES, out=tmp_path)
