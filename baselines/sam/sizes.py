"""The sizes of the image encoders. Cards read them, so nothing here imports torch."""

from __future__ import annotations

from typing import NamedTuple


class Vit(NamedTuple):
    """The size of an image encoder of SAM or HQ-SAM."""

    width: int
    depth: int
    heads: int
    whole: tuple[int, ...]  # the blocks whose attention spans the image; the others see windows


VIT_B = Vit(768, 12, 12, (2, 5, 8, 11))
VIT_L = Vit(1024, 24, 16, (5, 11, 17, 23))
VIT_H = Vit(1280, 32, 16, (7, 15, 23, 31))


class Hiera(NamedTuple):
    """The size of an image encoder of SAM 2."""

    width: int  # of the first stage; it doubles from stage to stage, as the heads do
    heads: int
    blocks: tuple[int, ...]  # in each stage
    whole: tuple[int, ...]  # the blocks whose attention spans the image; the others see windows
    windows: tuple[int, ...] = (8, 4, 14, 7)  # their sides in each stage
    positions: int = 7  # rows and columns of the table of positions


TINY = Hiera(96, 1, (1, 2, 7, 2), (5, 7, 9))
SMALL = Hiera(96, 1, (1, 2, 11, 2), (7, 10, 13))
BASE_PLUS = Hiera(112, 2, (2, 3, 16, 3), (12, 16, 20), positions=14)
LARGE = Hiera(144, 2, (2, 6, 36, 4), (23, 33, 43), (8, 4, 16, 8))
