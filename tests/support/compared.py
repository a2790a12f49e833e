"""Runs that need given numbers of clicks, to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isbench.storage.records import decode_trajectories
from isbench.storage.store import Run
from isbench.types import Rules, Spec
from tests.support.toys import trajectory

MOST = 20


def make_run(
    clicks: Sequence[int], model: str = "model", dataset: str = "made", images: int | None = None
) -> Run:
    """Return a run whose objects reach IoU 0.95 at these clicks; above 20: never.

    Every object is on an image of its own, or on one of the first `images`.
    """
    count = len(clicks) if images is None else images
    games = [
        trajectory(f"image{n % count:03d}#{n}", [0.5] * min(MOST, c - 1) + [0.95] * (MOST + 1 - c))
        for n, c in enumerate(clicks)
    ]
    spec = Spec(
        model=model, version="1", libraries={}, options={}, weights=None, dataset=dataset,
        limit=None, objects=len(clicks), keys="keys", fingerprint=f"content of {dataset}",
        decoder="none", preset="ritm-2021", preset_digest="", rules=Rules(MOST, 1.01),
        backend=None, precision=None, threads=1,
    )  # fmt: skip
    digest = f"{sum(map(ord, model + dataset)):012x}"
    path = Path(dataset, f"{model}-{digest}.jsonl.gz")
    return Run(spec, decode_trajectories(games), True, path, {}, ())
