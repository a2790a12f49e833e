"""Tables of text: a name is text in every format, and nothing is cut on a terminal."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from isbench.reporting import html_tables, tables
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.text_table import (
    TextTable,
    escape_csv,
    format_csv,
    format_latex,
    format_markdown,
    make_terminal_tables,
)
from tests.test_docs import ROOT

HOSTILE = st.one_of(
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a|b",
            "a\\|b",
            "[click](javascript:alert(1))",
            '=HYPERLINK("http://x")',
            "+1+cmd|' /C calc'!A0",
            "@SUM(A1)",
            " =1+1",
            "\t=1+1",
            "\\input{/etc/passwd}",
            "[2cm]",
            "* x",
            "\x1b]0;title\x07",
            "\x1b[2J",
            "\r\n",
            "&lt;b&gt;",
        ]
    ),
    st.text(alphabet="<>&|\\[](){}*_%$#~^=+-@\"' \t\r\n\x1b\u2028ab0.", max_size=12),
)


def make_table(first: str, second: str) -> TextTable:
    return TextTable(
        (first, second), ((first, second), (second, first)), (False, True), notes=(first,)
    )


@given(HOSTILE, HOSTILE)
@example("a\\", "|")
def test_a_markdown_cell_is_text(first: str, second: str) -> None:
    written = format_markdown(make_table(first, second))
    lines = written.split("\n")[:4]
    for line in lines:
        assert line.startswith("| ")
        assert len(re.findall(r"(?<!\\)\|", line)) == 3
        assert not re.search(r"[<>]|\]\(|\\[^|(]", line)
    assert not re.search(r"[<>\x1b]", written)


@pytest.mark.parametrize(("cell", "written"), [("a|b", "a\\|b"), ("<b>&", "&lt;b&gt;&amp;")])
def test_markdown_shows_a_cell_as_it_is(cell: str, written: str) -> None:
    assert f"| {written} | x |" in format_markdown(make_table(cell, "x"))


@given(HOSTILE, HOSTILE)
def test_no_csv_cell_is_a_formula_and_none_is_lost(first: str, second: str) -> None:
    rows = list(csv.reader(io.StringIO(format_csv(make_table(first, second)), newline="")))
    wanted = [(first, second), (first, second), (second, first)]
    for row, cells in zip(rows, wanted, strict=True):
        for read, cell in zip(row, cells, strict=True):
            assert not re.match(r"\s*[=+\-@]", read) or re.fullmatch(r"[+-][\d.]+", read)
            assert read.removeprefix("'") == cell.replace("\r", "\n").removeprefix("'")


@pytest.mark.parametrize("number", ["-1", "+0.5", "-1.5e-07", "-.5", "-inf", "0.25", "", "-0.12"])
def test_numbers_stay_numbers_in_csv(number: str) -> None:
    assert escape_csv(number) == number


@pytest.mark.parametrize("text", ["-1+1", "- 1", "-", "=1", "+1_000", "-1 [-2, 0]", "＝1"])
def test_what_is_no_number_gets_a_quote(text: str) -> None:
    assert escape_csv(text) == f"'{text}"


def test_values_that_are_no_text_stay_in_csv() -> None:
    assert [escape_csv(value) for value in (-1, -0.5, None)] == [-1, -0.5, None]


@given(HOSTILE, HOSTILE)
def test_a_latex_row_is_one_row_of_two_cells(first: str, second: str) -> None:
    lines = format_latex(make_table(first, second)).split("\n")
    assert len(lines) == 10
    for line in (lines[2], *lines[4:6]):
        assert line.endswith(r" \\")
        text = line[:-3]
        assert not text.lstrip().startswith(("[", "*"))
        plain = re.sub(r"\\text\w+\{\}|\\[&%$#_{}]|^\{\}", "", text)
        assert plain.count("&") == 1
        assert not re.search(r"[%$#_{}\\~^<>|\x1b\t]", plain)
    assert lines[8].startswith("% ")


@given(HOSTILE, HOSTILE)
def test_a_latex_head_that_spans_columns_is_text(first: str, second: str) -> None:
    first, second = f"{first}.", f"{second}!"
    heads = ("Model", f"{first} NoC", f"{first} NoF", f"{second} NoC")
    groups = ("", first, first, second)
    cells = (first, second, first, second)
    lines = format_latex(TextTable(heads, (cells,), (False, True, True, True), groups=groups))
    top, rule, names = lines.split("\n")[2:5]
    assert top.endswith(r" \\")
    assert top.count(r"\multicolumn{") == 2
    assert rule.startswith(r"\cmidrule(lr){2-")
    assert names == r"Model & NoC & NoF & NoC \\"
    plain = re.sub(r"\\multicolumn\{\d\}\{c\}|\\text\w+\{\}|\\[&%$#_{}]", "", top[:-3])
    assert not re.search(r"[%$#_\\~^<>|\x1b\t]", plain)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)


@given(HOSTILE, HOSTILE)
def test_an_html_cell_is_text(first: str, second: str) -> None:
    tags = _Tags()
    tags.feed(html_tables.render_tables([html_tables.Section(first, make_table(first, second))]))
    assert tags.found <= {"h2", "div", "table", "thead", "tbody", "tr", "th", "td", "p"}


@given(HOSTILE, HOSTILE)
def test_a_terminal_gets_no_commands(first: str, second: str) -> None:
    out = io.StringIO()
    terminal = Console(
        file=out, width=200, markup=False, emoji=False, highlight=False, no_color=True
    )
    for width in (200, 40, 10):
        for part in make_terminal_tables(make_table(first, second), width):
            terminal.print(part)
    assert all(one.isprintable() or one == "\n" for one in out.getvalue())


def print_table(table: TextTable, width: int) -> str:
    file = io.StringIO()
    console = Console(width=width, file=file, markup=False, highlight=False)
    for part in make_terminal_tables(table, width):
        console.print(part)
    return file.getvalue()


@pytest.fixture(scope="module")
def rows() -> tables.Rows:
    return tables.make_rows(choose_runs([ROOT / "results"])[0])


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("view", ["noc", "nof", "iou", "all"])
def test_the_committed_runs_fit_a_terminal(rows: tables.Rows, width: int, view: str) -> None:
    table = tables.make_table(rows, view)
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


def test_texts_without_figures_stay_one_table_on_a_narrow_terminal() -> None:
    words = " ".join(f"word{k}" for k in range(30))
    table = TextTable(("What", "Text"), (("one", words), ("two", words)), (False, False))
    shown = print_table(table, 80)
    assert shown.count("What") == 1
    assert shown.count("word29") == 2
    assert max(map(len, shown.splitlines())) <= 80


def test_a_row_that_becomes_a_column_makes_no_file_wider() -> None:
    rows = tuple(("davis", f"model-{k}", "12.50 [10.00, 15.00]") for k in range(40))
    table = TextTable(("Data set", "Model", "NoC@90"), rows, (False, False, True), transposed=True)
    file = io.StringIO()
    console = Console(width=10_000, file=file)
    for part in make_terminal_tables(table):
        console.print(part)
    assert max(map(len, file.getvalue().splitlines())) <= 120
    assert all(name in file.getvalue() for _, name, _ in rows)


def test_papers_have_models_as_rows_and_data_sets_as_columns(rows: tables.Rows) -> None:
    table = tables.make_table(rows, "noc", layout="paper")
    assert table.heads[:3] == ("Model", "berkeley NoC@80", "berkeley NoC@85")
    row = next(row for row in table.rows if row[0] == "csfpn-mini")
    assert row[table.heads.index("davis NoC@90")] == "9.95"
    assert row[table.heads.index("grabcut NoC@90")] == "2.72"
    assert len({row[0] for row in table.rows}) == len(table.rows)
    latex = format_latex(table)
    assert r" & \multicolumn{3}{c}{berkeley} & \multicolumn{3}{c}{davis}" in latex
    assert r"\cmidrule(lr){2-4}" in latex
    assert "Model & NoC@80 & NoC@85 & NoC@90 & NoC@80" in latex


def test_runs_without_a_figure_of_the_view_are_left_out_and_counted(rows: tables.Rows) -> None:
    ending = sum(run.spec.rules.stop_iou <= 1 for run in choose_runs([ROOT / "results"])[0])
    table = tables.make_table(rows, "iou")
    assert all(any(cell for cell in row[4:-1]) for row in table.rows)
    assert 0 < ending < len(rows)
    assert table.notes == (
        f"{ending} runs that stop at an IoU have none of these figures and are left out.",
    )
