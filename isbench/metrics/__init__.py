"""Numbers from trajectories and masks. Arrays in, arrays out; no files, no models."""

from isbench.metrics.clicks import (
    Difference,
    Floats,
    area,
    bootstrap,
    clicks_to,
    compare_paired,
    curves,
    find_failures,
    find_failures_ritm,
    image_of,
)

__all__ = [
    "Difference",
    "Floats",
    "area",
    "bootstrap",
    "clicks_to",
    "curves",
    "find_failures",
    "find_failures_ritm",
    "image_of",
    "compare_paired",
]
