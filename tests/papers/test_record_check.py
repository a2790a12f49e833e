"""`isbench reproduce --check`: what drifts is seen, and what was not looked at is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isbench.cli import reproduce
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation import runner
from isbench.models import known_weights
from isbench.models.registry import load_card
from isbench.papers import record_check
from isbench.papers.registry import load_paper
from isbench.papers.reproduction import write_tables
from isbench.reporting import chosen_runs
from isbench.storage import processors, store
from isbench.storage.environment import describe_processor
from isbench.storage.store import Run
from isbench.types import LoadedModel, ModelCard, Rules, Spec
from tests.support import toys
from tests.support.recorded import record_network_run, rewrite

Isbench = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("cheap_tables")


@pytest.fixture(autouse=True)
def nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(reproduce.NEED_DATA, raising=False)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a results folder with a whole run of the sample and its tables."""
    folder = tmp_path / "results"
    runner.run("nearest", load_dataset("sample"), Rules(4, 1.01), out=folder)
    return with_tables(folder)


def with_tables(folder: Path) -> Path:
    """Write the tables of the folder's runs, so that they do not drift."""
    write_tables(load_paper(), chosen_runs.choose_runs((), folder)[0], folder)
    return folder


def check(isbench: Isbench, results: Path, budget: str = "ci") -> tuple[int, str, str]:
    return isbench("reproduce", "--check", "--budget", budget, "--results", results)


def the_run(results: Path) -> Run:
    (path,) = store.find(results)
    return store.read(path)


def test_an_untouched_folder_has_no_drift(isbench: Isbench, results: Path) -> None:
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    for budget in ("ci", "full"):
        code, printed, said = check(isbench, results, budget)
        assert (code, said) == (0, "")
        assert printed == "1 runs, 1 replayed, 0 skipped, 0 drifts\n"
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [
        ("TABLES.md", "| 2.64 | 3.69 |", "| 2.63 | 3.69 |"),
        ("tables.html", ">2.64</td>", ">2.63</td>"),
        ("tables.csv", ",noc@90,2.64,", ",noc@90,2.63,"),
    ],
)
def test_a_table_that_says_other_than_the_records_is_a_drift(
    isbench: Isbench, results: Path, name: str, was: str, now: str
) -> None:
    page = results / name
    assert was in page.read_text()
    page.write_text(page.read_text().replace(was, now))
    code, printed, said = check(isbench, results, "none")
    assert code == 1
    drifts = [line for line in said.splitlines() if line.startswith("drift: ")]
    assert [f"{name} has: " in drifts[0], f"{name} lacks: " in drifts[1]] == [True, True]
    assert printed == "1 runs, 0 replayed, 0 skipped, 2 drifts\n"
    page.unlink()
    code, _, said = check(isbench, results, "none")
    assert code == 1
    assert "isbench reproduce --budget none" in said


def nudge(record: Any) -> None:
    record["overlap"][-1][1] += 1


def test_a_game_without_a_network_goes_as_recorded_wherever_it_is_played(
    isbench: Isbench, results: Path
) -> None:
    rewrite(the_run(results), nudge)
    with_tables(results)
    assert not (results / processors.FILE).exists()
    code, _, said = check(isbench, results)
    assert code == 1
    assert said.count("after click 4 IoU was") == record_check.DEPTHS["ci"].objects


def test_a_network_s_game_goes_as_recorded_on_the_processor_it_was_played_on(
    isbench: Isbench, tmp_path: Path
) -> None:
    run = rewrite(record_network_run(tmp_path), nudge)
    with_tables(tmp_path)
    code, printed, said = check(isbench, tmp_path)
    assert (code, "within bounds: ritm-mini on sample" in said) == (0, True)
    assert "2 of 2 games changed" in said
    assert "1 replayed, 0 skipped, 0 drifts" in printed
    (tmp_path / processors.FILE).write_text(
        f"{store.parse_digest(run.path)} {describe_processor()}\n"
    )
    code, _, said = check(isbench, tmp_path)
    assert (code, said.count("after click 2 IoU was")) == (1, 2)


