"""How busy the machine was: measured, recorded with the run, and said next to the times."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isbench.datasets import load_dataset
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.reporting import tables
from isbench.reporting.machine_load import Load, find_load, format_load, warn_of_load
from isbench.storage import store
from isbench.storage.environment import LoadMeter
from isbench.storage.store import Run
from isbench.types import Rules


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    return run(load_model("nearest"), load_dataset("sample", limit=2), Rules(2), out=out)


def with_load(played: Run, load: object) -> Run:
    return replace(played, meta=({**played.meta[0], "load": load},))


def test_a_run_records_the_load_of_its_machine(played: Run) -> None:
    (session,) = played.meta
    assert set(session["load"]) == {"busy", "others", "processors"}
    load = find_load(played)
    assert load is not None
    assert 0 <= load.others <= load.processors
    assert store.locate_meta(played.path).read_text().count('"load"') == 1


def test_a_meter_counts_own_work_as_own() -> None:
    meter = LoadMeter()
    sum(k * k for k in range(3_000_000))
    found = meter.read()
    assert found["busy"] - found["others"] > 0.05


def test_times_of_a_busy_machine_carry_a_caution(played: Run) -> None:
    for others, doubtful in ((0.1, False), (1.5, True)):
        one = with_load(played, {"busy": 1.9, "others": others, "processors": 2})
        table = tables.make_table(tables.make_rows([one]), "time")
        assert table.rows[0][table.heads.index("Busy processors")] == "1.9 of 2"
        assert any("other processes used 1.5 of 2" in note for note in table.notes) == doubtful


@pytest.mark.parametrize(
    "load", [None, 3, {}, {"busy": "x"}, {"busy": 1, "others": float("nan"), "processors": 2},
             {"busy": 1, "others": 0, "processors": 0}, {"busy": -1, "others": 0, "processors": 2},
             {"busy": 10**400, "others": 0, "processors": 2},
             {"busy": 1, "others": 0, "processors": 10**400}],
)  # fmt: skip
def test_records_without_a_load_show_nothing(played: Run, load: Any) -> None:
    old = with_load(played, load)
    assert find_load(old) is None
    table = tables.make_table(tables.make_rows([old]), "time")
    assert "Busy processors" not in table.heads
    assert table.notes == ()
    assert format_load(None) == warn_of_load(None) == ""


def test_a_load_belongs_to_the_session_before_it(tmp_path: Path, played: Run) -> None:
    path = tmp_path / played.path.name
    path.write_bytes(played.path.read_bytes())
    lines = [{"load": {}}, {"session": {"host": "a"}}, {"load": {"busy": 1}}, {"session": {}}]
    store.locate_meta(path).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert store.read(path).meta == ({"host": "a", "load": {"busy": 1}}, {})


def test_the_busiest_session_counts(played: Run) -> None:
    session = played.meta[0]
    loads = [{"busy": 1.0, "others": others, "processors": 2} for others in (0.2, 1.2, 0.1)]
    one = replace(played, meta=tuple({**session, "load": load} for load in loads))
    assert find_load(one) == Load(1.0, 1.2, 2)
