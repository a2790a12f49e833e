"""The overlap of two masks, against its definition pixel by pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isbench.metrics import count_overlap


@given(st.integers(0, 2**16), st.integers(1, 9), st.integers(1, 9))
def test_ignored_pixels_are_in_neither_count(seed: int, rows: int, cols: int) -> None:
    rng = np.random.default_rng(seed)
    mask, truth, ignore = rng.random((3, rows, cols)) < rng.random((3, 1, 1))
    truth &= ~ignore
    pixels = [(mask[at], truth[at]) for at in np.ndindex(rows, cols) if not ignore[at]]
    wanted = sum(a and b for a, b in pixels), sum(a or b for a, b in pixels)
    assert count_overlap(mask, truth, ignore) == wanted
