"""Batches made in advance by background threads, in order.

NumPy and OpenCV release the GIL while they work, so threads suffice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isbench.training.clicks import Points
from isbench.training.samples import Sampler


class Batch(NamedTuple):
    """The samples of one step on one process."""

    numbers: Sequence[int]  # of the samples
    images: NDArray[np.uint8]  # (B, rows, cols, 3) RGB
    targets: NDArray[np.int8]  # (B, rows, cols): 1, 0, -1
    points: Points  # (B, 2K, 3)
    previous: NDArray[np.bool_]  # (B, rows, cols): the masks of focus views, blank for others
    focus: NDArray[np.bool_]  # (B,): which samples are focus views

    def select(self, places: Sequence[int]) -> Batch:
        """Return the samples at these places."""
        rows = list(places)
        return Batch(
            [self.numbers[k] for k in rows],
            self.images[rows],
            self.targets[rows],
            self.points[rows],
            self.previous[rows],
            self.focus[rows],
        )


def make_batch(sampler: Sampler, numbers: range, size: tuple[int, int]) -> Batch:
    """Return the samples with these numbers, stacked."""
    examples = [sampler.make_example(number, size) for number in numbers]
    return Batch(
        numbers,
        np.stack([one.image for one in examples]),
        np.stack([one.target for one in examples]),
        np.stack([one.points for one in examples]),
        np.stack([np.zeros(size, bool) if x.previous is None else x.previous for x in examples]),
        np.array([one.previous is not None for one in examples]),
    )


def prefetch(
    make: Callable[[int], Batch], steps: range, threads: int, most: int = 4
) -> Generator[Batch, None, None]:
    """Yield `make(step)` for every step in order, making up to `most` (or `threads`) in advance."""
    with ThreadPoolExecutor(threads, thread_name_prefix="samples") as pool:
        pending: deque[Future[Batch]] = deque()
        try:
            for step in steps:
                pending.append(pool.submit(make, step))
                if len(pending) >= max(most, threads):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
