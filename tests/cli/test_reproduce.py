"""One command from records to tables: what is missing is played, what is sealed stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isbench.datasets import load_dataset
from isbench.evaluation import replay, runner
from isbench.evaluation.replay_check import Depth
from isbench.models.registry import load_card
from isbench.papers import candidates, plan, record_check, reproduction
from isbench.papers.cells import Records
from isbench.papers.registry import load_paper
from isbench.papers.rows import project_rows
from isbench.reporting.chosen_runs import choose_runs
from isbench.storage import processors, store
from isbench.storage.environment import describe_processor
from isbench.types import Rules
from tests.support.recorded import read_sealed, record_network_run, small_card

Isbench = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("cheap_tables")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a results folder with a whole run of the sample."""
    folder = tmp_path / "results"
    runner.run("nearest", load_dataset("sample"), Rules(4, 1.01), out=folder)
    return folder


def test_tables_are_written_in_three_forms_from_records_alone(
    isbench: Isbench, results: Path
) -> None:
    before = read_sealed(results)
    code, printed, _ = isbench("reproduce", "--budget", "none", "--results", results)
    assert code == 0
    assert printed.split() == [
        str(results / name)
        for name in ("TABLES.md", "tables.html", "tables.csv", "figure3.csv", "figure4.csv")
    ]
    text = (results / "TABLES.md").read_text()
    assert text.index("## Table 1") < text.index("## Table 3") < text.index("NoC@80")
    assert (results / "tables.html").read_text().startswith("<!doctype html>")
    assert (results / "tables.csv").read_text().startswith("table,system,")
    assert read_sealed(results) == before


def test_what_a_run_was_played_on_is_noted_wherever_it_came_from(
    isbench: Isbench, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    run = record_network_run(results)
    runner.run("nearest", load_dataset("sample", limit=1), Rules(1, 1.01), out=results)
    assert isbench("reproduce", "--budget", "none", "--results", results)[0] == 0
    noted = {
        store.parse_digest(run.path): describe_processor()
    }  # a run without a network is not of any
    assert processors.read_processors(results) == noted


def test_a_small_budget_plays_a_few_objects_and_then_nothing_more(tmp_path: Path) -> None:
    card, (row,) = small_card(tmp_path), project_rows("ritm-mini")
    candidate = candidates.make_candidate(card, row)
    asked = plan.plan_small([Records(load_paper().find_table("1"), {row: candidate}, [])])
    (task,) = asked.tasks
    task = task._replace(limit=1, rules=Rules(2))
    (run,) = reproduction.play_tasks([task], tmp_path / "results")
    assert run.spec.weights == candidate.weights[0].digest
    before = read_sealed(tmp_path / "results")
    list(reproduction.play_tasks([task], tmp_path / "results"))
    assert read_sealed(tmp_path / "results") == before
    depth, dataset = Depth(1, 2), load_dataset("sample", limit=1)
    model = replay.model_from_spec(run.spec, {run.spec.model: card})
    games = record_check.replay_run(run, model, dataset, depth)
    assert list(record_check.judge_games(run, games, depth, True)) == []


def test_what_a_licence_does_not_allow_is_said_before_a_table_is_completed(tmp_path: Path) -> None:
    card, (row,) = (
        replace(load_card("nearest"), restriction="research only"),
        project_rows("nearest"),
    )
    task = plan.Task(candidates.make_candidate(card, row), "sample", Rules(1), limit=1)
    said: list[str] = []

    class Notes(runner.Silent):
        def note(self, text: str) -> None:
            said.append(text)

    list(reproduction.play_tasks([task], tmp_path, watch=Notes()))
    assert said[:2] == ["1 of 1: nearest on sample", "nearest: research only (MIT)"]


@pytest.mark.slow
def test_ci_reproduces_on_the_sample_in_minutes(isbench: Isbench, tmp_path: Path) -> None:
    code, printed, said = isbench("reproduce", "--budget", "ci", "--results", tmp_path)
    assert code == 0
    assert "left out: " in said
    assert "nearest, first 4 objects" in printed
    assert "first 4 objects" not in (tmp_path / "TABLES.md").read_text()
    played = filter(processors.is_on_processor, choose_runs((), tmp_path)[0])
    assert set(processors.read_processors(tmp_path)) == {
        store.parse_digest(run.path) for run in played
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "9"], "no table of csfpn named '9'"),
        (["--table", "one"], "no table of csfpn named 'one'"),
        (["--paper", "csfpm"], "did you mean csfpn?"),
        (["--budget", "fulll"], "did you mean full?"),
        (["--workers", "0"], "workers is 0; wanted at least 1"),
        (["--check", "--results", "{}/none"], "isbench run"),
        (["--check", "--table", "1"], "--check was given with --table"),
        (["--check", "--workers", "2"], "--check was given with --workers"),
        (["--figure", "2"], "no figure of csfpn named '2'"),
        (["--figure", "3", "--results", "{}/none"], "shows figure 3 of csfpn; wanted games"),
        (["--figure", "3", "--table", "1"], "--figure was given with --table"),
        (["--figure", "3", "--check"], "--figure was given with --check"),
        (["--out", "{}"], "--out was given without --figure"),
    ],
    ids=" ".join,
)
def test_wrong_input_is_one_line_and_exit_code_2(
    isbench: Isbench, tmp_path: Path, arguments: list[str], said: str
) -> None:
    code, _, errors = isbench("reproduce", *(a.replace("{}", str(tmp_path)) for a in arguments))
    assert code == 2
    assert said in errors
    assert errors.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_said(isbench: Isbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, errors = isbench("reproduce", "--budget", "none", "--results", tmp_path / "file" / "x")
    assert code == 2
    assert "cannot write" in errors
