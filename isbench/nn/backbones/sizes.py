"""Sizes of backbones and of their inputs. Cards read them, so nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from isbench.types import Scalar


class Sizes(NamedTuple):
    """The sizes of an HRNet."""

    width: int  # channels of the finest branch
    ocr: int  # half the number of context channels
    bottlenecks: int  # blocks before the branches
    blocks: int  # per branch and module
    modules: tuple[int, int, int]  # in stages 2, 3 and 4


W18S = Sizes(18, 48, 2, 2, (1, 3, 2))
W18 = Sizes(18, 64, 4, 4, (1, 4, 3))
W32 = Sizes(32, 128, 4, 4, (1, 4, 3))

# longer side of the whole image and of crops as models on Mini see them, in pixels: they are
# trained at 256 and less; these were chosen among 256, 320, 400 and the image's own on 40 held-out
# objects
MINI_SIDES: Mapping[str, Scalar] = {"overview": 256, "zoom_target": 320}
# the same for models on LiteTrunk, chosen by the games of ritm-lite on 120 held-out objects
# (results/training/trials.csv)
LITE_SIDES: Mapping[str, Scalar] = {"overview": 256, "zoom_target": 400}
# side of FocusCut's views on LiteTrunk: of 192, 256, 320 and 400 pixels, chosen on the same objects
# by its own games (results/training/focuscut.csv)
LITE_VIEW = 256
