"""Tables on a terminal: nothing is cut, and what is too wide is wrapped so that it can be read."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from isbench.reporting import tables
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.text_table import TextTable, format_latex, make_terminal_tables
from tests.test_docs import ROOT


def print_table(table: TextTable, width: int) -> str:
    file = io.StringIO()
    console = Console(width=width, file=file, markup=False, highlight=False)
    for part in make_terminal_tables(table, width):
        console.print(part)
    return file.getvalue()


@pytest.fixture(scope="module")
def frame() -> object:
    return tables.make_frame(choose_runs([ROOT / "results"])[0])


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("view", ["noc", "nof", "iou", "all"])
def test_the_committed_runs_fit_a_terminal(frame: object, width: int, view: str) -> None:
    table = tables.make_table(frame, view)  # type: ignore[arg-type]
    printed = print_table(table, width)
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= width
    for row in table.rows:
        assert all(word in printed for cell in row for word in cell.split())


NAME = st.text(st.sampled_from("abcde-, "), min_size=1, max_size=60).filter(str.strip)
FIGURE = st.sampled_from(["", "1", "20", "12.50 [10.00, 15.00]", "0.1234"])


@given(
    names=st.lists(NAME, min_size=1, max_size=5),
    cells=st.lists(FIGURE, min_size=4, max_size=4),
    width=st.integers(60, 200),
    transposed=st.booleans(),
)
def test_no_name_and_no_figure_is_lost_at_any_width(
    names: list[str], cells: list[str], width: int, transposed: bool
) -> None:
    rows = tuple(("davis", name, *cells, "0123456789ab") for name in names)
    heads = ("Data set", "Model", "Objects", "NoC@80", "NoC@85", "NoC@90", "Run")
    figures = (False, False, True, True, True, True, False)
    printed = print_table(TextTable(heads, rows, figures, transposed), width)
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= width
    text = "".join(printed.split())
    for name in names:
        assert all(sign in text for sign in set("".join(name.split())))
    for figure in cells:
        assert all(part in printed for part in figure.split())


def test_papers_have_models_as_rows_and_data_sets_as_columns(frame: object) -> None:
    table = tables.make_table(frame, "noc", layout="paper")  # type: ignore[arg-type]
    assert table.heads[:3] == ("Model", "berkeley NoC@80", "berkeley NoC@85")
    row = next(row for row in table.rows if row[0] == "csfpn-mini")
    assert row[table.heads.index("davis NoC@90")] == "9.95"
    assert row[table.heads.index("grabcut NoC@90")] == "2.72"
    assert len({row[0] for row in table.rows}) == len(table.rows)
    latex = format_latex(table)
    assert r" & \multicolumn{3}{c}{berkeley} & \multicolumn{3}{c}{davis}" in latex
    assert r"\cmidrule(lr){2-4}" in latex
    assert "Model & NoC@80 & NoC@85 & NoC@90 & NoC@80" in latex


def test_runs_without_a_figure_of_the_view_are_left_out_and_counted(frame: object) -> None:
    table = tables.make_table(frame, "iou")  # type: ignore[arg-type]
    assert all(any(cell for cell in row[4:-1]) for row in table.rows)
    assert table.notes == (
        "20 runs that stop at an IoU have none of these figures and are left out.",
    )
