"""Table 3: each seed apart, means and spreads over seeds, and what each part changes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csfpn.paper.ablation import BS, FDM, HSGM, PARTS, ROWS, SEEDS, SGM, Part
from csfpn.paper.ablation_table import describe_signs, describe_spread, join_means
from csfpn.paper.tables import TABLE3
from isbench.errors import IsbenchError
from isbench.papers import PaperTable, Row
from isbench.papers.all_tables import collect_records, make_table
from isbench.papers.candidates import find_candidate
from isbench.papers.register import Register, TrainedWeights
from isbench.reporting.text_table import TextTable
from isbench.storage.store import Run
from tests.support.recorded import record_on_davis, with_weights

pytestmark = pytest.mark.usefixtures("no_bundled_weights")
SOLVED_AT = {k: [*[0.5] * (k - 1), 0.95] for k in range(1, 9)}  # IoU of games of k clicks
DAVIS = "DAVIS NoC@90"


def digest_of(row: Row) -> str:
    return sha256(f"{row.model} {row.weights}".encode()).hexdigest()


def register_of(*rows: Row) -> Register:
    """Return a register that names the weights of these rows."""
    named = {(row.model, row.weights): row for row in rows}
    return Register(
        tuple(
            TrainedWeights(
                (model,),
                name,
                digest_of(row),
                "",
                int(name.endswith("-s1")),
                100_000,
                "pack:train 0123",
                "research only",
                "CPU",
                f"isbench train {model}",
                "{}",
            )
            for (model, name), row in named.items()
        )
    )


def record(folder: Path, row: Row, clicks: int, **changes: Any) -> Run:
    """Return a row's run of the weights that it names, each object solved at this click."""
    candidate = find_candidate(row)
    assert candidate is not None
    model = with_weights(candidate.card, digest_of(row), candidate.options)
    return record_on_davis(folder, model, ious=SOLVED_AT[clicks], **changes)


def make_text(runs: Sequence[Run], *rows: Row, table: PaperTable = TABLE3) -> TextTable:
    return make_table(collect_records(table, runs, register_of(*rows)))[0]


def read_column(table: TextTable) -> Mapping[str, str]:
    """Return the figures on DAVIS by model, or by what a line without a model shows."""
    column = table.heads.index(DAVIS)
    return {row[3].rpartition(": ")[2]: row[column] for row in table.rows if row[3]}


def test_without_a_run_every_row_of_ours_is_named_and_blank() -> None:
    table = make_text([])
    ours = [row for row in table.rows if not row[0]]
    assert [row[3] for row in ours] == [
        f"{part.name}, seed {seed}: {row.name}"
        for part in PARTS
        for seed, row in zip(SEEDS, part.rows, strict=True)
    ]
    assert not any(text for row in ours for text in (*row[:3], *row[4:]))


def test_a_row_of_the_paper_s_ablation_is_never_ours(tmp_path: Path) -> None:
    runs = [record(tmp_path, row, 2) for row in ROWS]
    table, cells = make_table(collect_records(TABLE3, runs, register_of(*ROWS)))
    assert all(cell.ours is None for cell in cells if cell.row.system)
    assert all(cell.published is None for cell in cells if not cell.row.system)
    column = table.heads.index(DAVIS)
    printed = [row[column] for row in table.rows if row[0]]
    assert printed == ["6.85", "6.62", "6.39", "6.05"]
    figures = read_column(table)
    assert [figures[row.name] for row in ROWS] == ["– / 2.00 [2.00, 2.00]"] * len(ROWS)
    assert [part.rows[0].name for part in PARTS] == [
        "ritm-lite (weights=ablation-bs-s0)",
        "baseline-lite-fdm (weights=ablation-fdm-s0)",
        "csfpn-lite (hsgm=off, g2l=off, weights=ablation-sgm-s0)",
        "csfpn-lite (g2l=off, weights=ablation-hsgm-s0)",
        "csfpn-lite (global_clicks=0, weights=ablation-hsgm-s0)",
    ]


def test_steps_are_between_weights_of_one_budget(tmp_path: Path) -> None:
    base, fdm, sgm = (part.rows[0] for part in (BS, FDM, SGM))
    other = replace(record(tmp_path, fdm, 4), path=tmp_path / "other-0123456789ab.jsonl.gz")
    runs = [record(tmp_path, base, 3), record(tmp_path, sgm, 2), other]
    figures = read_column(make_text(runs, base, sgm))  # the weights of fdm have no name
    steps = {name: text for name, text in figures.items() if "minus" in name}
    assert list(steps) == ["BS+SGM minus BS, seed 0"]
    assert steps["BS+SGM minus BS, seed 0"].startswith("-1.00 [-1.00, -1.00], p ")


def test_each_seed_is_measured_with_its_own_weights(tmp_path: Path) -> None:
    first, second = BS.rows
    run = record(tmp_path, first, 3)
    figures = read_column(make_text([run], first, second))
    assert figures[first.name] == "– / 3.00 [3.00, 3.00]"
    assert figures[second.name] == ""
    assert read_column(make_text([run]))[first.name] == ""  # a digest that nobody named
    assert not any("mean" in name for name in figures)


