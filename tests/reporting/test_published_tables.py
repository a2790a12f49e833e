"""Published figures stand beside measured ones, marked, with sources, and are never mixed in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from isbench.evaluation.runner import run
from isbench.metrics import METRICS
from isbench.reporting import tables
from isbench.reporting.html_tables import Section, render_tables
from isbench.reporting.literature import PublishedFigure, parse_published
from isbench.reporting.page import make_page
from isbench.reporting.published_tables import add_published, make_published_table
from isbench.reporting.text_table import (
    TextTable,
    format_latex,
    format_markdown,
    make_terminal_tables,
)
from isbench.storage.store import Run
from isbench.types import Rules
from tests.support import toys

FIGURES = parse_published(
    """system,backbone,training,dataset,metric,value,source
A,r50,SBD,blobs,noc@90,6.10,a paper
A,r50,SBD,blobs,noc@85,5.00,a page
B,,SBD,blobs,noc@90,7.50,a paper
B,,SBD,blobs,noc@90,7.60,a page
B,,SBD,blobs,noc100@90,20.0,a paper
B,,SBD,blobs,miou@5,90.1,a paper
B,,SBD,sbd,noc@90,8.80,a paper
"""
)


@pytest.fixture
def played(tmp_path: Path) -> Run:
    return run(toys.card, replace(toys.blobs(6), name="blobs"), Rules(20, 1.01), out=tmp_path)


def make(
    runs: list[Run],
    figures: tuple[PublishedFigure, ...] = FIGURES,
    view: str = "noc",
    layout: str = "runs",
    clicks: int = 20,
) -> TextTable:
    rows = tables.make_rows(runs, clicks)
    table = tables.make_table(rows, view, layout=layout)
    return add_published(table, figures, rows, [one for one in METRICS if one.view == view])


def published_rows(table: TextTable) -> list[dict[str, str]]:
    return [dict(zip(table.heads, table.rows[k], strict=True)) for k in table.italic]


def test_a_published_figure_has_a_row_of_its_own_with_its_sources(played: Run) -> None:
    measured, table = make([played], ()), make([played])
    assert table.rows[: len(measured.rows)] == measured.rows
    a, b = published_rows(table)
    assert (a["Data set"], a["Model"]) == ("blobs", "A, r50, SBD, published [1, 2]")
    assert (a["NoC@85"], a["NoC@90"], a["Objects"], a["Run"]) == ("5.00", "6.10", "", "")
    assert (b["Model"], b["NoC@90"]) == ("B, SBD, published [1, 2]", "7.50 or 7.60")
    assert table.notes[-2:] == ("[1] a paper", "[2] a page")
    assert "Sources differ on B, SBD, blobs, noc@90: 7.50 [1], 7.60 [2]" in table.notes


def test_only_figures_that_answer_the_same_question_are_added(played: Run, tmp_path: Path) -> None:
    assert {row["Budget"] for row in published_rows(make([played]))} == {"20"}
    assert make([played], clicks=10).italic == ()  # NoC within 20 clicks is another figure
    part = replace(toys.blobs(6), name="blobs", limit=6)
    some = run(toys.card, part, Rules(20, 1.01), out=tmp_path / "part")
    assert make([some]).italic == ()  # published figures are on whole data sets
    assert make([played], view="iou").italic == ()
    strict = replace(played, spec=replace(played.spec, preset="strict"))
    assert make([strict]).italic == ()  # papers follow another protocol


def test_papers_layout_has_a_published_row_per_system(played: Run) -> None:
    table = make([played], layout="paper")
    assert [row["Model"] for row in published_rows(table)] == [
        "A, r50, SBD, published [1, 2]",
        "B, SBD, published [1, 2]",
    ]
    assert [row["blobs NoC@85"] for row in published_rows(table)] == ["5.00", ""]


def test_every_format_shows_published_rows_in_italics(played: Run) -> None:
    table = make([played])
    assert "| *6.10* |" in format_markdown(table)
    assert r"\textit{6.10}" in format_latex(table)
    html = render_tables([Section("", table)])
    assert '<td class="figure"><i>6.10</i></td>' in html
    assert html.count("<i>") == sum(bool(cell) for k in table.italic for cell in table.rows[k])
    for width in (200, 70, 40):
        console = Console(width=width, force_terminal=True, color_system="standard")
        with console.capture() as capture:
            for part in make_terminal_tables(table, width):
                console.print(part)
        lines = capture.get().splitlines()
        assert any("\x1b[3m" in line for line in lines if "6.10" in line), width
        measured = table.rows[0][table.heads.index("Run")]
        assert not any("\x1b[3m" in line for line in lines if measured in line and width == 200)


def test_a_page_shows_them_where_asked_only(played: Run) -> None:
    without, page = (make_page([played], pictures=0, published=given) for given in ((), FIGURES))
    assert "<i>" not in without.html
    assert "<i>6.10</i>" in page.html
    assert "[2] a page" in page.html


def test_a_table_of_figures_joins_sources_that_agree_and_marks_those_that_do_not() -> None:
    table = make_published_table([*FIGURES, FIGURES[0]._replace(source="a page")])
    assert table.rows[0] == ("A", "r50", "SBD", "blobs", "noc@90", "6.10", "[1, 2]")
    assert [row[5] for row in table.rows[2:4]] == ["7.50 ≠", "7.60 ≠"]
    assert table.notes[1] == "Sources differ on B, SBD, blobs, noc@90: 7.50 [1], 7.60 [2]"
