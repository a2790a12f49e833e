"""The IoU targets and the clicks at which figures are given, each in one place."""

from __future__ import annotations

MAIN_TARGET = 0.90  # of plots, progress and pages; games usually end here
USUAL_TARGETS = (0.80, 0.85, MAIN_TARGET)  # what games that end at the main target can tell
TARGETS = (*USUAL_TARGETS, 0.95)  # of NoC
FAILURE_TARGETS = TARGETS[1:]  # of NoF
IOU_AT = (1, 3, 5, 10, 20)  # clicks k of IoU@k
LONG_BUDGET, LONG_TARGET = 100, 0.95  # of the NoC of long games [FocSAM]


def limit_target(stop_iou: float) -> float:
    """Return the main target, or the IoU at which games stop if that is lower."""
    return min(MAIN_TARGET, stop_iou)


def format_percent(target: float) -> str:
    """Return a target as names show it: 0.9 is "90"."""
    return f"{100 * target:.0f}"
