"""Table 4 of the paper: the cost of networks, and NoC on DAVIS where trained ones were played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from csfpn.paper import ablation
from csfpn.paper.published import list_figures_of
from isbench.papers import Row
from isbench.papers.cells import Cell, Records, describe_provenance, list_cells
from isbench.reporting.text_table import TextTable

ROWS = (
    Row("Baseline*", "resnet50", "SBD", "baseline-r50", weights="sbd"),
    Row("Baseline*", "resnet50", "SBD", "baseline-r50", (("joined", "on"),), weights="sbd"),
    Row("Baseline*+FDM", "resnet50", "SBD", "baseline-r50-fdm", weights="sbd"),
    Row("Baseline*+FDM low+high", "resnet50", "SBD", "baseline-r50-fdm2", weights="sbd"),
    Row("Baseline*+CSFP", "resnet50", "SBD", "baseline-r50-csfp", weights="sbd"),
    *(part.rows[0] for part in ablation.PARTS),
)
_OWN_BASE = ablation.BS.rows[0]  # that the rows below it are compared with

SIZE = (320, 480)  # rows and columns of the crops that the paper trains on
# 960,000 pixels with the mirror image and two operations per multiply-add: no usual size gives the
# published figures exactly, and this one comes closest
FLOPS_SIZE, PER_MAC = (400, 600), 4


class NetworkCost(NamedTuple):
    """The cost of one network of Table 4."""

    parameters: int
    macs: int  # multiply-adds of a pass at SIZE
    flops: int  # by the rule that comes closest to the paper's


_NOTES = (
    "GMAC: multiply-adds of convolutions and matrix products of one pass at 320x480. GFLOPs: the "
    "same at 400x600, times 2 for the mirror image, times 2 operations per multiply-add.",
    "The paper states neither the image size nor what it counts, and no usual size gives its "
    "508.72 under any usual rule; this one comes within 0.1 % for the baseline. The absolute "
    "GFLOPs are therefore not reproduced; of what each part adds to its baseline, the order is.",
    "The baseline is identified by its number of parameters: DeepLabV3+ on ResNet-50 of width 128, "
    "with clicks added to the stem (Conv1S) or concatenated with the colours (joined=on).",
    "The paper's FDM has a fifth of the parameters of the one released with CDNet. The one here "
    "has 32 inner channels and no gate, which fits the paper's parameter counts; it is placed at "
    "1/8 and 1/2, where its cost differs from the printed one. Each sign of clicks is counted with "
    "its own product of queries and keys.",
    "+CSFP of ResNet-50: the graphs are light (HSGM fuses with a 1x1 and a separable convolution). "
    "The modules of CSFPN's released code would add 22 % (`isbench models --cost`: csfpn-r50). On "
    "a trunk that is 57 times cheaper, even the light ones add 13 %.",
    "Rows without a system are the same family on this project's lite trunk: the seed-0 rows of "
    "Table 3, which also has the other seed and the differences. NoC is from whole runs by "
    "ritm-2021 with exactly a row's weights.",
    "G2L has no parameters; with it, a click takes two such passes.",
)
_HEADS = (
    "System", "Model", "Parameters (paper, M)", "Parameters", "GMAC", "GFLOPs (paper)", "GFLOPs",
    "GFLOPs over baseline (paper)", "GFLOPs over baseline", "NoC@85 (paper)", "NoC@85",
    "NoC@90 (paper)", "NoC@90",
)  # fmt: skip


def render(records: Records, cells: Sequence[Cell]) -> TextTable:
    """Return Table 4 as text."""
    return make_text_table(count_costs(records), records, cells)


def count_costs(records: Records) -> Mapping[str, NetworkCost]:
    """Return the costs of the networks of Table 4, by the names of rows whose model is there."""
    from isbench.nn.runtime.cost import count_cost  # imports torch, so only for Table 4

    costs = {}
    for row, candidate in records.candidates.items():
        if candidate is None or candidate.card.networks is None:
            continue
        make = partial(candidate.card.networks, **candidate.options)
        at_size, at_flops = count_cost(make, SIZE).whole, count_cost(make, FLOPS_SIZE).whole
        flops = PER_MAC * at_flops.macs
        costs[row.name] = NetworkCost(at_size.parameters, at_size.macs, flops)
    return costs


def make_text_table(
    costs: Mapping[str, NetworkCost], records: Records, cells: Sequence[Cell]
) -> TextTable:
    """Return Table 4 as text; `costs` are by the names of the rows."""
    published = {(f.system, f.metric): f.value for f in list_figures_of("4")}
    base, base_published = costs.get(ROWS[0].name), published["Baseline*", "gflops"]
    rows = []
    provenance: list[str] = []
    for row in records.candidates:
        if row == _OWN_BASE:
            base = costs.get(row.name)
        cost, gflops = costs.get(row.name), published.get((row.system, "gflops"))
        row_cells = list_cells(row, cells)
        clicks = (
            (_format_figure(c.published, ".2f"), _format_figure(c.ours and c.ours.value, ".2f"))
            for c in row_cells
        )
        rows.append(
            (
                row.system,
                row.name,
                _format_figure(published.get((row.system, "params_m")), "g"),
                _format_figure(cost and cost.parameters, ",d"),
                _format_figure(cost and cost.macs / 1e9, ".3f"),
                _format_figure(gflops, ".2f"),
                _format_figure(cost and cost.flops / 1e9, ".2f"),
                _format_change(gflops, base_published),
                _format_change(cost and cost.flops, base and base.flops),
                *(figure for pair in clicks for figure in pair),
            )
        )
        provenance += describe_provenance(row, row_cells, records)
    notes = (*_NOTES, *provenance)
    return TextTable(_HEADS, tuple(rows), (False, False, *[True] * 11), notes=notes)


def _format_change(value: float | None, base: float | None) -> str:
    if value is None or base is None or value == base:
        return ""
    return f"{100 * (value / base - 1):+.2f} %"


def _format_figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