def test_the_seeds_apart_give_the_printed_mean_and_spread(tmp_path: Path) -> None:
    rows = (*BS.rows, *HSGM.rows)
    runs = [record(tmp_path, row, k) for row, k in zip(rows, (5, 4, 3, 3), strict=True)]
    figures = read_column(make_text(runs, *rows))
    for part, spread in ((BS, 1.0), (HSGM, 0.0)):
        apart = [float(figures[row.name].split()[2]) for row in part.rows]
        text = figures[f"{part.name}, mean of 2 seeds"]
        mean = sum(apart) / len(apart)
        assert text == f"– / {mean:.2f}, spread {spread:.2f}"


def test_differences_are_per_seed_and_their_mean_tells_the_sign(tmp_path: Path) -> None:
    rows = (*BS.rows, *SGM.rows, *HSGM.rows)
    clicks = (5, 4, 3, 3, 2, 5)
    runs = [record(tmp_path, row, k) for row, k in zip(rows, clicks, strict=True)]
    figures = read_column(make_text(runs, *rows))
    assert figures["BS+SGM minus BS, seed 0"].startswith("-2.00 [-2.00, -2.00], p ")
    assert figures["BS+SGM minus BS, seed 1"].startswith("-1.00 [-1.00, -1.00], p ")
    assert figures["BS+SGM minus BS, mean of 2 seeds"] == "-1.50, spread 1.00, same sign"
    step = "BS+SGM+HSGM minus BS+SGM, mean of 2 seeds"
    assert figures[step] == "+0.50, spread 3.00, signs differ, or zero"


def test_every_step_and_both_modules_together_have_their_difference(tmp_path: Path) -> None:
    runs = [record(tmp_path, row, 2) for row in ROWS]
    names = [name for name in read_column(make_text(runs, *ROWS)) if "minus" in name]
    assert [name for name in names if name.endswith("seed 1")] == [
        "BS+FDM minus BS, seed 1",
        "BS+SGM minus BS, seed 1",
        "BS+SGM minus BS+FDM, seed 1",
        "BS+SGM+HSGM minus BS+SGM, seed 1",
        "BS+SGM+HSGM minus BS, seed 1",
        "BS+SGM+HSGM+G2L minus BS+SGM+HSGM, seed 1",
    ]


def test_weights_of_another_seed_are_refused() -> None:
    register = register_of(BS.rows[1])
    wrong = Register(tuple(one._replace(seed=0) for one in register.weights))
    said = "weights ablation-bs-s1 of ritm-lite are registered with seed 0; wanted 1"
    with pytest.raises(IsbenchError, match=said):
        make_table(collect_records(TABLE3, [], wrong))


def test_a_seed_without_a_run_leaves_means_blank(tmp_path: Path) -> None:
    rows = (*BS.rows, SGM.rows[0])
    runs = [record(tmp_path, row, k) for row, k in zip(rows, (5, 4, 3), strict=True)]
    figures = read_column(make_text(runs, *rows))
    assert "BS, mean of 2 seeds" in figures
    assert "BS+SGM, mean of 2 seeds" not in figures
    assert [name for name in figures if "minus" in name] == ["BS+SGM minus BS, seed 0"]


def test_rows_differ_in_the_parts_alone() -> None:
    parts = {"sgm", "hsgm", "g2l", "global_clicks", "previous_mask"}
    options = []
    for row in ROWS:
        candidate = find_candidate(row)
        assert candidate is not None
        found = candidate.options.items()
        options.append({name: value for name, value in found if name not in parts})
    assert all(one == options[0] for one in options)


def test_every_part_has_a_row_for_each_seed() -> None:
    assert len(SEEDS) >= 2
    ends = [f"-s{seed}" for seed in SEEDS]
    for part in PARTS:
        assert isinstance(part, Part)
        assert [re.sub(r".*(?=-s\d+$)", "", row.weights) for row in part.rows] == ends


VALUES = st.lists(st.floats(-20, 20), min_size=2, max_size=5)


@given(VALUES)
def test_a_spread_is_zero_for_equal_seeds_and_never_negative(values: list[float]) -> None:
    name, _, number = describe_spread(values).rpartition(" ")
    assert name == ("spread" if len(values) == 2 else "standard deviation")
    assert float(number) >= 0
    assert describe_spread([values[0]] * len(values)).endswith(" 0.00")
    assert join_means(values[:1]) == ""


@given(VALUES)
def test_signs_are_the_same_if_the_printed_differences_have_one_sign(values: list[float]) -> None:
    printed = [float(f"{value:+.2f}") for value in values]
    same = all(value > 0 for value in printed) or all(value < 0 for value in printed)
    assert describe_signs(values) == ("same sign" if same else "signs differ, or zero")
