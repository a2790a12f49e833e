"""The ablation (Table 3) with this project's networks: which rows and seeds it has.

All rows are on EfficientNet-Lite0, trained from the same weights with the same budget. They take
part in Table 4, and some in Table 5. Not here: how Table 3 shows them (`ablation_table`).
"""

from __future__ import annotations

from typing import NamedTuple

from isbench.papers import Row

SEEDS = (0, 1)  # of the trainings of each row


class Part(NamedTuple):
    """A row of the paper's table, with a row of ours for each seed that it was trained with."""

    name: str
    rows: tuple[Row, ...]  # in the order of SEEDS


def _make_part(name: str, weights: str, model: str, *options: tuple[str, str]) -> Part:
    """Return a part that counts only the weights `ablation-<weights>-s<seed>`."""
    names = (f"ablation-{weights}-s{seed}" for seed in SEEDS)
    return Part(name, tuple(Row("", model=model, options=options, weights=one) for one in names))


BS = _make_part("BS", "bs", "ritm-lite")
FDM = _make_part("BS+FDM", "fdm", "baseline-lite-fdm")
SGM = _make_part("BS+SGM", "sgm", "csfpn-lite", ("hsgm", "off"), ("g2l", "off"))
HSGM = _make_part("BS+SGM+HSGM", "hsgm", "csfpn-lite", ("g2l", "off"))
# G2L changes inference only and has no weights; the paper's is at every click
G2L = _make_part("BS+SGM+HSGM+G2L", "hsgm", "csfpn-lite", ("global_clicks", "0"))

PARTS = (BS, FDM, SGM, HSGM, G2L)  # in the order of the table
ROWS = tuple(row for part in PARTS for row in part.rows)
# pairs whose difference the table prints: one part, or both modules in (BS, HSGM)
STEPS = ((BS, FDM), (BS, SGM), (FDM, SGM), (SGM, HSGM), (BS, HSGM), (HSGM, G2L))
