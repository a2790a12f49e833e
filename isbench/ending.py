"""When a game ends. One rule for who plays it, who reads it back and who cuts it short."""

from __future__ import annotations

from collections.abc import Sequence

from isbench.types import Rules


def over(overlap: Sequence[tuple[int, int]], rules: Rules) -> bool:
    """Whether a game with these (intersection, union) after each click is over."""
    intersection, union = overlap[-1]
    reached = union > 0 and intersection / union >= rules.stop_iou
    perfect = rules.end_on_perfect and intersection == union
    return reached or perfect or len(overlap) >= rules.max_clicks


def length(overlap: Sequence[tuple[int, int]], rules: Rules) -> int | None:
    """Return after how many of these clicks the game was over, None if it still goes on."""
    for count in range(1, len(overlap) + 1):
        if over(overlap[:count], rules):
            return count
    return None
