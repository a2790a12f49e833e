"""The CSFPN paper's tables: its figures, the rows of this project, the ablation and the costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from csfpn.paper import ablation, costs
from csfpn.paper.costs import NetworkCost
from csfpn.paper.published import FIGURES, list_figures_of
from csfpn.paper.tables import TABLE1, TABLE2, TABLE3, TABLE4, paper
from isbench.files.digests import digest_file
from isbench.models.known_weights import Weights
from isbench.models.registry import list_model_names, load_card
from isbench.papers import PaperTable, Row, plan
from isbench.papers.all_tables import make_table
from isbench.papers.candidates import Candidate, find_candidate, make_candidate
from isbench.papers.cells import Records, make_cells
from isbench.papers.run_selection import select_run
from isbench.storage import store
from isbench.storage.store import Run
from tests.support.recorded import record_on_davis, save_random_weights, with_weights

Isbench = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("no_bundled_weights")
TRAINED = "ab" * 32
DAVIS = TABLE3.questions[0]


def candidate_of(row: Row) -> Candidate:
    found = find_candidate(row)
    assert found is not None
    return found


@pytest.mark.parametrize(("number", "rows"), [("1", 16), ("2", 4), ("3", 4)])
def test_every_printed_row_and_figure_of_the_paper_stays(number: str, rows: int) -> None:
    table = paper.find_table(number)
    text, cells = make_table(Records(table, dict.fromkeys(table.rows), []))
    assert sum(bool(row[0]) for row in text.rows) == rows
    assert sum(cell.published is not None for cell in cells) == len(list_figures_of(number))
    assert not any("/" in shown for row in text.rows for shown in row)


def test_the_published_figures_are_all_read() -> None:
    printed = {table.name for table in paper.tables if table.published}
    assert {figure.table for figure in FIGURES} == printed == {"1", "2", "3", "4"}
    cross = [figure for figure in FIGURES if figure.value is None]
    assert {figure.system for figure in cross} == {"Baseline*+FDM low+high"}


@pytest.mark.parametrize("table", [TABLE1, TABLE2], ids=["1", "2"])
def test_a_printed_row_names_weights_as_its_model_s_card_does(table: PaperTable) -> None:
    for row in (row for row in table.rows if row.system and row.model in list_model_names()):
        published = load_card(row.model).weights
        assert not published or row.weights in published, row


def test_every_row_of_tables_1_and_2_has_a_model() -> None:
    assert {row.model for row in (*TABLE1.rows, *TABLE2.rows) if row.system} == {
        *("adaptation-r101", "cdnet-r50", "csfpn-hrnet18", "csfpn-r101", "csfpn-r50"),
        *("fbrs-r101", "fbrs-r50", "fcanet-r101", "focalclick-hrnet32-s2", "focuscut-r101"),
        *("focuscut-r50", "pseudoclick-hrnet18", "ritm-hrnet18", "ritm-r101", "sam-vit-h"),
    }


def test_other_models_of_the_family_with_weights_get_rows_in_table_1() -> None:
    assert TABLE1.add_rows is not None
    bundling = ("fbrs-lite", "csfpn-lite", "csfpn-mini", "ritm-lite")
    assert [row.model for row in TABLE1.add_rows(bundling)] == ["csfpn-lite", "ritm-lite"]


def of_one_budget(*rows: Row) -> dict[Row, Candidate]:
    """Return candidates whose cards come with the weights that the rows name, and with others."""
    found = {}
    for row in rows:
        candidate = candidate_of(row)
        named = Weights(row.weights, digest_of(row), None)
        found[row] = replace(candidate, weights=(named,))
    return found


def digest_of(row: Row) -> str:
    return sha256(row.weights.encode()).hexdigest()


def record_ablation(folder: Path, row: Row, **changes: Any) -> Run:
    """Return a row's run of the weights that it names."""
    candidate = candidate_of(row)
    model = with_weights(candidate.card, digest_of(row), candidate.options)
    return record_on_davis(folder, model, **changes)


def test_an_ablation_s_row_counts_the_weights_made_for_it_alone(tmp_path: Path) -> None:
    path, row = save_random_weights(tmp_path), ablation.BS.rows[0]
    card = replace(load_card("ritm-lite"), bundled={"pack": path})
    without = make_candidate(card, row)
    other = record_on_davis(tmp_path, with_weights(card, digest_file(path)))
    assert select_run([other], without, DAVIS).run is None
    assert without.why_not == "weights ablation-bs-s0 do not come with isbench"
    assert not plan.plan_all([Records(TABLE3, {row: without}, [])], lambda name: True).tasks
    named = make_candidate(replace(card, bundled={"pack": path, "ablation-bs-s0": path}), row)
    assert [weights.name for weights in named.weights] == ["ablation-bs-s0"]
    assert not named.why_not


