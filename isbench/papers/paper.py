"""A paper, its tables and figures as values. Packages add papers by entry point (`registry`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from isbench.errors import IsbenchError, make_unknown_error
from isbench.papers.rows import Question, Row
from isbench.types import Rules

if TYPE_CHECKING:
    from isbench.papers.cells import Cell, Records
    from isbench.reporting.text_table import TextTable

_NAME = re.compile(r"[\w.+-]+")
FIGURE_PLOTS = ("iou_k", "pictures")


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper: a cell for each row and question, with what the paper prints there.

    Raises IsbenchError for values that do not fit together.
    """

    name: str  # its number in the paper, such as "1"
    title: str
    rows: tuple[Row, ...]
    questions: tuple[Question, ...]  # one per column
    published: Mapping[tuple[Row, Question], float] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)  # of the games that are played for the table
    heads: tuple[str, ...] = ()  # of the questions' columns; by default data set and metric
    notes: tuple[str, ...] = ()
    intervals: bool = False  # show the 95 % intervals of measured figures
    # more rows, from the names of the installed models that come with weights
    add_rows: Callable[[Sequence[str]], Iterable[Row]] | None = None
    # more notes, from the cells
    add_notes: Callable[[Sequence[Cell]], Iterable[str]] | None = None
    # another text than one column per question; its csv is then this text too
    render: Callable[[Records, Sequence[Cell]], TextTable] | None = None

    def __post_init__(self) -> None:
        """Raise IsbenchError for values that do not fit together."""
        if not _NAME.fullmatch(self.name):
            raise IsbenchError(
                f"a paper's table is named {self.name!r}; wanted its number, such as '1'"
            )
        for question in self.questions:
            self._check_question(question)
        for row, question in self.published:
            if row not in self.rows or question not in self.questions:
                raise IsbenchError(
                    f"table {self.name} publishes a figure for {row} and {question}; wanted one of "
                    "its rows and one of its questions"
                )
        if self.heads and len(self.heads) != len(self.questions):
            raise IsbenchError(
                f"table {self.name} has {len(self.heads)} heads for {len(self.questions)} "
                "questions; wanted one each, or none"
            )

    def _check_question(self, question: Question) -> None:
        if not re.fullmatch(r"no[cf]@\d\d", question.metric):
            raise IsbenchError(
                f"table {self.name} asks for the metric {question.metric!r}; wanted one such as "
                "noc@90 or nof@90"
            )
        rules = self.rules
        if rules.max_clicks < question.max_clicks or rules.stop_iou < question.target:
            raise IsbenchError(
                f"table {self.name} asks for {question.metric} within {question.max_clicks} "
                f"clicks, but its games end after {rules.max_clicks} clicks or at IoU "
                f"{rules.stop_iou:g}; pass rules=Rules(max_clicks, stop_iou) of longer games"
            )


@dataclass(frozen=True)
class PaperFigure:
    """A figure of a paper, drawn from recorded games that continue to the last click.

    Raises IsbenchError for values that do not fit together.
    """

    name: str  # its number in the paper, such as "3"
    title: str
    plot: str  # one of FIGURE_PLOTS
    # of curves: each row with a run is drawn; of pictures: the first two of a pair, of which both
    # have a run
    rows: tuple[Row, ...]
    datasets: tuple[str, ...]  # one for pictures
    max_clicks: int = 20
    objects: int = 6  # that pictures show

    def __post_init__(self) -> None:
        """Raise IsbenchError for values that do not fit together."""
        if not _NAME.fullmatch(self.name):
            raise IsbenchError(
                f"a paper's figure is named {self.name!r}; wanted its number, such as '3'"
            )
        if self.plot not in FIGURE_PLOTS:
            raise make_unknown_error(f"plot of figure {self.name}", self.plot, FIGURE_PLOTS)
        if self.plot == "pictures" and (len(self.rows) % 2 or len(self.datasets) != 1):
            raise IsbenchError(
                f"figure {self.name} has {len(self.rows)} rows and {len(self.datasets)} data sets; "
                "wanted pairs of rows and one data set for pictures"
            )


@dataclass(frozen=True)
class Paper:
    """A paper's tables, which are shown with published and measured figures side by side."""

    name: str  # of its entry point
    title: str
    tables: tuple[PaperTable, ...]
    lead: str = ""  # the first paragraph of the page with all tables; by default one is made
    figures: tuple[PaperFigure, ...] = ()

    def __post_init__(self) -> None:
        """Raise IsbenchError for a name that the command line cannot take, or names used twice."""
        if not _NAME.fullmatch(self.name):
            raise IsbenchError(
                f"a paper is named {self.name!r}; wanted letters, digits, '.', '+', '-' and '_' "
                "only"
            )
        for what, members in (("tables", self.tables), ("figures", self.figures)):
            names = [member.name for member in members]
            if len(set(names)) < len(names):
                raise IsbenchError(
                    f"paper {self.name} has {what} {', '.join(names)}; wanted every name once"
                )

    def find_table(self, name: str) -> PaperTable:
        """Return the table of a name; raises IsbenchError if there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise make_unknown_error(
            f"table of {self.name}", name, (table.name for table in self.tables)
        )

    def find_figure(self, name: str) -> PaperFigure:
        """Return the figure of a name; raises IsbenchError if there is none."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise make_unknown_error(
            f"figure of {self.name}", name, (figure.name for figure in self.figures)
        )
