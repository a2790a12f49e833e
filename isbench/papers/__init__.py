"""Tables of papers: published figures next to measured ones. Papers are added by entry point.

Plays no games. A cell without a matching run is blank.
"""

from isbench.papers.paper import Paper, PaperFigure, PaperTable
from isbench.papers.published import Figure, find_figures, list_rows, parse_figures, read_figures
from isbench.papers.rows import Question, Row

__all__ = [
    "Figure",
    "Paper",
    "PaperFigure",
    "PaperTable",
    "Question",
    "Row",
    "find_figures",
    "list_rows",
    "parse_figures",
    "read_figures",
]
