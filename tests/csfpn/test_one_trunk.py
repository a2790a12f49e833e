"""Table 5: what no run says is blank, differences are to the first row, times are comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from csfpn.paper import ablation, one_trunk
from csfpn.paper.equal_training import RULES, describe_training
from csfpn.paper.one_trunk import IDEAS, Size
from csfpn.paper.tables import TABLE5, paper
from isbench.papers import Row
from isbench.papers.all_tables import collect_records
from isbench.papers.candidates import find_candidate
from isbench.papers.cells import make_cells
from isbench.papers.register import ClickTime, Register, TrainedWeights
from isbench.reporting.machine_load import Load
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Rules
from tests.support.recorded import record_on_davis, with_weights

pytestmark = pytest.mark.usefixtures("no_bundled_weights")
RITM, AGAIN, UNFLIPPED, *_, CSFPN, _, _ = TABLE5.rows
HERE = ClickTime(0.25, 80, "a processor", Load(1.0, 0.1, 2))


def digest_of(row: Row) -> str:
    return sha256(f"{row.model} {row.weights}".encode()).hexdigest()


def record(folder: Path, row: Row, clicks: int, rules: Rules = TABLE5.rules, **more: Any) -> Run:
    """Return a row's run on DAVIS, each object solved at this click."""
    candidate = find_candidate(row)
    assert candidate is not None
    model = with_weights(candidate.card, digest_of(row), candidate.options)
    return record_on_davis(folder, model, rules, ious=[*[0.5] * (clicks - 1), 0.95], **more)


def name_weights(row: Row, **changes: Any) -> TrainedWeights:
    weights = TrainedWeights(
        (row.model,), row.weights, digest_of(row), "ab" * 32, 0, 100_000, "pack:train 0123",
        "research only", "CPU", "isbench train",
        '{"learning_rate": 0.1, "seed": 0, "nfl_gamma": 2.0}',
    )  # fmt: skip
    return weights._replace(**changes)


WEIGHTS = (name_weights(RITM), name_weights(CSFPN))


def make_text(
    runs: Sequence[Run],
    times: Mapping[str, ClickTime] = {},
    weights: tuple[TrainedWeights, ...] = WEIGHTS,
) -> TextTable:
    """Return Table 5 with a made-up size of one network."""
    records = collect_records(TABLE5, runs, Register(weights, times))
    return one_trunk.make_text_table({RITM: Size(3_000, 10**9)}, records, make_cells(records))


def read_column(table: TextTable, head: str) -> dict[str, str]:
    column = table.heads.index(head)
    return {row[1]: row[column] for row in table.rows if row[column]}


def time_of(run: Run, **changes: Any) -> dict[str, ClickTime]:
    return {store.parse_digest(run.path): HERE._replace(**changes)}


def test_without_runs_every_idea_has_a_row_and_no_figure() -> None:
    table = make_text([])
    assert [row[0] for row in table.rows] == list(IDEAS.values())
    assert all(row[0] and row[1] for row in table.rows)
    assert not any(text for row in table.rows for text in row[2:-2])
    sizes = [("3,000", "1.000"), *[("", "")] * (len(IDEAS) - 1)]
    assert [row[-2:] for row in table.rows] == sizes


def test_the_table_says_that_no_paper_prints_it() -> None:
    assert not TABLE5.published
    assert paper.find_table("5") is TABLE5
    assert "no paper" in TABLE5.title
    assert not any(row.system for row in TABLE5.rows)


def test_ideas_without_training_are_played_with_the_first_row_s_weights() -> None:
    untrained = {"ritm-lite", "fbrs-lite", "adaptation-lite"}
    trained_again = {row for row, idea in IDEAS.items() if idea.endswith("another seed")}
    for row in {*TABLE5.rows} - trained_again:
        assert (row.weights == RITM.weights) == (row.model in untrained)
    assert {row.weights for row in trained_again} == {"ablation-bs-s1", "ablation-hsgm-s1"}
    assert ablation.G2L.rows[0] == CSFPN
    assert ablation.BS.rows[0] == RITM


