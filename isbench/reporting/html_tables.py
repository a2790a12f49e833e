"""Text tables as one self-contained HTML page, with a light and a dark style."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from isbench.reporting.text_table import TextTable


class Section(NamedTuple):
    """A table and its title; a table without a title belongs to the section before it."""

    title: str
    table: TextTable


_STYLE = """
:root { color-scheme: light dark; --line: #d5d9de; --stripe: #f4f6f8; --quiet: #57606a; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4048; --stripe: #1c2127; --quiet: #a0a8b2; }
  body { background: #12161b; color: #e3e7ec; }
}
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 100rem; }
body { padding: 0 1rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; }
th { vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--stripe); }
.figure { text-align: right; }
p { color: var(--quiet); max-width: 60rem; margin: .4rem 0; font-size: 13px; }
"""


def render_page(title: str, lead: str, sections: Iterable[Section]) -> str:
    """Return the page with a title, a lead paragraph and the tables."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(lead)}</p>\n{render_tables(sections)}\n</body>\n</html>\n"
    )


def render_tables(sections: Iterable[Section]) -> str:
    """Return the tables as HTML elements."""
    return "\n".join(line for section in sections for line in _render_section(section))


def _render_section(section: Section) -> Iterator[str]:
    table = section.table
    if section.title:
        yield f"<h2>{escape(section.title)}</h2>"
    yield f"<div><table>\n<thead>{_render_row('th', table.heads, table)}</thead>\n<tbody>"
    for k, row in enumerate(table.rows):
        yield _render_row("td", row, table, k in table.italic)
    yield "</tbody>\n</table></div>"
    yield from (f"<p>{escape(note)}</p>" for note in table.notes)


def _render_row(tag: str, row: Iterable[str], table: TextTable, italic: bool = False) -> str:
    classes = (' class="figure"' if figure else "" for figure in table.figures)
    texts = (f"<i>{escape(cell)}</i>" if italic and cell else escape(cell) for cell in row)
    pairs = zip(texts, classes, strict=True)
    return f"<tr>{''.join(f'<{tag}{kind}>{text}</{tag}>' for text, kind in pairs)}</tr>"
