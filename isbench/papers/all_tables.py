"""All tables of a folder of runs: those of a paper, then those of every complete run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from isbench.models.known_weights import list_bundling_models
from isbench.papers import accuracy
from isbench.papers.candidates import find_candidates
from isbench.papers.cells import Cell, Records, format_cells, make_cells
from isbench.papers.figures import find_shown, format_data, name_file
from isbench.papers.paper import Paper, PaperTable
from isbench.papers.register import NO_REGISTER, Register
from isbench.reporting import tables
from isbench.reporting.html_tables import Section, render_page
from isbench.reporting.labels import make_labels
from isbench.reporting.text_table import TextTable, format_markdown
from isbench.storage.store import Run, parse_digest


def collect_records(
    table: PaperTable, runs: Sequence[Run], register: Register = NO_REGISTER
) -> Records:
    """Return the records for a table of a paper."""
    more = table.add_rows(list_bundling_models()) if table.add_rows is not None else ()
    candidates = find_candidates([*table.rows, *more], register)
    return Records(table, candidates.found, runs, candidates.faults, register)


def make_table(records: Records) -> tuple[TextTable, list[Cell]]:
    """Return a table of a paper as text, and its cells."""
    table, cells = records.table, make_cells(records)
    text = (table.render or accuracy.make_text_table)(records, cells)
    if table.add_notes is not None:
        text = replace(text, notes=(*text.notes, *table.add_notes(cells)))
    return text, cells


def make_sections(
    paper: Paper, runs: Sequence[Run], register: Register = NO_REGISTER
) -> tuple[list[Section], list[Cell]]:
    """Return all tables, and the cells of the paper's; runs with a limit are not listed."""
    sections, all_cells = [], []
    for paper_table in paper.tables:
        text, cells = make_table(collect_records(paper_table, runs, register))
        sections.append(Section(f"Table {paper_table.name}: {paper_table.title}", text))
        all_cells += cells
    whole = [run for run in runs if run.spec.limit is None]
    if whole:
        names = {one.digest: one.name for one in register.weights}
        digests = [parse_digest(run.path) for run in whole]
        labels = dict(zip(digests, make_labels(whole, weights=names), strict=True))
        rows = tables.make_rows(whole, labels=labels)
        for view in ("noc", "nof", "iou"):
            title = "Every run" if view == "noc" else ""
            sections.append(Section(title, tables.make_table(rows, view)))
    return sections, all_cells


def make_pages(
    paper: Paper, runs: Sequence[Run], register: Register = NO_REGISTER
) -> Mapping[str, str]:
    """Return all tables in all formats and the data of the figures: texts by name of the file."""
    sections, cells = make_sections(paper, runs, register)
    lead = paper.lead or (
        f"The tables of {paper.title}, made by `isbench reproduce --paper {paper.name}` from the "
        "runs in this folder."
    )
    return {
        "TABLES.md": make_markdown(lead, sections),
        "tables.html": render_page("isbench: tables", lead, sections),
        "tables.csv": format_cells(cells),
        **{
            f"{name_file(figure)}.csv": format_data(figure, find_shown(figure, runs, register))
            for figure in paper.figures
        },
    }


def make_markdown(lead: str, sections: Sequence[Section]) -> str:
    """Return the tables as one markdown page."""
    pages = (
        f"{f'## {part.title}' if part.title else ''}\n\n{format_markdown(part.table)}"
        for part in sections
    )
    return "\n".join([f"# Tables\n\n{lead}\n", *(page.lstrip() for page in pages)])