def test_a_figure_is_its_row_s_run_and_a_difference_is_to_the_first_row(tmp_path: Path) -> None:
    runs = [record(tmp_path, row, k) for row, k in ((RITM, 5), (UNFLIPPED, 4), (CSFPN, 3))]
    table = make_text(runs)
    assert read_column(table, "DAVIS NoC@90") == {
        RITM.name: "5.00 [5.00, 5.00]",
        UNFLIPPED.name: "4.00 [4.00, 4.00]",
        CSFPN.name: "3.00 [3.00, 3.00]",
    }
    assert read_column(table, "DAVIS NoC@90 minus RITM") == {
        UNFLIPPED.name: "-1.00 [-1.00, -1.00]",
        CSFPN.name: "-2.00 [-2.00, -2.00]",
    }
    assert read_column(table, "GrabCut NoC@90") == {}
    for run in runs:
        digest = store.parse_digest(run.path)
        assert any(digest in note for note in table.notes)


def test_without_the_first_row_s_run_there_are_no_differences(tmp_path: Path) -> None:
    table = make_text([record(tmp_path, CSFPN, 3)])
    assert read_column(table, "DAVIS NoC@90") == {CSFPN.name: "3.00 [3.00, 3.00]"}
    assert read_column(table, "DAVIS NoC@90 minus RITM") == {}


def test_times_on_one_quiet_processor_are_shown_with_it(tmp_path: Path) -> None:
    runs = [record(tmp_path, row, 3) for row in (RITM, UNFLIPPED, CSFPN)]
    table = make_text(runs, time_of(runs[0]) | time_of(runs[2], seconds=0.5))
    assert read_column(table, "s/click on DAVIS") == {RITM.name: "0.250", CSFPN.name: "0.500"}
    assert read_column(table, "s/click over RITM's") == {CSFPN.name: "2.00"}
    (note,) = [note for note in table.notes if note.startswith("s/click: ")]
    assert "a processor" in note
    assert not any("no s/click" in note for note in table.notes)


def test_times_on_two_processors_are_compared_with_ritm_s_network_on_the_same(
    tmp_path: Path,
) -> None:
    runs = [record(tmp_path, row, 3) for row in (RITM, UNFLIPPED, AGAIN, CSFPN)]
    here, there = {"processor": "a processor"}, {"processor": "another one"}
    seconds = ((0.2, here), (0.3, here), (0.1, there), (0.4, there))
    times = [time_of(run, seconds=s, **on) for run, (s, on) in zip(runs, seconds, strict=True)]
    weights = (*WEIGHTS, name_weights(AGAIN, seed=1))
    table = make_text(runs, {key: one[key] for one in times for key in one}, weights)
    assert [*read_column(table, "s/click on DAVIS").values()] == [
        "0.200",
        "0.100",
        "0.300",
        "0.400",
    ]
    assert read_column(table, "s/click over RITM's") == {UNFLIPPED.name: "1.50", CSFPN.name: "4.00"}
    (note,) = [note for note in table.notes if note.startswith("s/click: ")]
    assert f"to IoU 0.90: {RITM.name}, {UNFLIPPED.name}; on another one" in note
    assert note.endswith(f"{AGAIN.name}, {CSFPN.name}.")


def test_without_a_time_of_ritm_s_network_no_time_is_shown(tmp_path: Path) -> None:
    run = record(tmp_path, CSFPN, 3)
    table = make_text([run], time_of(run))
    assert read_column(table, "s/click on DAVIS") == {}
    assert any("RITM's network was not" in note for note in table.notes)


@pytest.mark.parametrize(
    ("changes", "rules", "reason"),
    [
        ({"processor": "another one"}, TABLE5.rules, "timed on another one"),
        ({"load": Load(1.9, 0.9, 2)}, TABLE5.rules, "other processes used 0.9 of 2 processors"),
        ({}, Rules(20, 1.01), "timed on a processor"),
    ],
    ids=["processor", "load", "rules"],
)
def test_a_time_that_cannot_be_compared_is_blank_and_the_note_says_why(
    tmp_path: Path, changes: Mapping[str, Any], rules: Rules, reason: str
) -> None:
    first, other = record(tmp_path, RITM, 3), record(tmp_path, CSFPN, 3, rules)
    table = make_text([first, other], time_of(first) | time_of(other, **changes))
    assert read_column(table, "s/click on DAVIS") == {RITM.name: "0.250"}
    (note,) = [note for note in table.notes if "no s/click" in note]
    assert note.startswith(CSFPN.name)
    assert reason in note


