"""Tables of text: whatever a name holds, it is text in every format."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from isbench.reporting import html_tables
from isbench.reporting.text_table import (
    TextTable,
    escape_csv,
    format_csv,
    format_latex,
    format_markdown,
    make_terminal_tables,
)

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


def table(first: str, second: str) -> TextTable:
    return TextTable(
        (first, second), ((first, second), (second, first)), (False, True), notes=(first,)
    )


@given(HOSTILE, HOSTILE)
@example("a\\", "|")
def test_a_markdown_cell_is_text(first: str, second: str) -> None:
    written = format_markdown(table(first, second))
    lines = written.split("\n")[:4]
    for line in lines:
        assert line.startswith("| ")
        assert len(re.findall(r"(?<!\\)\|", line)) == 3
        assert not re.search(r"[<>]|\]\(|\\[^|(]", line)
    assert not re.search(r"[<>\x1b]", written)


@pytest.mark.parametrize(("cell", "written"), [("a|b", "a\\|b"), ("<b>&", "&lt;b&gt;&amp;")])
def test_markdown_shows_a_cell_as_it_is(cell: str, written: str) -> None:
    assert f"| {written} | x |" in format_markdown(table(cell, "x"))


@given(HOSTILE, HOSTILE)
def test_no_csv_cell_is_a_formula_and_none_is_lost(first: str, second: str) -> None:
    rows = list(csv.reader(io.StringIO(format_csv(table(first, second)), newline="")))
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
    lines = format_latex(table(first, second)).split("\n")
    assert len(lines) == 10
    for line in (lines[2], *lines[4:6]):
        assert line.endswith(r" \\")
        text = line[:-3]
        assert not text.lstrip().startswith(("[", "*"))
        plain = re.sub(r"\\text\w+\{\}|\\[&%$#_{}]|^\{\}", "", text)
        assert plain.count("&") == 1
        assert not re.search(r"[%$#_{}\\~^<>|\x1b\t]", plain)
    assert lines[8].startswith("% ")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)


@given(HOSTILE, HOSTILE)
def test_an_html_cell_is_text(first: str, second: str) -> None:
    tags = _Tags()
    tags.feed(html_tables.render_tables([html_tables.Section(first, table(first, second))]))
    assert tags.found <= {"h2", "div", "table", "thead", "tbody", "tr", "th", "td", "p"}


@given(HOSTILE, HOSTILE)
def test_a_terminal_gets_no_commands(first: str, second: str) -> None:
    out = io.StringIO()
    terminal = Console(
        file=out, width=200, markup=False, emoji=False, highlight=False, no_color=True
    )
    for width in (200, 10):
        for part in make_terminal_tables(table(first, second), width):
            terminal.print(part)
    assert all(one.isprintable() or one == "\n" for one in out.getvalue())
