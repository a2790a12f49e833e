"""Numbers from trajectories and masks. Arrays in, arrays out; no files, no models."""

from isbench.metrics.clicks import (
    Difference,
    Floats,
    area,
    bootstrap,
    clicks_to,
    curves,
    failed,
    failed_ritm,
    image_of,
    paired,
)

__all__ = [
    "Difference",
    "Floats",
    "area",
    "bootstrap",
    "clicks_to",
    "curves",
    "failed",
    "failed_ritm",
    "image_of",
    "paired",
]
