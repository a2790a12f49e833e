"""Who stands in the paper's tables: rows of the paper and of this project, and what they need.

Not here: which of them can be played on this machine (`lineup`), and what was (`evidence`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from isbench.papers.published import Figure
from isbench.types import Rules


class Row(NamedTuple):
    """A row of a table: what the paper calls it, and which of our models plays it."""

    system: str  # '' for a row of this project
    backbone: str
    trained_on: str
    model: str  # a card's name; '' where there is none
    options: tuple[tuple[str, str], ...] = ()  # that differ from the card's, as typed
    weights: str = ""  # whose runs alone count; '': what comes with the package, else any trained

    @property
    def name(self) -> str:
        """Return the model with the options that differ from its card's, and weights of ours."""
        # a row of the paper says which weights by what they were trained on
        own = (("weights", self.weights),) if self.weights and not self.system else ()
        told = ", ".join(f"{key}={value}" for key, value in (*self.options, *own))
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


def project_rows(*models: str) -> tuple[Row, ...]:
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


def _ablated(part: str, model: str, *off: str) -> Row:
    """Return a row of the small ablation, whose weights are named after the part they add.

    Only weights of one budget, from one beginning, can be compared: those of these names alone.
    """
    options = [(key, "off") for key in off]
    if model == "csfpn-mini":
        options.append(("overview", "256"))  # as the base segmenter has it
    return Row("", "", "", model, tuple(options), f"ablation-{part}")


_BS = _ablated("bs", "ritm-mini")
_FDM = _ablated("fdm", "baseline-mini-fdm")
_SGM = _ablated("sgm", "csfpn-mini", "hsgm", "g2l")
_HSGM = _ablated("hsgm", "csfpn-mini", "g2l")
_G2L = _ablated("hsgm", "csfpn-mini")  # G2L is how a trained network is asked: it has no weights
ABLATION = (_BS, _FDM, _SGM, _HSGM, _G2L)
# what each part changes: a row, and the one that differs from it by that part
STEPS = ((_BS, _FDM), (_BS, _SGM), (_FDM, _SGM), (_SGM, _HSGM), (_HSGM, _G2L))

TABLE4 = (
    Row("Baseline*", "resnet50", "SBD", "baseline-r50", weights="sbd"),
    Row("Baseline*", "resnet50", "SBD", "baseline-r50", (("joined", "on"),), weights="sbd"),
    Row("Baseline*+FDM", "resnet50", "SBD", "baseline-r50-fdm", weights="sbd"),
    Row("Baseline*+FDM low+high", "resnet50", "SBD", "baseline-r50-fdm2", weights="sbd"),
    Row("Baseline*+CSFP", "resnet50", "SBD", "baseline-r50-csfp", weights="sbd"),
    _BS,  # the very network of baseline-mini
    _FDM,
    _ablated("fdm2", "baseline-mini-fdm2"),
    _HSGM,  # the very network of baseline-mini-csfp
)

_NETWORKS = ("ritm-mini", "csfpn-mini")
_OWN = {
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

# games that are played for a table: to the last click, which figures 3 and 4 need too; those of the
# other tables end at the target
RULES = {1: Rules(20, 1.01), 2: Rules(100, 0.90), 3: Rules(20, 0.90), 4: Rules(20, 0.90)}


def rows_of(table: int, published: Sequence[Figure], bundling: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows of a table; in Table 1 also models of its that come with weights of ours.

    `bundling` are the models that come with weights.
    """
    if table == 4:
        yield from TABLE4
        return
    yield from printed_rows(published, table)
    yield from _OWN[table]
    if table == 1:
        family = [name for name in bundling if name.startswith(("ritm-", "csfpn-"))]
        yield from project_rows(*(name for name in family if name not in _NETWORKS))