def test_the_budget_is_said_to_be_equal_only_if_it_is() -> None:
    def read_budgets(table: TextTable) -> list[str]:
        return [note for note in table.notes if " samples (" in note or "trained alike" in note]

    (alike,) = read_budgets(make_text([]))
    assert alike == (
        "ritm-lite ablation-bs-s0, csfpn-lite ablation-hsgm-s0: each was trained with 100,000 "
        "samples (pack:train 0123; seed 0) from weights abababababab; length, schedule and "
        "optimiser are the same."
    )
    for changes, said in (
        ({"samples": 90_000}, "samples 90,000 instead of 100,000"),
        ({"data": "pack:train 4567"}, "data pack:train 4567 instead of pack:train 0123"),
        ({"base": "cd" * 32}, "base cdcdcdcdcdcd instead of abababababab"),
        ({"recipe": '{"learning_rate": 0.2}'}, "learning_rate 0.2 instead of 0.1"),
        ({"recipe": "{}"}, "learning_rate 0.0005 instead of 0.1"),
    ):
        weights = (name_weights(RITM), name_weights(CSFPN, **changes))
        (unlike,) = read_budgets(make_text([], weights=weights))
        assert (
            unlike == "The registered weights were not trained alike: "
            f"csfpn-lite ablation-hsgm-s0 has {said}."
        )
    assert read_budgets(make_text([], weights=())) == []
    (alone,) = read_budgets(make_text([], weights=WEIGHTS[:1]))
    assert alone == (
        "ritm-lite ablation-bs-s0 was trained with 100,000 samples (pack:train 0123; seed 0) from "
        "weights abababababab."
    )


def test_trainings_on_other_devices_are_named() -> None:
    def read_devices(*weights: TrainedWeights) -> list[str]:
        return [note for note in make_text([], weights=weights).notes if "Device" in note]

    assert read_devices(*WEIGHTS) == []
    other = name_weights(CSFPN, device="GPU to step 50, then CPU")
    assert read_devices(name_weights(RITM), other) == [
        "Device of each training: ritm-lite ablation-bs-s0 CPU; csfpn-lite ablation-hsgm-s0 GPU to "
        "step 50, then CPU."
    ]


def test_rules_of_the_papers_may_differ_in_table_5_but_not_in_table_3() -> None:
    recipe = '{"learning_rate": 0.1, "seed": 1, "nfl_gamma": 0.0}'
    weights = (name_weights(RITM), name_weights(CSFPN, recipe=recipe, seed=1))
    records = collect_records(TABLE5, [], Register(weights))
    (alike,) = describe_training(records, free=RULES)
    assert "each was trained with 100,000 samples" in alike
    (unlike,) = describe_training(records)
    assert "csfpn-lite ablation-hsgm-s0 has nfl_gamma 0.0 instead of 2.0." in unlike


def test_a_setting_that_a_former_recipe_lacks_has_the_value_that_trains_alike() -> None:
    def describe(crowds: float) -> str:
        recipe = (
            f'{{"learning_rate": 0.1, "nfl_gamma": 2.0, "augmentation": {{"crowds": {crowds}}}}}'
        )
        weights = (name_weights(RITM), name_weights(CSFPN, recipe=recipe, seed=1))
        return next(describe_training(collect_records(TABLE5, [], Register(weights))))

    assert "each was trained with 100,000 samples" in describe(0)
    assert "has augmentation.crowds 0.5 instead of 0.0." in describe(0.5)


def test_runs_on_different_processors_are_named_with_their_rows(tmp_path: Path) -> None:
    def read_processors(*times: Mapping[str, ClickTime]) -> list[str]:
        every = {digest: time for one in times for digest, time in one.items()}
        return [note for note in make_text(runs, every).notes if "Rounding differs" in note]

    runs = [record(tmp_path, row, 3) for row in (RITM, UNFLIPPED, CSFPN)]
    first, second, third = map(time_of, runs)
    elsewhere = time_of(runs[2], processor="another one")
    assert read_processors(first, second, third) == []
    assert read_processors(first) == read_processors() == []
    (note,) = read_processors(first, second, elsewhere)
    assert note.endswith(
        f"Played on a processor: {RITM.name}, {UNFLIPPED.name}; on another one: {CSFPN.name}."
    )


def test_one_file_of_weights_serves_several_models(tmp_path: Path) -> None:
    shared = name_weights(RITM, models=("ritm-lite", "csfpn-lite"), digest=digest_of(CSFPN))
    row = CSFPN._replace(weights=RITM.weights)
    table = replace(TABLE5, rows=(row,))
    run = record(tmp_path, CSFPN, 3)
    (cell, *_) = make_cells(collect_records(table, [run], Register((shared,))))[2:]
    assert cell.selection.run is run
