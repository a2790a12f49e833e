"""The tables of the CSFPN paper (BMVC 2023): what it prints, beside what was counted and measured.

No files, no models: published figures, costs and runs in, sheets out. A cell without a record
behind it is blank.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from isbench import tables
from isbench.runner import LEFT_TO_DATA
from isbench.sheet import Sheet
from isbench.store import Run
from isbench.types import Scalar

SIZE = (320, 480)  # rows and columns of the crops that the paper trains on
# 960,000 pixels with the mirror image and two operations a multiply-add: no usual size fits the
# printed figures exactly, and this one comes closest
FLOPS_SIZE, PER_MAC = (400, 600), 4


class Figure(NamedTuple):
    """One figure as the paper prints it, and where it stands."""

    table: int
    system: str
    model: str
    trained_on: str
    dataset: str
    max_clicks: int | None
    metric: str
    value: float | None  # None where the paper prints a cross
    note: str


class Counted(NamedTuple):
    """What one network of Table 4 costs."""

    parameters: int
    macs: int  # of a pass at SIZE
    flops: int  # by the rule that comes closest to the paper's
    options: Mapping[str, Scalar] = {}  # of the card and the row


def figures(text: str) -> tuple[Figure, ...]:
    """Return the published figures of a csv text with the columns of `published/csfpn.csv`."""
    return tuple(
        Figure(
            int(row["table"]),
            row["system"],
            row["model"],
            row["trained_on"],
            row["dataset"],
            int(row["max_clicks"]) if row["max_clicks"] else None,
            row["metric"],
            float(row["value"]) if row["value"] else None,
            row["note"],
        )
        for row in csv.DictReader(text.splitlines())
    )


# rows of Table 4: (paper's name, card, options that differ from the card's)
TABLE4: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("Baseline*", "baseline-r50", {}),
    ("Baseline*", "baseline-r50", {"joined": "on"}),
    ("Baseline*+FDM", "baseline-r50-fdm", {}),
    ("Baseline*+FDM low+high", "baseline-r50-fdm2", {}),
    ("Baseline*+CSFP", "baseline-r50-csfp", {}),
    ("", "baseline-mini", {}),
    ("", "baseline-mini-fdm", {}),
    ("", "baseline-mini-fdm2", {}),
    ("", "baseline-mini-csfp", {}),
)
_NOTES = (
    "GMAC: multiply-adds of convolutions and matrix products of one pass at 320x480. GFLOPs: the "
    "same at 400x600, times 2 for the mirror image, times 2 operations a multiply-add.",
    "The paper names neither the size of the image nor what it counts, and no usual size gives its "
    "508.72 under any usual rule; this one comes within 0.1 % of it for the baseline. Its absolute "
    "GFLOPs are therefore not reproduced; what a part adds to its baseline is comparable.",
    "The baseline's parameters tell what it is: DeepLabV3+ on ResNet-50 of width 128, with clicks "
    "added to the stem (Conv1S) or joined to the colours (joined=on).",
    "The paper's FDM has a fifth of the parameters of the one CDNet released. The one here has 32 "
    "channels inside and no gate, which fits the paper's counts; it stands at 1/8 and 1/2, where "
    "it does not cost what is printed. Each sign of clicks is counted with its own product of "
    "queries and keys.",
    "+CSFP of ResNet-50: the graphs are light (HSGM fuses by a 1x1 and a separable convolution). "
    "The modules of CSFPN's released code would add 22 % (`isbench models --cost`: csfpn-r50). To "
    "the mini trunk, which is 33 times cheaper, even the light ones add 9 %.",
    "NoC is of the one whole run of a trained network with its card's options; where several runs "
    "fit, the cell is blank.",
)


def table4(published: Sequence[Figure], costs: Mapping[str, Counted], runs: Sequence[Run]) -> Sheet:
    """Return Table 4: costs by `row_name`, and NoC on DAVIS where trained networks were played."""
    printed = {(f.system, f.metric): f.value for f in published if f.table == 4}
    heads = ["System", "Model", "Parameters (paper, M)", "Parameters", "GMAC"]
    heads += ["GFLOPs (paper)", "GFLOPs", "over baseline (paper)", "over baseline"]
    heads += ["NoC@85 (paper)", "NoC@85", "NoC@90 (paper)", "NoC@90"]
    rows = []
    base, base_printed = costs[row_name(*TABLE4[0][1:])], printed["Baseline*", "gflops"]
    for system, model, options in TABLE4:
        if model == "baseline-mini":  # the small family is compared with its own baseline
            base = costs[row_name(model, options)]
        counted = costs[row_name(model, options)]
        gflops = printed.get((system, "gflops"))
        played = measured(runs, counted.options, model, "davis", 20)
        rows.append(
            (
                system,
                row_name(model, options),
                _text(printed.get((system, "params_m")), "g"),
                f"{counted.parameters:,}",
                f"{counted.macs / 1e9:.3f}",
                _text(gflops, ".2f"),
                f"{counted.flops / 1e9:.2f}",
                _over(gflops, base_printed),
                _over(counted.flops, base.flops),
                _text(printed.get((system, "noc@85")), ".2f"),
                played.get("noc@85", ""),
                _text(printed.get((system, "noc@90")), ".2f"),
                played.get("noc@90", ""),
            )
        )
    return Sheet(tuple(heads), tuple(rows), (False, False, *[True] * 11), notes=_NOTES)


def row_name(model: str, options: Mapping[str, str]) -> str:
    """Return a row's model with the options that differ from its card's."""
    told = ", ".join(f"{key}={value}" for key, value in options.items())
    return f"{model} ({told})" if told else model


def measured(
    runs: Sequence[Run], options: Mapping[str, Scalar], model: str, dataset: str, max_clicks: int
) -> Mapping[str, str]:
    """Return the figures of the one whole run of a trained model on a data set, {} without one.

    `options` are those it must have been played with, but for what is left to the data set.
    """
    wanted = {key: value for key, value in options.items() if key not in LEFT_TO_DATA}
    fitting = [
        run
        for run in runs
        if (run.spec.model, run.spec.dataset) == (model, dataset)
        and {key: run.spec.options.get(key) for key in wanted} == wanted
        and run.spec.weights != "random"
        and run.spec.limit is None
        and run.spec.preset == "ritm-2021"
        and run.spec.rules.max_clicks >= max_clicks
    ]
    if len(fitting) != 1:
        return {}
    row = tables.figures(fitting[0], max_clicks)
    return {name: f"{row[name]:.2f}" for name in ("noc@85", "noc@90") if row[name] == row[name]}


def _over(value: float | None, base: float | None) -> str:
    if value is None or base is None or value == base:
        return ""
    return f"{100 * (value / base - 1):+.2f} %"


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
