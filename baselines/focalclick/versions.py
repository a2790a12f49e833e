"""The versions of FocalClick's segmentor. Cards read them, so nothing here imports torch."""

from __future__ import annotations

from typing import NamedTuple


class Version(NamedTuple):
    """What the published versions of the segmentor differ in."""

    name: str  # in the settings of official checkpoints
    radius: float  # of the disks around clicks, in pixels of the inputs
    shrink: int  # the trunk sees the inputs at this fraction of their size


S1 = Version("s1", 2.0, 2)
S2 = Version("s2", 5.0, 1)
