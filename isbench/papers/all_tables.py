"""All tables of a folder of runs: those of the paper, then those of every complete run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from isbench.models.known_weights import list_bundling_models
from isbench.papers import accuracy, costs
from isbench.papers.candidates import find_candidates
from isbench.papers.cells import Cell, Records, format_cells
from isbench.papers.costs import Counted
from isbench.papers.published import Figure
from isbench.papers.rows import rows_of
from isbench.reporting import tables
from isbench.reporting.html_tables import Section, render_page
from isbench.reporting.text_table import TextTable, format_markdown
from isbench.storage.store import Run

NUMBERS = (1, 2, 3, 4)
TITLES: Mapping[int, str] = {
    1: "Table 1: clicks to an IoU",
    2: "Table 2: failures and long games on DAVIS",
    3: "Table 3: the ablation of CSFPN",
    4: "Table 4: what propagation costs",
}
LEAD = (
    "Made by `make tables` from the runs in this folder; docs/protocol.md defines each figure, and "
    "docs/results.md discusses what they show and what they cannot."
)


def collect_records(number: int, published: Sequence[Figure], runs: Sequence[Run]) -> Records:
    """Return the records for a table of the paper."""
    return Records(
        published, find_candidates(list(rows_of(number, published, list_bundling_models()))), runs
    )


def paper_table(number: int, records: Records) -> tuple[TextTable, list[Cell]]:
    """Return a table of the paper and its cells."""
    if number != 4:
        return accuracy.make_table(number, records)
    return costs.make_table4(count_costs(records), records)


def count_costs(records: Records) -> Mapping[str, Counted]:
    """Return the costs of the networks of Table 4, by the names of their rows."""
    from isbench.nn.runtime.cost import count_cost  # imports torch, so only for Table 4

    counted = {}
    for row, candidate in records.candidates.items():
        assert candidate is not None
        assert candidate.card.networks is not None
        make = partial(candidate.card.networks, **candidate.options)
        at_size, at_flops = (
            count_cost(make, costs.SIZE).whole,
            count_cost(make, costs.FLOPS_SIZE).whole,
        )
        flops = costs.PER_MAC * at_flops.macs
        counted[row.name] = Counted(at_size.parameters, at_size.macs, flops)
    return counted


def make_sections(
    published: Sequence[Figure], runs: Sequence[Run]
) -> tuple[list[Section], list[Cell]]:
    """Return all tables, and the cells of the paper's; runs with a limit are not listed."""
    sections, all_cells = [], []
    for number in NUMBERS:
        table, cells = paper_table(number, collect_records(number, published, runs))
        sections.append(Section(TITLES[number], table))
        all_cells += cells
    whole = [run for run in runs if run.spec.limit is None]
    if whole:
        frame = tables.make_frame(whole)
        for view in ("noc", "nof", "iou"):
            title = "Every run" if view == "noc" else ""
            sections.append(Section(title, tables.make_table(frame, view)))
    return sections, all_cells


def make_pages(published: Sequence[Figure], runs: Sequence[Run]) -> Mapping[str, str]:
    """Return all tables in all formats: the text of each file by its name."""
    sections, cells = make_sections(published, runs)
    return {
        "TABLES.md": make_markdown(sections),
        "tables.html": render_page("isbench: tables", LEAD, sections),
        "tables.csv": format_cells(cells),
    }


def make_markdown(sections: Sequence[Section]) -> str:
    """Return the tables as one markdown page."""
    pages = (
        f"{f'## {part.title}' if part.title else ''}\n\n{format_markdown(part.sheet)}"
        for part in sections
    )
    return "\n".join([f"# Tables\n\n{LEAD}\n", *(page.lstrip() for page in pages)])
