"""Resumed = whole, many workers = one, and what happens when workers die or data change."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.executors import processes
from isbench.evaluation.job import Job
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.storage import store
from isbench.storage.environment import processor
from isbench.types import Dataset, Game, ModelCard, Rules, Sample, Spec, Trajectory
from tests.conftest import write_folder_set
from tests.support import toys

RULES = Rules(max_clicks=5, stop_iou=1.01)


class Listening:
    """A watch that remembers, and may stop the run after some games."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.games: list[str] = []
        self.notes: list[str] = []
        self.resumed = 0
        self._stop_after = stop_after

    def start(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        self.resumed = len(recorded)

    def add_game(self, game: Game) -> None:
        self.games.append(game.trajectory.key)
        if len(self.games) == self._stop_after:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


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


@pytest.mark.parametrize("workers", [2, 3])
def test_many_workers_are_one_worker_byte_for_byte(tmp_path: Path, workers: int) -> None:
    data = toys.blobs(14)
    one = run(toys.card, data, RULES, out=tmp_path / "one").path
    many = run(toys.card, data, RULES, out=tmp_path / "many", workers=workers).path
    assert many.read_bytes() == one.read_bytes()


@pytest.mark.parametrize(("start", "helped"), [(60.0, False), (-1.0, True)])
def test_as_many_workers_as_end_soonest_are_one_worker_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: float, helped: bool
) -> None:
    monkeypatch.setattr(processes, "count_cores", lambda: 2)
    monkeypatch.setattr(processes, "_START", start)
    # a clock that ticks when it is looked at: each step takes a second, building one
    monkeypatch.setattr(processes, "perf_counter", itertools.count().__next__)
    hired = []
    hire = processes._start_worker
    monkeypatch.setattr(
        processes, "_start_worker", lambda *given: hired.append(given) or hire(*given)
    )
    data = toys.blobs(14)
    one = run(toys.card, data, RULES, out=tmp_path / "one").path
    auto = run(toys.card, data, RULES, out=tmp_path / "auto", workers=None).path
    assert auto.read_bytes() == one.read_bytes()
    assert bool(hired) == helped


def deadly(folder: Path, times: int) -> ModelCard:
    """Return a model that kills its worker at the second image of a set, `times` times."""
    (folder / "parent").write_text(str(os.getpid()))
    image_sum = int(toys.blob(3).image.sum())
    build = partial(toys.Deadly, image_sum=image_sum, times=times, folder=str(folder))
    return replace(toys.deadly, name="disks", build=build)


def make_job(card: ModelCard, data: Dataset) -> Job:
    return Job(load_model(card), data, RULES, {})


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_dies_costs_its_unfinished_object_only(tmp_path: Path, times: int) -> None:
    data = toys.blobs(9)
    card = deadly(tmp_path, times)
    mortal = run(card, data, RULES, out=tmp_path / "mortal", workers=2).path
    whole = run(replace(toys.card, options={}), data, RULES, out=tmp_path / "whole").path
    assert len(list(tmp_path.glob("death*"))) == times
    assert mortal.read_bytes() == whole.read_bytes()


def test_an_object_that_kills_three_workers_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    # every object of the second image kills: three objects, three deaths each
    card, data, listening = deadly(tmp_path, 9), toys.blobs(9), Listening()
    with pytest.raises(PredictorError, match="died repeatedly at image001#0, image001#1"):
        run(card, data, RULES, out=tmp_path / "runs", workers=2, watch=listening)
    assert sorted(listening.games) == [key for key in data.keys if "image001" not in key]
    run(card, data, RULES, out=tmp_path / "runs", workers=2, watch=(again := Listening()))
    assert again.resumed == 6
    assert sorted(again.games) == ["image001#0", "image001#1", "image001#2"]


def test_workers_are_numbered_and_a_new_one_takes_a_dead_ones_number(tmp_path: Path) -> None:
    hands = [[str(k)] for k in range(12)]
    games = list(processes.play_in_processes(toys.NumberedJob(tmp_path), hands, 2))
    rows = {game.trajectory.clicks[0].row for game in games if isinstance(game, Game)}
    assert len(games) == 12
    assert (tmp_path / "dead").read_text() in ("0", "1")
    assert rows == {0, 1}


def test_the_calling_process_plays_beside_its_workers(tmp_path: Path) -> None:
    chunks = [[str(k)] for k in range(4, 84)]  # without the object at which a process dies
    games = list(processes.play_in_processes(toys.NumberedJob(tmp_path), chunks, 2, -1))
    played = [game.trajectory for game in games if isinstance(game, Game)]
    assert sorted(int(one.key) for one in played) == list(range(4, 84))
    assert {one.clicks[0].row for one in played} == {-1, 0}


def test_workers_start_at_the_click_at_which_they_save_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = toys.blobs(9)  # three objects an image, several clicks each
    job, happened = make_job(toys.card, data), []
    start = processes._start_worker

    def are_worth(left: int) -> bool:
        happened.append(left)
        return len(happened) == 2

    def start_worker(job: Job, number: int) -> Any:
        happened.append("started")
        return start(job, number)

    monkeypatch.setattr(processes, "_start_worker", start_worker)
    chunks = [data.keys[:3], data.keys[3:6], data.keys[6:]]
    games = []
    for game in processes.play_in_processes(job, chunks, 2, job.build(), are_worth):
        assert isinstance(game, Game)
        happened.append("ended")
        games.append(game)
    # after the second click of the first game, with two chunks left
    assert happened[:4] == [6, 6, "started", "ended"]
    assert happened[3:] == 9 * ["ended"]
    alone = run(toys.card, data, RULES, out=tmp_path).trajectories
    played = {game.trajectory.key: game.trajectory for game in games}
    assert played == {one.key: one for one in alone}


