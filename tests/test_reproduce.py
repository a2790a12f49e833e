"""One command from records to tables, and back: what drifts is seen, what is sealed stays."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isbench import replay, report, runner, store
from isbench.cli import checking, machine, reproduce
from isbench.datasets import load_dataset
from isbench.paper import book, lineup, plan
from isbench.paper.cells import Records
from isbench.paper.rows import own
from isbench.registry import load_model
from isbench.types import Model, Rules, Spec
from tests.test_paper import weights_file

Isbench = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave Table 4 out, whose networks take seconds to count."""
    monkeypatch.setattr(book, "NUMBERS", (1, 2, 3))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a results folder with a whole run of the sample and its tables."""
    folder = tmp_path / "results"
    runner.run("nearest", load_dataset("sample"), Rules(4, 1.01), out=folder)
    reproduce.write(report.choose((), folder)[0], folder)
    return folder


def sealed(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.find(folder)}


def small_card(folder: Path) -> Model:
    """Return ritm-mini with weights that come with it, cheap to play."""
    card = load_model("ritm-mini", {"flip": "off", "longest_side": "64"})
    return replace(card, bundled={"pack": weights_file(folder)})


def test_tables_are_written_in_three_forms_from_records_alone(
    isbench: Isbench, results: Path
) -> None:
    before = sealed(results)
    code, printed, _ = isbench("reproduce", "--budget", "none", "--results", results)
    assert code == 0
    assert printed.split() == [
        str(results / f"{n}") for n in ("TABLES.md", "tables.html", "tables.csv")
    ]
    text = (results / "TABLES.md").read_text()
    assert text.index("## Table 1") < text.index("## Table 3") < text.index("NoC@80")
    assert (results / "tables.html").read_text().startswith("<!doctype html>")
    assert (results / "tables.csv").read_text().startswith("table,system,")
    assert sealed(results) == before


def test_an_untouched_folder_has_no_drift(isbench: Isbench, results: Path) -> None:
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    for budget in ("ci", "full"):
        code, printed, said = isbench(
            "reproduce", "--check", "--budget", budget, "--results", results
        )
        assert (code, said) == (0, "")
        assert "1 runs, 0 drifts" in printed
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


def test_a_table_that_says_other_than_the_records_is_a_drift(
    isbench: Isbench, results: Path
) -> None:
    page = results / "TABLES.md"
    page.write_text(page.read_text().replace("| 2.64 | 3.69 |", "| 2.63 | 3.69 |"))
    code, _, said = isbench("reproduce", "--check", "--budget", "none", "--results", results)
    assert code == 1
    drifts = [line for line in said.splitlines() if line.startswith("drift: ")]
    assert len(drifts) == 2
    assert "TABLES.md has: | CDNet" in drifts[0]
    page.unlink()
    code, _, said = isbench("reproduce", "--check", "--budget", "none", "--results", results)
    assert code == 1
    assert "isbench reproduce" in said


def moved(results: Path) -> store.Run:
    """Change the first click of every game in the one sealed run, and return it."""
    (path,) = store.find(results)
    spec, *games = gzip.decompress(path.read_bytes()).splitlines()
    records = [json.loads(game) for game in games]
    for record in records:
        record["clicks"][0][0] += 1
    path.write_bytes(
        gzip.compress(b"\n".join([spec, *(json.dumps(r).encode() for r in records), b""]))
    )
    return store.read(path)


def test_a_game_that_goes_otherwise_is_a_drift_where_it_was_played(
    isbench: Isbench, results: Path
) -> None:
    run = moved(results)
    machine.note_machine(results, [run])
    assert machine.machines(results) == {store.digest_in(run.path): machine.processor()}
    code, _, said = isbench("reproduce", "--check", "--budget", "ci", "--results", results)
    assert code == 1
    assert said.count("click 1 was") == checking.DEPTHS["ci"].objects


def test_elsewhere_games_may_change_as_long_as_noc_hardly_does(
    isbench: Isbench, results: Path
) -> None:
    run = moved(results)
    (results / machine.FILE).write_text(f"{store.digest_in(run.path)} another processor\n")
    code, _, said = isbench("reproduce", "--check", "--budget", "ci", "--results", results)
    assert code == 0
    assert "within 2 clicks" in said
    games = checking.replayed(run, load_dataset("sample"), checking.Depth(1, 4))
    ended = replace(games[0].recorded, overlap=((1, 1),) * 4)
    far = [checking.Replayed(ended, games[0].now)]
    (drift,) = checking.judged(run, far, 2.0)
    assert "NoC from 1.00 to 4.00, more than 2 clicks" in drift


def test_a_run_that_cannot_be_replayed_is_named_and_skipped(
    isbench: Isbench, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "rebuilt", refusing)
    code, _, said = isbench("reproduce", "--check", "--budget", "ci", "--results", results)
    assert code == 0
    assert "skipped: nearest on sample" in said
    assert "not at hand" in said


def refusing(spec: Spec) -> Model:
    lineup.found_by(load_model("ritm-mini"), "ab" * 32)
    raise AssertionError


def test_who_played_is_noted_for_runs_of_this_machine_only(results: Path) -> None:
    (run,) = report.choose((), results)[0]
    machine.note_machine(results, [replace(run, meta=({"host": "elsewhere"},))])
    machine.note_machine(results, [replace(run, meta=())])
    assert machine.machines(results) == {}
    machine.note_machine(results, [run])
    before = (results / machine.FILE).read_bytes()
    machine.note_machine(results, [run])
    assert (results / machine.FILE).read_bytes() == before


def test_a_small_budget_plays_a_few_objects_and_then_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, (row,) = small_card(tmp_path), own("ritm-mini")
    known = {1: Records((), {row: lineup.entered(card, row)}, [])}
    asked = plan.small(known)
    (task,) = asked.tasks
    task = task._replace(limit=1, rules=Rules(2))
    (run,) = reproduce._play([task], tmp_path / "results", 1, None)
    assert run.spec.weights == known[1].entrants[row].weights[0].digest  # type: ignore[union-attr]
    assert machine.processor()
    before = sealed(tmp_path / "results")
    reproduce._play([task], tmp_path / "results", 1, None)
    assert sealed(tmp_path / "results") == before
    monkeypatch.setattr(replay, "load_model", lambda name: card)
    games = checking.replayed(run, load_dataset("sample", limit=1), checking.Depth(1, 2))
    assert list(checking.judged(run, games, None)) == []


@pytest.mark.slow
def test_ci_reproduces_on_the_sample_in_minutes(isbench: Isbench, tmp_path: Path) -> None:
    code, printed, said = isbench("reproduce", "--budget", "ci", "--results", tmp_path)
    assert code == 0
    assert "left out: " in said
    assert "nearest (limit=4)" in printed
    assert "limit=4" not in (tmp_path / "TABLES.md").read_text()
    assert (tmp_path / machine.FILE).is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "5"], "no table of the paper named '5'"),
        (["--table", "one"], "'one'"),
        (["--budget", "fulll"], "did you mean full?"),
        (["--workers", "0"], "workers is 0; wanted at least 1"),
        (["--check", "--results", "{}/none"], "isbench run"),
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
