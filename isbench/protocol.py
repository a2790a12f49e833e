"""Protocols by name, and when a game ends: one rule for playing, reading back and cutting short.

A preset covers the clicker, the ending and what counts as a failure; a model's threshold, zoom and
flip are its own options. See docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

from isbench.errors import unknown
from isbench.types import Rules


@dataclass(frozen=True)
class Preset:
    """What a named protocol fixes, and in a sentence what that means."""

    clicker: str
    end_on_perfect: bool
    reject_empty: bool
    text: str


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "ritm-2021": Preset(
            clicker="centre",
            end_on_perfect=False,
            reject_empty=False,
            text="as the RITM evaluator: a game goes on after a perfect mask",
        ),
        "strict": Preset(
            clicker="centre",
            end_on_perfect=True,
            reject_empty=True,
            text="a perfect mask ends the game; an object without a scored pixel is refused",
        ),
    }
)
CUSTOM = "custom"  # rules that no preset stands for


def find_preset(name: str) -> Preset:
    """Return the preset of this name; raises IsbenchError with the nearest name."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]


def preset_name(rules: Rules) -> str:
    """Return the name of the preset these rules follow, `CUSTOM` if of none."""
    fixed = (rules.clicker, rules.end_on_perfect, rules.reject_empty)
    for name, one in PRESETS.items():
        if fixed == (one.clicker, one.end_on_perfect, one.reject_empty):
            return name
    return CUSTOM


def preset_digest(rules: Rules) -> str:
    """Return 12 hex digits that change whenever what the preset fixes changes."""
    fixed = (rules.clicker, rules.end_on_perfect, rules.reject_empty)
    return sha256(repr(fixed).encode()).hexdigest()[:12]


def is_over(overlap: Sequence[tuple[int, int]], rules: Rules) -> bool:
    """Whether a game with these (intersection, union) after each click is over."""
    intersection, union = overlap[-1]
    reached = union > 0 and intersection / union >= rules.stop_iou
    perfect = rules.end_on_perfect and intersection == union
    return reached or perfect or len(overlap) >= rules.max_clicks


def count_clicks(overlap: Sequence[tuple[int, int]], rules: Rules) -> int | None:
    """Return after how many of these clicks the game was over, None if it still goes on."""
    for count in range(1, len(overlap) + 1):
        if is_over(overlap[:count], rules):
            return count
    return None
