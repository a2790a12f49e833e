"""Batches made in advance by background threads, in order.

NumPy and OpenCV release the GIL while they work, so threads suffice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isbench.training.clicks import Points
from isbench.training.samples import Sampler


class Batch(NamedTuple):
    """The samples of one step on one process."""

    numbers: range  # of the samples
    images: NDArray[np.uint8]  # (B, rows, cols, 3) RGB
    targets: NDArray[np.int8]  # (B, rows, cols): 1, 0, -1
    points: Points  # (B, 2K, 3)


def make_batch(sampler: Sampler, numbers: range, size: tuple[int, int]) -> Batch:
    """Return the samples with these numbers, stacked."""
    examples = [sampler.example(number, size) for number in numbers]
    images, targets, points = (np.stack(parts) for parts in zip(*examples, strict=True))
    return Batch(numbers, images, targets, points)


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
