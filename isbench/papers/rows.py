"""The rows of the paper's tables, published ones and this project's, and the runs they need.

Not here: which rows can be played on this machine (`candidates`), and which runs count
(`run_selection`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from isbench.papers.published import Figure
from isbench.types import Rules


class Row(NamedTuple):
    """A row of a table: its name in the paper, and the model that plays it."""

    system: str  # '' for a row of this project
    backbone: str
    trained_on: str
    model: str  # a card's name; '' if there is none
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
    metric: str  # as in the published figures: noc@90, nof@90

    @property
    def target(self) -> float:
        """Return the target IoU of the metric."""
        return int(self.metric.partition("@")[2]) / 100


def project_rows(*models: str) -> tuple[Row, ...]:
    """Return rows of this project."""
    return tuple(Row("", "", "", model) for model in models)


def printed_rows(published: Sequence[Figure], table: int) -> tuple[Row, ...]:
    """Return the published rows of a table, in the paper's order."""
    rows = (
        Row(f.system, f.backbone, f.trained_on, f.model, weights=f.weights)
        for f in published
        if f.table == table
    )
    return tuple(dict.fromkeys(rows))


def _ablation_row(part: str, model: str, *off: str) -> Row:
    """Return a row of the ablation on the mini trunk, with weights named after the part they add.

    Only these weights are comparable: they share the training budget and the initial weights.
    """
    options = [(key, "off") for key in off]
    if model == "csfpn-mini":
        options.append(("overview", "256"))  # as for the base segmenter
    return Row("", "", "", model, tuple(options), f"ablation-{part}")


_BS = _ablation_row("bs", "ritm-mini")
_FDM = _ablation_row("fdm", "baseline-mini-fdm")
_SGM = _ablation_row("sgm", "csfpn-mini", "hsgm", "g2l")
_HSGM = _ablation_row("hsgm", "csfpn-mini", "g2l")
_G2L = _ablation_row("hsgm", "csfpn-mini")  # G2L changes inference only and has no weights
ABLATION = (_BS, _FDM, _SGM, _HSGM, _G2L)
# pairs of rows that differ by one part
STEPS = ((_BS, _FDM), (_BS, _SGM), (_FDM, _SGM), (_SGM, _HSGM), (_HSGM, _G2L))

TABLE4 = (
    Row("Baseline*", "resnet50", "SBD", "baseline-r50", weights="sbd"),
    Row("Baseline*", "resnet50", "SBD", "baseline-r50", (("joined", "on"),), weights="sbd"),
    Row("Baseline*+FDM", "resnet50", "SBD", "baseline-r50-fdm", weights="sbd"),
    Row("Baseline*+FDM low+high", "resnet50", "SBD", "baseline-r50-fdm2", weights="sbd"),
    Row("Baseline*+CSFP", "resnet50", "SBD", "baseline-r50-csfp", weights="sbd"),
    _BS,  # the same network as baseline-mini
    _FDM,
    _ablation_row("fdm2", "baseline-mini-fdm2"),
    _HSGM,  # the same network as baseline-mini-csfp
)

_NETWORKS = ("ritm-mini", "csfpn-mini")
_PROJECT_ROWS = {
    1: project_rows(*_NETWORKS, "grabcut", "random-walker", "nearest"),
    2: project_rows(*_NETWORKS),
    3: ABLATION,
}

_COCO = tuple(
    Question(name, 20, "noc@85") for name in ("coco-mval-seen", "coco-mval-unseen", "coco-mval")
)
QUESTIONS = {
    1: (
        Question("grabcut", 20, "noc@90"),
        Question("berkeley", 20, "noc@90"),
        *_COCO,
        Question("davis", 20, "noc@85"),
        Question("davis", 20, "noc@90"),
        Question("sbd", 20, "noc@85"),
        Question("sbd", 20, "noc@90"),
    ),
    2: (
        Question("davis", 20, "nof@90"),
        Question("davis", 100, "noc@90"),
        Question("davis", 100, "nof@90"),
    ),
    3: tuple(Question(name, 20, "noc@90") for name in ("davis", "sbd", "grabcut", "berkeley")),
    4: (Question("davis", 20, "noc@85"), Question("davis", 20, "noc@90")),
}

# the rules of each table's games: those of Table 1 run to the last click, which figures 3 and 4
# also need; those of the other tables end at the target
RULES = {1: Rules(20, 1.01), 2: Rules(100, 0.90), 3: Rules(20, 0.90), 4: Rules(20, 0.90)}


def rows_of(table: int, published: Sequence[Figure], bundling: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows of a table; in Table 1 also other models of the family that come with weights.

    `bundling` are the models that come with weights.
    """
    if table == 4:
        yield from TABLE4
        return
    yield from printed_rows(published, table)
    yield from _PROJECT_ROWS[table]
    if table == 1:
        family = [name for name in bundling if name.startswith(("ritm-", "csfpn-"))]
        yield from project_rows(*(name for name in family if name not in _NETWORKS))