def test_without_workers_nothing_needs_to_be_sent(tmp_path: Path) -> None:
    job = make_job(replace(toys.card, build=lambda radius: toys.Disks(radius)), toys.blobs(6))
    chunks = [[key] for key in job.dataset.keys]
    alone = processes.play_in_processes(job, chunks, 2, job.build(), lambda left: False)
    assert len(list(alone)) == 6
    with pytest.raises(IsbenchError, match="cannot be pickled for worker processes"):
        list(processes.play_in_processes(job, chunks, 2, job.build()))


@given(
    left=st.integers(0, 99),
    elapsed=st.integers(0, 999),
    finished=st.integers(0, 99),
    workers=st.integers(1, 8),
)
def test_workers_save_time_where_what_they_take_over_lasts_longer_than_their_start(
    left: int, elapsed: int, finished: int, workers: int
) -> None:
    seconds_each = Fraction(elapsed, finished + 1)
    taken_over = left * seconds_each * (workers - 1) / workers
    for start_seconds in (taken_over + 1, taken_over - 1):
        saves = processes.saves_time(left, elapsed, finished, workers, float(start_seconds))
        assert saves == (taken_over > start_seconds)


def test_the_first_click_tells_nothing_about_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "perf_counter", iter([1000.0, 1001.0, 1007.0]).__next__)
    pace = processes._Pace(start_seconds=6.0, workers=2)
    assert [pace.are_worth(2) for _ in range(3)] == [False, False, True]


def test_the_calling_process_leaves_an_object_that_kills_to_the_others(tmp_path: Path) -> None:
    # `deadly` spares the process of the test, which would play the object to its end
    data, job = toys.blobs(9), make_job(deadly(tmp_path, processes.DEATHS), toys.blobs(9))
    by_image = [data.keys[:3], data.keys[3:6], data.keys[6:]]  # the second image kills
    played = list(processes.play_in_processes(job, by_image, 2, job.build()))
    lost = [one.key for one in played if isinstance(one, processes.LostObject)]
    assert lost == ["image001#0"]
    assert len(played) == 9


def test_an_exception_of_a_worker_ends_the_games_of_the_calling_process(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text(str(os.getpid()))
    card = replace(toys.card, options={}, build=partial(toys.refuse, str(tmp_path)))
    job = make_job(card, toys.blobs(60))
    chunks = 999 * [job.dataset.keys]  # more than can be played before a worker has started
    with pytest.raises(IsbenchError, match="ZeroDivisionError: no worker today"):
        list(processes.play_in_processes(job, chunks, 2, job.build()))


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
    assert session["processor"] == processor()
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


def test_a_build_that_cannot_be_sent_to_workers_is_said_in_one_line(tmp_path: Path) -> None:
    card = ModelCard("local", lambda: toys.Disks())
    with pytest.raises(IsbenchError, match="cannot be pickled for worker processes"):
        run(card, toys.blobs(4), RULES, out=tmp_path, workers=2)
    assert store.find(tmp_path) == []


def test_a_card_found_by_name_may_build_by_a_lambda(tmp_path: Path) -> None:
    card = load_model("tests.support.toys:lambda_card")
    many = run(card, toys.blobs(6), RULES, out=tmp_path / "many", workers=2)
    one = run(card, toys.blobs(6), RULES, out=tmp_path / "one")
    assert many.path.read_bytes() == one.path.read_bytes()


def test_workers_that_never_start_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text(str(os.getpid()))
    card = replace(toys.card, build=partial(toys.stillborn, str(tmp_path)), options={})
    with pytest.raises(PredictorError, match="died before it could play"):
        run(card, toys.blobs(9), RULES, out=tmp_path / "runs", workers=2)
    assert 3 <= len(list(tmp_path.glob("death*"))) <= 6


def test_workers_that_are_killed_before_they_are_ready_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text(str(os.getpid()))
    one = run(toys.card, toys.blobs(9), RULES, out=tmp_path / "one")
    build = partial(toys.stillborn, str(tmp_path), times=2)
    card = replace(toys.card, build=build, options={"radius": 4})
    many = run(card, toys.blobs(9), RULES, out=tmp_path / "many", workers=2)
    assert len(list(tmp_path.glob("death*"))) == 2
    assert many.path.read_bytes() == one.path.read_bytes()


def test_an_exception_in_a_workers_build_ends_the_run_with_its_message(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text(str(os.getpid()))
    build = partial(toys.refuse, str(tmp_path))
    card = replace(toys.card, build=build, options={})
    with pytest.raises(IsbenchError, match="ZeroDivisionError: no worker today"):
        run(card, toys.blobs(9), RULES, out=tmp_path / "runs", workers=2)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a b", {}), ("[red]", {}), ("ok", {"x": float("nan")}), ("ok", {"x": (1, 2)}), (3, {})],
)
def test_a_card_that_cannot_be_recorded_is_refused(
    tmp_path: Path, name: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(IsbenchError, match="wanted"):
        run(ModelCard(name, toys.Disks, options), toys.blobs(2), RULES, out=tmp_path)


def test_the_last_object_that_kills_its_workers_does_not_kill_the_run(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text(str(os.getpid()))
    build = partial(
        toys.Deadly, image_sum=int(toys.blob(0).image.sum()), times=99, folder=str(tmp_path)
    )
    card = replace(toys.deadly, build=build)
    with pytest.raises(PredictorError, match="died repeatedly at image000#0"):
        run(card, toys.blobs(1), RULES, out=tmp_path / "runs", workers=2)
    assert len(list(tmp_path.glob("death*"))) == 3
