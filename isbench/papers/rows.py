"""The rows and columns of a paper's tables: a row's model, and the figure that a column needs.

Not here: which rows can be played on this machine (`candidates`), and which runs count
(`run_selection`).
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A row of a table: its name in the paper, and the model that plays it."""

    system: str  # '' for a row that the paper does not print
    backbone: str = ""
    trained_on: str = ""
    model: str = ""  # a card's name; '' if there is none
    options: tuple[tuple[str, str], ...] = ()  # those that differ from the card's, as text
    weights: str = ""  # only their runs count; '': bundled weights, else any trained

    @property
    def name(self) -> str:
        """Return the model with the options that differ from its card, and our own weights."""
        # a published row identifies its weights by the training data
        weights_change = (("weights", self.weights),) if self.weights and not self.system else ()
        changes = ", ".join(f"{key}={value}" for key, value in (*self.options, *weights_change))
        return f"{self.model} ({changes})" if changes else self.model


class Question(NamedTuple):
    """The figure that a column of a table needs from a run."""

    dataset: str
    max_clicks: int
    metric: str  # such as noc@90 or nof@90

    @property
    def target(self) -> float:
        """Return the target IoU of the metric."""
        return int(self.metric.partition("@")[2]) / 100


def project_rows(*models: str) -> tuple[Row, ...]:
    """Return rows that a paper does not print: of models without a system."""
    return tuple(Row("", model=model) for model in models)
