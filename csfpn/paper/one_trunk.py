"""Table 5, which no paper prints: the idea of each system on one trunk, trained with one budget.

All networks have EfficientNet-Lite0 as their trunk and are trained from the same weights. f-BRS,
IA+SA and the repeated passes change inference only and are played with the weights of RITM's row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from csfpn.paper import ablation
from csfpn.paper.click_times import HEAD, RATIO, compare_times
from csfpn.paper.costs import SIZE
from csfpn.paper.equal_training import RULES, describe_training
from isbench.papers import Question, Row
from isbench.papers.accuracy import make_head
from isbench.papers.cells import Cell, Records, describe_provenance, list_cells
from isbench.papers.differences import compare_cells, describe_processors, format_difference
from isbench.reporting.text_table import TextTable

_BASE, _SECOND = ablation.BS.rows
_OWN = "table5"  # the weights of networks that the ablation does not have
_OWN_CLICKS = "table5-own"  # the weights of CDNet's network that was trained by its rule of clicks


def _vary(model: str, *options: tuple[str, str]) -> Row:
    """Return a row of an idea that changes inference only."""
    return Row("", model=model, options=options, weights=_BASE.weights)


IDEAS = {
    _BASE: "RITM",
    _SECOND: "RITM, trained with another seed",
    # as FocalClick and FocusCut play: some of their rows' difference is due to this
    _vary("ritm-lite", ("flip", "off")): "RITM without flip",
    # as CFR's README evaluates it
    _vary(
        "ritm-lite", ("cascade", "4"), ("cascade_adaptive", "on")
    ): "CFR: repeated passes at the first click",
    _vary("fbrs-lite"): "f-BRS-B: features optimised",
    _vary("adaptation-lite"): "IA+SA: weights adapted",
    Row("", model="cdnet-lite", weights=_OWN): "CDNet: diffusion, trained with RITM's clicks",
    Row(
        "", model="cdnet-lite", options=(("previous_mask", "off"),), weights=_OWN_CLICKS
    ): "CDNet: diffusion, trained with its own clicks, no previous mask",
    Row("", model="focalclick-lite", weights=_OWN): "FocalClick: local refinement",
    Row("", model="focuscut-lite", weights=_OWN): "FocusCut: views of clicks",
    Row("", model="fcanet-lite", weights=_OWN): "FCA-Net: the first click",
    Row("", model="pseudoclick-lite", weights=_OWN): "PseudoClick: imitated clicks",
    ablation.G2L.rows[0]: "CSFPN: propagation, global to local",
    ablation.G2L.rows[1]: "CSFPN: propagation, global to local, trained with another seed",
    Row(
        "", model="csfpn-lite", weights=ablation.HSGM.rows[0].weights
    ): "CSFPN: global to local for the first three clicks only",
}
QUESTIONS = (
    Question("grabcut", 20, "noc@90"),
    Question("berkeley", 20, "noc@90"),
    Question("davis", 20, "noc@85"),
    Question("davis", 20, "noc@90"),
)
_TIMED = "davis"

NOTES = (
    "This table is this project's own; no paper prints it. NoC_20 [95 % interval over images]; "
    "each difference is a row's NoC minus that of the first row, paired over the same objects, "
    "with its interval. If the interval contains 0, the idea is not significantly different from "
    "RITM. The intervals are not corrected for their number: of 20 intervals around a true "
    "difference of 0, about one excludes 0 by chance. FocalClick and FocusCut play without flip, "
    "so compare them with the row of RITM without flip. FocusCut sees the object's crop, which may "
    "be the whole image, at view_size pixels on the shorter side; the others see whole images at "
    "256 pixels on the longer one.",
    "Each row has one training, so the intervals do not contain the spread between trainings, and "
    "all differences share the training of the first row. The second row, the same network trained "
    "with another seed, shows what difference is possible without any idea. The figures say what "
    "an idea is worth on this trunk at this budget, and nothing about the systems that their "
    "authors trained (docs/results.md).",
    f"GMAC: multiply-adds of one forward pass of every network of a row at {SIZE[0]}x{SIZE[1]}, "
    "without the optimisation of f-BRS and IA+SA and without CDNet's PDM. A click takes several "
    "passes where zoom-in, flip, G2L, refinement or repetition need them; s/click "
    "contains all of these. Parameters include those used only in training.",
    "IA+SA adapts its weights across objects and plays with one worker; the workers of the other "
    "rows share a processor, so their clicks may take longer than with one worker. Each row was "
    "timed in a run of its own, so a ratio near 1 does not say which of the two is faster.",
)


class Size(NamedTuple):
    """The parameters of a row's networks, and the multiply-adds of a pass of each at SIZE."""

    parameters: int
    macs: int


def render(records: Records, cells: Sequence[Cell]) -> TextTable:
    """Return Table 5 as text."""
    return make_text_table(count_sizes(records), records, cells)


def count_sizes(records: Records) -> Mapping[Row, Size]:
    """Return the sizes of the rows whose model is installed."""
    from isbench.nn.runtime.cost import count_cost  # imports torch, so only for this table

    found: dict[Row, Size] = {}
    for row, candidate in records.candidates.items():
        if candidate is not None and candidate.card.networks is not None:
            make = partial(candidate.card.networks, **candidate.options)
            found[row] = Size(*count_cost(make, SIZE).whole)
    return found


def make_text_table(
    sizes: Mapping[Row, Size], records: Records, cells: Sequence[Cell]
) -> TextTable:
    """Return Table 5 as text; a figure that no run and no network gives is blank."""
    bases = {cell.question: cell for cell in cells if cell.row == _BASE}
    times = compare_times(records, cells, _TIMED, ablation.BS.rows)
    rows: list[tuple[str, ...]] = []
    provenance: list[str] = []
    for row in records.candidates:
        found = list_cells(row, cells)
        size = sizes.get(row)
        figures = (text for cell in found for text in _show(cell, bases.get(cell.question)))
        rows.append(
            (
                IDEAS.get(row, ""),
                row.name,
                *figures,
                *times.show(row),
                f"{size.parameters:,d}" if size else "",
                f"{size.macs / 1e9:.3f}" if size else "",
            )
        )
        provenance += describe_provenance(row, found, records)
    columns = [head for one in records.table.questions for head in _make_heads(one)]
    columns += [f"{HEAD} on {_TIMED.upper()}", RATIO]
    heads = ("Idea", "Model", *columns, "Parameters", "GMAC")
    notes = (
        *records.table.notes,
        *times.notes,
        *describe_training(records, free=RULES),
        *describe_processors(cells, records),
        *provenance,
    )
    aligned = (False, False, *[True] * (len(heads) - 2))
    return TextTable(heads, tuple(rows), aligned, notes=notes)


def _make_heads(question: Question) -> tuple[str, str]:
    head = make_head(question)
    return head, f"{head} minus RITM"


def _show(cell: Cell, base: Cell | None) -> tuple[str, str]:
    """Return a cell's figure with its interval, and its difference to the first row's."""
    ours = cell.ours
    if ours is None:
        return "", ""
    figure = f"{ours.value:.2f}"
    if ours.low is not None and ours.high is not None:
        figure += f" [{ours.low:.2f}, {ours.high:.2f}]"
    if base is None or base.row == cell.row:
        return figure, ""
    return figure, format_difference(compare_cells(base, cell))
