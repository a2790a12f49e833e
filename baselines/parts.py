"""The optional parts of Table 4's base segmenter. Cards read them, so no import of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """The optional parts of the base segmenter, in addition to its trunk."""

    low: bool = False  # diffusion at 1/8
    high: bool = False  # diffusion at 1/2, where the head is then placed too
    inner: int = 32  # inner channels of both
    gain: float = 1.0  # initial weight of the norms of both; 0 starts without effect
    joined: bool = False  # clicks concatenated with the colours [f-BRS], not added to the stem
