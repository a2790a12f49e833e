"""What CSFPN's networks consist of, and its options. Cards read it, so no import of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isbench.nn.trunk import Trunk

SWITCHES = {"sgm": True, "hsgm": True, "g2l": True}  # of the paper's Table 3
# first clicks with a pass over the whole image; 0: all clicks, as in the paper
GLOBAL_CLICKS = {"global_clicks": 0}


@dataclass(frozen=True)
class PropagationConfig:
    """Which graph modules propagate clicks, and their sizes."""

    sgm: bool = True
    hsgm: bool = True
    heads: int = 3  # of SGM
    reduction: int = 3  # channels divided by key channels of the attention
    light: bool = False  # HSGM with the cheap fusion of Table 4 instead of the released code's
    out: int | None = None  # channels of HSGM's output; None: those of the trunk
    released: bool = False  # treat clicks at the border like the released code
    inserted: bool = False  # the modules are added to a trained network and start without effect


@dataclass(frozen=True)
class CsfpnConfig:
    """The configuration of a network."""

    trunk: Callable[[], Trunk]
    graphs: PropagationConfig
    previous_mask: bool = True
