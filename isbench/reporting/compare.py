"""Paired comparison of two runs over the same objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from isbench import metrics
from isbench.errors import IsbenchError
from isbench.reporting.tables import NOC_TARGETS
from isbench.storage import store
from isbench.storage.store import Run


@dataclass(frozen=True)
class Comparison:
    """The differences of two runs: one row per figure, and the objects, most different first."""

    rows: tuple[tuple[str, tuple[float, float], metrics.Difference], ...]  # name, means, difference
    differing: tuple[tuple[str, int, int], ...]  # key, clicks of A and of B
    notes: tuple[str, ...]


def compare(a: Run, b: Run) -> Comparison:
    """Compare NoC in pairs, for the budget and the targets that both runs cover.

    Raises IsbenchError if the runs are over different objects or data, or share no target.
    """
    games_a = {trajectory.key: trajectory for trajectory in a.trajectories}
    games_b = {trajectory.key: trajectory for trajectory in b.trajectories}
    if games_a.keys() != games_b.keys():
        raise IsbenchError(
            f"runs {run_title(a)} and {run_title(b)} have "
            f"{len(games_a.keys() & games_b.keys())} objects in common of {len(games_a)} and "
            f"{len(games_b)}; wanted the same objects"
        )
    for what in ("dataset", "fingerprint"):
        if getattr(a.spec, what) != getattr(b.spec, what):
            raise IsbenchError(
                f"runs {run_title(a)} and {run_title(b)} are over different data ({what} "
                f"{getattr(a.spec, what)} and {getattr(b.spec, what)}); wanted the same data"
            )
    stop = min(a.spec.rules.stop_iou, b.spec.rules.stop_iou)
    targets = [target for target in NOC_TARGETS if target <= stop]
    if not targets:
        raise IsbenchError(f"a run stopped at IoU {stop:g}; wanted 0.80 or more to compare NoC")
    keys = sorted(games_a)
    budget = min(a.spec.rules.max_clicks, b.spec.rules.max_clicks)
    iou_a = metrics.curves([games_a[key] for key in keys], budget)
    iou_b = metrics.curves([games_b[key] for key in keys], budget)
    images = [metrics.image_of(key) for key in keys]
    rows = []
    for target in targets:
        noc_a, noc_b = metrics.clicks_to(iou_a, target), metrics.clicks_to(iou_b, target)
        difference = metrics.compare_paired(noc_a.astype(float), noc_b.astype(float), images)
        name = f"NoC_{budget}@{100 * target:.0f}"
        rows.append((name, (float(noc_a.mean()), float(noc_b.mean())), difference))
    return Comparison(tuple(rows), _list_differing(keys, noc_a, noc_b), tuple(_list_notes(a, b)))


def run_title(run: Run) -> str:
    """Return a title of a run: model, data set and digest."""
    return f"{run.spec.model} on {run.spec.dataset} ({store.digest_of_path(run.path)})"


def _list_differing(
    keys: list[str], a: NDArray[np.int64], b: NDArray[np.int64]
) -> tuple[tuple[str, int, int], ...]:
    order = sorted(range(len(keys)), key=lambda k: (-abs(int(a[k]) - int(b[k])), keys[k]))
    return tuple((keys[k], int(a[k]), int(b[k])) for k in order if a[k] != b[k])


def _list_notes(a: Run, b: Run) -> Iterator[str]:
    fields_a, fields_b = asdict(a.spec), asdict(b.spec)
    fields_a.update(fields_a.pop("rules"))
    fields_b.update(fields_b.pop("rules"))
    of_model = {"model", "version", "libraries", "options", "weights"}
    skipped = {"preset_digest", "limit"}
    for name in fields_a:
        relevant = name not in skipped and (name not in of_model or a.spec.model == b.spec.model)
        if relevant and fields_a[name] != fields_b[name]:
            yield f"{name} differs: {fields_a[name]} and {fields_b[name]}"
