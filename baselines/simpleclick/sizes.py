"""The sizes of SimpleClick's networks. Cards read them, so nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of a network."""

    width: int  # channels of a token
    depth: int  # blocks
    heads: int
    patch: int  # pixels of a side
    outputs: tuple[int, int, int, int]  # channels of the pyramid's maps, the finest first
    period: int  # every block of this number, counted from 1, attends to all tokens
    hidden: int = 256  # channels of the head


VIT_B = Sizes(768, 12, 12, 16, (128, 256, 512, 1024), 6)
VIT_L = Sizes(1024, 24, 16, 16, (192, 384, 768, 1536), 6)
VIT_H = Sizes(1280, 32, 16, 14, (240, 480, 960, 1920), 8)