def test_a_network_far_from_its_record_is_a_drift_on_any_processor(
    isbench: Isbench, tmp_path: Path
) -> None:
    def doubled(record: Any) -> None:
        record["overlap"] = [[i + (u - i) // 2, u] for i, u in record["overlap"]]

    rewrite(record_network_run(tmp_path), doubled)
    code, _, said = check(isbench, with_tables(tmp_path))
    assert code == 1
    assert "drift: ritm-mini on sample" in said
    assert "off by more than 0.05" in said


def lack_weights(spec: Spec) -> LoadedModel:
    known_weights.find_weights(load_card("ritm-mini"), "ab" * 32)
    raise AssertionError


def lack_library(spec: Spec) -> LoadedModel:
    def build() -> toys.Disks:
        raise ImportError("no module named 'transformers'")

    return LoadedModel(ModelCard("nearest", build), {})


@pytest.mark.parametrize("lacking", [lack_weights, lack_library])
def test_a_run_that_cannot_be_replayed_is_named_and_counted(
    isbench: Isbench, results: Path, monkeypatch: pytest.MonkeyPatch, lacking: Any
) -> None:
    monkeypatch.setattr(record_check, "model_from_spec", lacking)
    code, printed, said = check(isbench, results)
    assert code == 0
    assert "skipped: nearest on sample" in said
    assert printed == "1 runs, 0 replayed, 1 skipped, 0 drifts\n"


def test_where_data_are_needed_what_lacks_them_is_a_failure(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = replace(toys.blobs(2), name="davis")
    runner.run("nearest", on, Rules(2, 1.01), out=tmp_path)
    with_tables(tmp_path)
    monkeypatch.setenv("ISBENCH_DATA", str(tmp_path / "none"))
    code, printed, said = check(isbench, tmp_path)
    assert (code, printed) == (0, "1 runs, 0 replayed, 1 skipped, 0 drifts\n")
    assert "data set davis is not in" in said
    monkeypatch.setenv(reproduce.NEED_DATA, "1")
    code, printed, said = check(isbench, tmp_path)
    assert (code, printed) == (1, "1 runs, 0 replayed, 1 skipped, 0 drifts\n")
    assert "1 runs could not be replayed and ISBENCH_NEED_DATA is set" in said


def test_data_that_a_run_was_not_played_on_are_not_at_hand(
    isbench: Isbench, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        record_check, "load_dataset", lambda name, data: replace(toys.blobs(2), name=name)
    )
    code, printed, said = check(isbench, results)
    assert (code, "1 skipped" in printed) == (0, True)
    assert "was not played on the local files of sample" in said


def unbuildable(spec: Spec) -> LoadedModel:
    return LoadedModel(ModelCard("nearest", lambda: toys.Disks(**{"no such option": 1})), {})


def break_contract(spec: Spec) -> LoadedModel:
    return LoadedModel(ModelCard("nearest", lambda: toys.Broken(toys.wrong_shape)), {})


def raise_os_error(spec: Spec) -> LoadedModel:
    def answer(turns: Any) -> Any:
        raise OSError("a file of its own")

    return LoadedModel(ModelCard("nearest", lambda: toys.Broken(answer)), {})


def unimportable(spec: Spec) -> LoadedModel:
    raise IsbenchError("model 'nearest' cannot be imported") from SyntaxError("invalid syntax")


@pytest.mark.parametrize("broken", [unbuildable, break_contract, raise_os_error, unimportable])
def test_a_model_that_breaks_is_a_drift_and_no_skip(
    isbench: Isbench, results: Path, monkeypatch: pytest.MonkeyPatch, broken: Any
) -> None:
    monkeypatch.setattr(record_check, "model_from_spec", broken)
    code, printed, said = check(isbench, results)
    assert (code, printed) == (1, "1 runs, 0 replayed, 0 skipped, 1 drift\n")
    assert "drift: nearest on sample" in said


def test_a_model_that_learns_is_skipped_and_lacks_nothing(
    isbench: Isbench, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(reproduce.NEED_DATA, "1")
    monkeypatch.setattr(record_check, "model_from_spec", lambda spec: LoadedModel(toys.learner, {}))
    code, printed, said = check(isbench, results)
    assert (code, "1 skipped" in printed) == (0, True)
    assert "learns from object to object" in said
