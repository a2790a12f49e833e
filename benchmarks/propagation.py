"""Measure the cost of propagation: SGM and HSGM from clicks, against FDM between all cells.

Writes seconds and megabytes for numbers of cells N of the finer map and of clicks M to
results/propagation.csv, and draws docs/propagation.png from it, with fitted slopes. Only the ratios
within one run are meaningful.

    python -m benchmarks.propagation
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from baselines.fdm import Fdm
from csfpn.propagation import Hsgm, Sgm, find_clicked_cells, gather, spread

CHANNELS, LOW, REDUCTION = 128, 128, 4  # of Table 4's baseline on ResNet-50
SIDES = (32, 48, 64, 96, 128, 192)  # side of the square map at 1/2; N is its square
CLICKS = (1, 2, 5, 10, 20, 50, 100)
SIDE, CLICK = 96, 20  # fixed while the other varies
RUNS = 25
GRAPHS, DIFFUSION, ATTENTION = "SGM + HSGM", "FDM", "attention of HSGM alone"
ROOT = Path(__file__).parents[1]
RECORD, OUT = ROOT / "results" / "propagation.csv", ROOT / "docs" / "propagation.png"


class Measurement(NamedTuple):
    """The cost of a call."""

    seconds: float  # the minimum of several runs
    megabytes: float  # peak allocation, without weights and inputs


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tracks the bytes of live tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.allocated = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = op(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._allocate(tensor.untyped_storage())
        return out

    def _allocate(self, storage: Any) -> None:
        pointer, size = storage.data_ptr(), storage.nbytes()
        if pointer in self._known or not size:
            return
        self._known.add(pointer)
        self.allocated += size
        self.most = max(self.most, self.allocated)
        weakref.finalize(storage, self._free, pointer, size)

    def _free(self, pointer: int, size: int) -> None:
        self._known.discard(pointer)
        self.allocated -= size


def measure(call: Callable[[], Any]) -> Measurement:
    with torch.inference_mode():
        call()
        seconds = []
        for _ in range(RUNS):
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
    with torch.no_grad(), Peak() as peak:
        call()
    return Measurement(min(seconds), peak.most / 2**20)


def make_clicks(count: int, side: int) -> Tensor:
    """Return (1, count, 3) points spread over the input of a map of `side` cells at 1/2."""
    places = np.random.default_rng(0).integers(0, 2 * side, (1, count, 2))
    orders = np.arange(count)[None, :, None]
    return torch.tensor(np.concatenate([places, orders], axis=2), dtype=torch.float32)


def make_graphs(side: int, count: int) -> Callable[[], Any]:
    sgm, hsgm = Sgm(CHANNELS, REDUCTION, 1).eval(), Hsgm(CHANNELS, LOW, REDUCTION, True).eval()
    for module in (*sgm.atts, hsgm):
        nn.init.constant_(module.gamma, 0.3)
    table, half = make_clicks(count, side), side // 2
    high, low = torch.rand(1, CHANNELS, half, half), torch.rand(1, LOW, side, side)

    def call() -> Tensor:
        features = sgm(high, find_clicked_cells(table, (half, half), 4))
        out: Tensor = hsgm(features, low, find_clicked_cells(table, (side, side), 2))
        return out

    return call


def make_attention(side: int, count: int) -> Callable[[], Any]:
    """Return the attention of HSGM alone, the part whose cost grows with the clicks."""
    at = find_clicked_cells(make_clicks(count, side), (side, side), 2)
    query, value = (
        torch.rand(1, CHANNELS // REDUCTION, side, side),
        torch.rand(1, CHANNELS, side, side),
    )
    key, clicked = gather(query, at), gather(value, at)
    return lambda: spread(query, key, clicked, at.counts)


def make_diffusion(side: int) -> Callable[[], Any]:
    fdm, x = Fdm(CHANNELS, 32, gated=False).eval(), torch.rand(1, CHANNELS, side, side)
    near = torch.rand(1, 2, side, side)
    return lambda: fdm(x, near)


def fit_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the exponent of a power law y(x) fitted to all points."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def measure_all() -> pd.DataFrame:
    """Return a row per measured call: what, cells N, clicks M, seconds, megabytes."""
    calls: list[tuple[str, int, int, Callable[[], Any]]] = []
    for side in SIDES:
        calls.append((GRAPHS, side, CLICK, make_graphs(side, CLICK)))
        calls.append((DIFFUSION, side, CLICK, make_diffusion(side)))
    for count in CLICKS:
        if count != CLICK:
            calls.append((GRAPHS, SIDE, count, make_graphs(SIDE, count)))
        calls.append((ATTENTION, SIDE, count, make_attention(SIDE, count)))
    rows = [(what, side * side, count, *measure(call)) for what, side, count, call in calls]
    measured: pd.DataFrame = pd.DataFrame(
        rows, columns=["what", "cells", "clicks", *Measurement._fields]
    )
    return measured


def draw(measured: pd.DataFrame) -> Figure:
    """Draw seconds and megabytes against N, on the left, and against M."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), constrained_layout=True)
    for (left, right), field, unit in zip(
        axes, Measurement._fields, ("seconds", "MB"), strict=True
    ):
        for what in (GRAPHS, DIFFUSION):
            rows = measured.query("what == @what and clicks == @CLICK").sort_values("cells")
            power = fit_slope(rows["cells"], rows[field])
            left.loglog(rows["cells"], rows[field], "o-", label=f"{what}: grows as N^{power:.2f}")
        for what in (GRAPHS, ATTENTION):
            rows = measured.query("what == @what and cells == @SIDE ** 2").sort_values("clicks")
            per, fixed = np.polyfit(rows["clicks"], rows[field], 1)
            fit = np.corrcoef(rows["clicks"], rows[field])[0, 1] ** 2
            label = f"{what}: {fixed:.3g} + {per:.2g} M (R² {fit:.3f})"
            right.plot(rows["clicks"], rows[field], "o-", label=label)
        (dense,) = measured.query("what == @DIFFUSION and cells == @SIDE ** 2")[field]
        right.axhline(dense, color="C3", linestyle="--", label="FDM, any M")
        right.set_yscale("log")
        left.set(xlabel="cells N of the map at 1/2", ylabel=unit, title=f"M = {CLICK} clicks")
        right.set(xlabel="clicks M", ylabel=unit, title=f"N = {SIDE**2} cells")
        for axis in (left, right):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
    figure.suptitle(
        "Time: propagation from clicks is linear in N and in M, dense diffusion quadratic in N.\n"
        "Diffusion is computed as attention that never holds its N x N products, hence its memory."
    )
    return figure


def main() -> None:
    torch.set_num_threads(1)
    measured = measure_all()
    measured.to_csv(RECORD, index=False, float_format="%.6g", lineterminator="\n")
    print(measured.to_string())
    draw(pd.read_csv(RECORD)).savefig(OUT, dpi=110)
    print(f"wrote {RECORD.name} and {OUT.name}")


if __name__ == "__main__":
    main()
