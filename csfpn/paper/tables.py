"""The paper with its tables and figures, and a fifth table of this project's own.

A table has rows, questions, rules and notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from csfpn.paper import ablation, ablation_table, costs, one_trunk
from csfpn.paper.published import list_figures_of
from isbench.papers import Paper, PaperFigure, PaperTable, Question, Row, find_figures, list_rows
from isbench.papers.rows import project_rows
from isbench.types import Rules

_NETWORKS = ("ritm-mini", "csfpn-mini")


def add_bundling_models(bundling: Sequence[str]) -> Iterator[Row]:
    """Yield rows of the other models of the family that come with weights."""
    family = (name for name in bundling if name.startswith(("ritm-", "csfpn-")))
    yield from project_rows(*(name for name in family if name not in _NETWORKS))


_COCO = tuple(
    Question(name, 20, "noc@85") for name in ("coco-mval-seen", "coco-mval-unseen", "coco-mval")
)
_QUESTIONS1 = (
    Question("grabcut", 20, "noc@90"),
    Question("berkeley", 20, "noc@90"),
    *_COCO,
    Question("davis", 20, "noc@85"),
    Question("davis", 20, "noc@90"),
    Question("sbd", 20, "noc@85"),
    Question("sbd", 20, "noc@90"),
)
_PRINTED1 = list_rows(list_figures_of("1"))
TABLE1 = PaperTable(
    name="1",
    title="clicks to an IoU",
    rows=(*_PRINTED1, *project_rows(*_NETWORKS, "grabcut", "random-walker", "nearest")),
    questions=_QUESTIONS1,
    published=find_figures(_PRINTED1, _QUESTIONS1, list_figures_of("1")),
    rules=Rules(20, 1.01),  # to the last click, which figures 3 and 4 also need
    notes=(
        "NoC_20 at the IoU of each column.",
        "COCO_MVal without seen or unseen: the paper prints one figure across both columns.",
    ),
    add_rows=add_bundling_models,
)

_QUESTIONS2 = (
    Question("davis", 20, "nof@90"),
    Question("davis", 100, "noc@90"),
    Question("davis", 100, "nof@90"),
)
_PRINTED2 = list_rows(list_figures_of("2"))
TABLE2 = PaperTable(
    name="2",
    title="failures and long games on DAVIS",
    rows=(*_PRINTED2, *project_rows("ritm-lite", "csfpn-lite", *_NETWORKS)),
    questions=_QUESTIONS2,
    published=find_figures(_PRINTED2, _QUESTIONS2, list_figures_of("2")),
    rules=Rules(100, 0.90),
    heads=("NoF_20@90", "NoC_100@90", "NoF_100@90"),
    notes=(
        "DAVIS. NoF counts the objects that needed all clicks, including those solved at the last "
        "one, as RITM's evaluator does (docs/protocol.md).",
    ),
)

_QUESTIONS3 = tuple(
    Question(name, 20, "noc@90") for name in ("davis", "sbd", "grabcut", "berkeley")
)
_PRINTED3 = list_rows(list_figures_of("3"))
TABLE3 = PaperTable(
    name="3",
    title="the ablation of CSFPN",
    rows=(*_PRINTED3, *ablation.ROWS),
    questions=_QUESTIONS3,
    published=find_figures(_PRINTED3, _QUESTIONS3, list_figures_of("3")),
    rules=Rules(20, 0.90),
    notes=(
        "NoC_20@90 [95 % interval over images]. The paper's table names neither metric nor "
        "backbone; its text says NoC@90. Rows without a system are this project's small networks "
        "in the paper's order: the base segmenter, with CDNet's FDM, +SGM, +HSGM, +G2L. They test "
        "the order, not the figures, and use only the weights named ablation-*, which were trained "
        "with the same budget from the same initial weights.",
        "Each seed is another training (-s0, -s1) with a row of its own. A mean over all seeds has "
        "the spread between them beside it: the largest minus the smallest, or from three seeds on "
        "the standard deviation; neither is an interval. A difference is paired over the same "
        "objects, with its 95 % interval over images and the p of a sign-flip test over images, "
        "not corrected for the number of tests; its mean over the seeds says whether all have the "
        "same sign.",
    ),
    intervals=True,
    render=ablation_table.render,
)

_QUESTIONS4 = (Question("davis", 20, "noc@85"), Question("davis", 20, "noc@90"))
TABLE4 = PaperTable(
    name="4",
    title="what propagation costs",
    rows=costs.ROWS,
    questions=_QUESTIONS4,
    published=find_figures(costs.ROWS, _QUESTIONS4, list_figures_of("4")),
    rules=Rules(20, 0.90),
    render=costs.render,
)

TABLE5 = PaperTable(
    name="5",
    title="every system's idea on one trunk (this project's own table, in no paper)",
    rows=tuple(one_trunk.IDEAS),
    questions=one_trunk.QUESTIONS,
    rules=Rules(20, 0.90),
    notes=one_trunk.NOTES,
    render=one_trunk.render,
)

# with the options of their cards, as in Table 1
_LITE = project_rows("csfpn-lite", "ritm-lite")
_MINI = project_rows("csfpn-mini", "ritm-mini")
FIGURE3 = PaperFigure(
    name="3",
    title="mean IoU after each click",
    plot="iou_k",
    rows=(*_LITE, *_MINI),
    datasets=("grabcut", "berkeley", "davis"),
)
FIGURE4 = PaperFigure(
    name="4",
    title="masks of two models after the same clicks",
    plot="pictures",
    rows=(*_LITE, *_MINI),
    datasets=("davis",),
    max_clicks=5,
)

paper = Paper(
    name="csfpn",
    title="the CSFPN paper (BMVC 2023)",
    tables=(TABLE1, TABLE2, TABLE3, TABLE4, TABLE5),
    figures=(FIGURE3, FIGURE4),
    lead="Made by `make tables` from the runs in this folder; docs/protocol.md defines each "
    "figure, and docs/results.md discusses what they show and what they cannot.",
)
