"""The ablation (Table 3) with this project's small networks: its rows, and the effect of each part.

The rows take part in Table 4 as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from isbench import metrics
from isbench.papers import Question, Row
from isbench.papers.accuracy import name_dataset
from isbench.papers.cells import Cell
from isbench.reporting.tables import collect_games
from isbench.storage.store import Run


def make_row(part: str, model: str, *off: str) -> Row:
    """Return a row of the ablation on the mini trunk, with weights named after the part they add.

    Only these weights are comparable: they share the training budget and the initial weights.
    """
    options = [(key, "off") for key in off]
    if model == "csfpn-mini":
        options.append(("overview", "256"))  # as for the base segmenter
    return Row("", model=model, options=tuple(options), weights=f"ablation-{part}")


BS = make_row("bs", "ritm-mini")
FDM = make_row("fdm", "baseline-mini-fdm")
SGM = make_row("sgm", "csfpn-mini", "hsgm", "g2l")
HSGM = make_row("hsgm", "csfpn-mini", "g2l")
G2L = make_row("hsgm", "csfpn-mini")  # G2L changes inference only and has no weights
ABLATION = (BS, FDM, SGM, HSGM, G2L)
# pairs of rows that differ by one part
STEPS = ((BS, FDM), (BS, SGM), (FDM, SGM), (SGM, HSGM), (HSGM, G2L))


def describe_steps(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the effect of each part of the ablation, paired over the objects of a data set."""
    for question in dict.fromkeys(cell.question for cell in cells):
        here = {cell.row: cell for cell in cells if cell.question == question}
        for before, after in STEPS:
            if before in here and after in here:
                yield from _describe_step(here[before], here[after])


def _describe_step(before: Cell, after: Cell) -> Iterator[str]:
    a, b = before.selection.run, after.selection.run
    if a is None or b is None or a.spec.fingerprint != b.spec.fingerprint:
        return
    noc_a, noc_b = (_noc(run, before.question) for run in (a, b))
    images = [metrics.image_of(key) for key in sorted(noc_a)]
    first, second = ([noc[key] for key in sorted(noc_a)] for noc in (noc_a, noc_b))
    d = metrics.compare_paired(_floats(second), _floats(first), images)
    interval = f" [{d.low:+.2f}, {d.high:+.2f}]" if d.low == d.low else ""
    yield (
        f"{name_dataset(before.question.dataset)}: {after.row.name} minus {before.row.name} is "
        f"{d.mean:+.2f}{interval} clicks, paired, p {d.p_value:.4f}."
    )


def _noc(run: Run, question: Question) -> dict[str, int]:
    games = collect_games(run, question.max_clicks)
    clicks = metrics.compute_values(metrics.find_metric(question.metric), games)
    assert clicks is not None  # a run that does not play to the target does not fit the question
    return {game.key: int(count) for game, count in zip(run.trajectories, clicks, strict=True)}


def _floats(values: Sequence[int]) -> metrics.Floats:
    return np.asarray(values, dtype=np.float64)
