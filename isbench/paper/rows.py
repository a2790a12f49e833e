"""Who stands in the paper's tables: rows of the paper and of this project, and what they need.

Not here: which of them can be played on this machine (`lineup`), and what was (`evidence`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from isbench.paper.printed import Figure
from isbench.types import Rules


class Row(NamedTuple):
    """A row of a table: what the paper calls it, and which of our models plays it."""

    system: str  # '' for a row of this project
    backbone: str
    trained_on: str
    model: str  # a card's name; '' where there is none
    options: tuple[tuple[str, str], ...] = ()  # that differ from the card's, as typed
    weights: str = ""  # whose runs alone count; '': what comes with the package, else any trained
    preferred: str = ""  # weights that count instead where the package has them

    @property
    def name(self) -> str:
        """Return the model with the options that differ from its card's."""
        told = ", ".join(f"{key}={value}" for key, value in self.options)
        return f"{self.model} ({told})" if told else self.model


class Question(NamedTuple):
    """What a column of a table asks of a run."""

    dataset: str
    max_clicks: int
    metric: str  # as the published figures name it: noc@90, nof@90

    @property
    def target(self) -> float:
        """Return the IoU that the figure is about."""
        return int(self.metric.partition("@")[2]) / 100


def own(*models: str) -> tuple[Row, ...]:
    """Return rows of this project."""
    return tuple(Row("", "", "", model) for model in models)


def printed_rows(published: Sequence[Figure], table: int) -> tuple[Row, ...]:
    """Return the rows that the paper prints in a table, in its order."""
    rows = (
        Row(f.system, f.backbone, f.trained_on, f.model, weights=f.weights)
        for f in published
        if f.table == table
    )
    return tuple(dict.fromkeys(rows))


# the same weights are needed for a fair ablation: of one budget, from one beginning; the card of
# csfpn-mini (of ritm-mini for BS) has them under these names once they come with the package
_BS, _SGM, _HSGM = "ablation-bs", "ablation-sgm", "ablation-hsgm"


def _ablated(sgm: str, hsgm: str, g2l: str) -> tuple[tuple[str, str], ...]:
    return (("sgm", sgm), ("hsgm", hsgm), ("g2l", g2l))


_SBD = ("", "SBD", "csfpn-mini")
TABLE3 = (
    Row("BS", *_SBD, _ablated("off", "off", "off"), preferred=_BS),
    Row("BS", "", "SBD", "ritm-mini", preferred=_BS),
    Row("BS+SGM", *_SBD, _ablated("on", "off", "off"), preferred=_SGM),
    Row("BS+SGM+HSGM", *_SBD, _ablated("on", "on", "off"), preferred=_HSGM),
    Row("BS+SGM+HSGM+G2L", *_SBD, _ablated("on", "on", "on"), preferred=_HSGM),
)

TABLE4 = (
    Row("Baseline*", "resnet50", "SBD", "baseline-r50", weights="sbd"),
    Row("Baseline*", "resnet50", "SBD", "baseline-r50", (("joined", "on"),), weights="sbd"),
    Row("Baseline*+FDM", "resnet50", "SBD", "baseline-r50-fdm", weights="sbd"),
    Row("Baseline*+FDM low+high", "resnet50", "SBD", "baseline-r50-fdm2", weights="sbd"),
    Row("Baseline*+CSFP", "resnet50", "SBD", "baseline-r50-csfp", weights="sbd"),
    *own("baseline-mini", "baseline-mini-fdm", "baseline-mini-fdm2", "baseline-mini-csfp"),
)

_NETWORKS = ("ritm-mini", "csfpn-mini")
_OWN = {1: own(*_NETWORKS, "grabcut", "random-walker", "nearest"), 2: own(*_NETWORKS)}

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

# games that are played for a table: to the last click, which figures 3 and 4 need too; the long
# ones of Table 2 end at its target
RULES = {1: Rules(20, 1.01), 2: Rules(100, 0.90), 3: Rules(20, 1.01), 4: Rules(20, 1.01)}


def rows_of(table: int, published: Sequence[Figure], bundling: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows of a table; in Table 1 also models of its that come with weights of ours.

    `bundling` are the models that come with weights.
    """
    if table in (3, 4):
        yield from {3: TABLE3, 4: TABLE4}[table]
        return
    yield from printed_rows(published, table)
    yield from _OWN[table]
    if table == 1:
        family = [name for name in bundling if name.startswith(("ritm-", "csfpn-"))]
        yield from own(*(name for name in family if name not in _NETWORKS))