def costs_table(candidates: dict[Row, Candidate | None], runs: list[Run]) -> tuple[Any, Any]:
    """Return Table 4 with made-up costs, and its cells."""
    records = Records(TABLE4, candidates, runs)
    cells = make_cells(records)
    counted = {row.name: NetworkCost(1, 2, 3) for row in TABLE4.rows}
    return costs.make_text_table(counted, records, cells), cells


def test_table_4_takes_clicks_from_runs_of_the_small_family(tmp_path: Path) -> None:
    known = {row: find_candidate(row) for row in TABLE4.rows} | of_one_budget(*TABLE4.rows[5:])
    run = record_ablation(tmp_path, ablation.BS.rows[0])
    other = record_on_davis(tmp_path, with_weights(load_card("ritm-lite"), TRAINED))
    table, _ = costs_table(known, [run, other])
    column = table.heads.index("NoC@90")
    assert [row[column] for row in table.rows] == [*[""] * 5, "2.00", *[""] * 4]
    assert any(store.parse_digest(run.path) in note for note in table.notes)
    assert not any(store.parse_digest(other.path) in note for note in table.notes)


def test_clicks_of_table_4_that_nobody_measured_are_blank() -> None:
    table, cells = costs_table(dict.fromkeys(TABLE4.rows), [])
    assert all(cell.ours is None for cell in cells)
    assert {row[table.heads.index("NoC@90")] for row in table.rows} == {""}
    assert {row[table.heads.index("NoC@90 (paper)")] for row in table.rows} == {
        *("8.42", "7.64", "7.17", ""),
    }


def test_what_cannot_be_played_is_named_with_the_reason() -> None:
    strange = Row("Strange", "r50", "SBD", "no-such-model", weights="sbd")
    rows = {row: find_candidate(row) for row in (*TABLE1.rows, strange)}
    left_out = plan.plan_all(
        [Records(TABLE1, rows, [])], lambda name: name not in ("sbd", "coco-mval")
    ).left_out
    assert any(note.startswith("coco-mval, sbd: the data are not here") for note in left_out)
    assert any(
        "no-such-model (SBD)" in note and "isbench has no model named" in note for note in left_out
    )
    assert any("csfpn-r50 (SBD)" in note and "never released" in note for note in left_out)


def test_our_family_is_compared_with_its_own_base() -> None:
    names = [row.name for row in TABLE4.rows]
    counted = {name: NetworkCost(1, 2, 3) for name in names}
    counted[ablation.BS.rows[0].name] = NetworkCost(1, 2, 100)
    counted[ablation.HSGM.rows[0].name] = NetworkCost(1, 2, 150)
    table = costs.make_text_table(counted, Records(TABLE4, dict.fromkeys(TABLE4.rows), []), [])
    column = table.heads.index("GFLOPs over baseline")
    shown = dict(zip(names, (row[column] for row in table.rows), strict=True))
    assert shown[ablation.HSGM.rows[0].name] == "+50.00 %"
    assert shown[ablation.BS.rows[0].name] == ""


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("form", ["rich", "markdown", "latex", "csv"])
def test_a_table_of_the_paper_is_printed_without_any_run(
    isbench: Isbench, tmp_path: Path, number: int, form: str
) -> None:
    code, printed, said = isbench(
        "report", "--table", number, "--format", form, "--runs", tmp_path / "none"
    )
    assert code == 0, said
    assert {1: "RITM", 2: "f-BRS", 3: "BS+SGM+HSGM"}[number] in printed
    assert "0.00" not in printed


@pytest.mark.slow
def test_table_4_is_printed_without_any_run(isbench: Isbench) -> None:
    code, out, said = isbench("report", "--table", "4", "--format", "markdown", "--runs", "none")
    assert code == 0, said
    for figure in ("31,405,842", "31,396,604", "81.470", "508.72", "1510.16", "not reproduced"):
        assert figure in out


def test_tables_need_no_finished_run(isbench: Isbench, tmp_path: Path) -> None:
    (tmp_path / "davis").mkdir()
    (tmp_path / "davis" / "nearest-0123456789ab.jsonl").write_text("")
    assert isbench("report", "--table", "1", "--runs", tmp_path)[0] == 0
