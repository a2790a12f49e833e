"""Papers by name, from entry points, and their tables by `PAPER:TABLE` or by the table's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from isbench.datasets.registry import list_dataset_names
from isbench.errors import IsbenchError, make_unknown_error
from isbench.extensions import Group, list_names, list_own_names, load_named
from isbench.papers.paper import Paper, PaperTable

PAPERS = Group("isbench.papers", "paper", Paper)


def list_paper_names() -> tuple[str, ...]:
    """Return the names of all installed papers, sorted, without importing them."""
    return list_names(PAPERS)


def load_paper(name: str | None = None) -> Paper:
    """Return an installed paper by name, by default the one that comes with isbench.

    Raises IsbenchError for an unknown name, a paper that cannot be imported or was given another
    name than its entry point, and a question about a data set that isbench does not know.
    """
    return load_named(PAPERS, _find_own_name() if name is None else name, _check_datasets)


def find_table(name: str) -> PaperTable | None:
    """Return a paper's table by `PAPER:TABLE` or by its name alone, None if no paper has it.

    A name alone means a table of the papers that come with isbench. If they have none of this name,
    it means that of any other installed paper. Raises IsbenchError if several papers have it, and
    for an unknown paper or table in `PAPER:TABLE`.
    """
    paper, colon, table = name.rpartition(":")
    if colon:
        return load_paper(paper).find_table(table)
    own = list_own_names(PAPERS)
    others = (other for other in list_paper_names() if other not in own)
    for papers in (map(load_paper, own), _load_importable(others)):
        found = {f"{one.name}:{name}": t for one in papers for t in one.tables if t.name == name}
        if len(found) > 1:
            raise IsbenchError(
                f"several papers have a table {name}; name one: {', '.join(sorted(found))}"
            )
        if found:
            return next(iter(found.values()))
    return None


def list_tables() -> tuple[str, ...]:
    """Return the tables of all installed papers as `PAPER:TABLE`."""
    papers = _load_importable(list_paper_names())
    return tuple(f"{paper.name}:{table.name}" for paper in papers for table in paper.tables)


def _find_own_name() -> str:
    """Return the name of the paper that comes with isbench."""
    own = list_own_names(PAPERS)
    if len(own) != 1:
        raise IsbenchError(
            f"{len(own)} papers come with isbench; name one of: "
            f"{', '.join(list_paper_names()) or 'none is installed'}"
        )
    return own[0]


def _load_importable(names: Iterable[str]) -> Iterator[Paper]:
    for name in names:
        try:
            yield load_paper(name)
        except IsbenchError:  # a third-party paper that cannot be imported has no tables
            continue


def _check_datasets(paper: Paper) -> None:
    asked = [question.dataset for table in paper.tables for question in table.questions]
    for dataset in (*asked, *(name for figure in paper.figures for name in figure.datasets)):
        if dataset not in list_dataset_names():
            raise make_unknown_error(f"data set of {paper.name}", dataset, list_dataset_names())
