"""Many workers = one, and what happens when workers die or cannot start."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.executors import processes
from isbench.evaluation.job import Job
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.storage import store
from isbench.types import Dataset, Game, ModelCard, Rules
from tests.support import toys
from tests.support.listening import Listening

RULES = Rules(max_clicks=5, stop_iou=1.01)


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Start one worker beside the calling process, after its first click."""
    monkeypatch.setattr(processes, "count_cores", lambda: 2)
    monkeypatch.setattr(processes, "saves_time", lambda *_: True)
    return monkeypatch


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
    games = list(processes.play_here(toys.NumberedJob(tmp_path), hands, 2))
    rows = {game.trajectory.clicks[0].row for game in games if isinstance(game, Game)}
    assert len(games) == 12
    assert (tmp_path / "dead").read_text() in ("0", "1")
    assert rows == {0, 1}


@pytest.mark.usefixtures("helped")
def test_the_calling_process_plays_beside_its_workers(tmp_path: Path) -> None:
    chunks = [[str(k)] for k in range(4, 84)]  # without the object at which a process dies
    games = list(processes.play_here(toys.NumberedJob(tmp_path), chunks, None))
    played = [game.trajectory for game in games if isinstance(game, Game)]
    assert sorted(int(one.key) for one in played) == list(range(4, 84))
    assert {one.clicks[0].row for one in played} == {-1, 0}


def test_workers_start_at_the_click_at_which_they_save_time(
    tmp_path: Path, helped: pytest.MonkeyPatch
) -> None:
    data = toys.blobs(9)  # three objects an image, several clicks each
    job, happened = make_job(toys.card, data), []
    start = processes._start_worker

    def saves_time(left: int, *_: float) -> bool:
        happened.append(left)
        return len(happened) == 2

    def start_worker(job: Job, number: int) -> Any:
        happened.append("started")
        return start(job, number)

    helped.setattr(processes, "saves_time", saves_time)
    helped.setattr(processes, "_start_worker", start_worker)
    chunks = [data.keys[:3], data.keys[3:6], data.keys[6:]]
    games = []
    for game in processes.play_here(job, chunks, None):
        assert isinstance(game, Game)
        happened.append("ended")
        games.append(game)
    # after the second click of the first game, with two chunks left
    assert happened[:4] == [6, 6, "started", "ended"]
    assert happened[3:] == 9 * ["ended"]
    alone = run(toys.card, data, RULES, out=tmp_path).trajectories
    played = {game.trajectory.key: game.trajectory for game in games}
    assert played == {one.key: one for one in alone}


def test_without_workers_nothing_needs_to_be_sent(helped: pytest.MonkeyPatch) -> None:
    job = make_job(replace(toys.card, build=lambda radius: toys.Disks(radius)), toys.blobs(6))
    chunks = [[key] for key in job.dataset.keys]
    with pytest.raises(IsbenchError, match="cannot be pickled for worker processes"):
        list(processes.play_here(job, chunks, None))
    helped.setattr(processes, "saves_time", lambda *_: False)
    assert len(list(processes.play_here(job, chunks, None))) == 6
    assert len(list(processes.play_here(job, chunks, 1))) == 6


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


@pytest.mark.usefixtures("helped")
def test_the_calling_process_leaves_an_object_that_kills_to_the_others(tmp_path: Path) -> None:
    # `deadly` spares the process of the test, which would play the object to its end
    data, job = toys.blobs(9), make_job(deadly(tmp_path, processes.DEATHS), toys.blobs(9))
    by_image = [data.keys[:3], data.keys[3:6], data.keys[6:]]  # the second image kills
    played = list(processes.play_here(job, by_image, None))
    lost = [one.key for one in played if isinstance(one, processes.LostObject)]
    assert lost == ["image001#0"]
    assert len(played) == 9


@pytest.mark.usefixtures("helped")
def test_an_exception_of_a_worker_ends_the_games_of_the_calling_process(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text(str(os.getpid()))
    card = replace(toys.card, options={}, build=partial(toys.refuse, str(tmp_path)))
    job = make_job(card, toys.blobs(60))
    chunks = 999 * [job.dataset.keys]  # more than can be played before a worker has started
    with pytest.raises(IsbenchError, match="ZeroDivisionError: no worker today"):
        list(processes.play_here(job, chunks, None))


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


def test_the_last_object_that_kills_its_workers_does_not_kill_the_run(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text(str(os.getpid()))
    build = partial(
        toys.Deadly, image_sum=int(toys.blob(0).image.sum()), times=99, folder=str(tmp_path)
    )
    card = replace(toys.deadly, build=build)
    with pytest.raises(PredictorError, match="died repeatedly at image000#0"):
        run(card, toys.blobs(1), RULES, out=tmp_path / "runs", workers=2)
    assert len(list(tmp_path.glob("death*"))) == 3
