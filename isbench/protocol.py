"""Presets and protocols by name, and when a game ends: one rule to play, read and shorten games.

A preset fixes the clicker, whether a perfect mask ends a game, and whether objects without a
scored pixel are refused. A protocol is a published evaluation: a preset with a budget, data sets
and figures. A model's threshold, zoom and
flip are options of the model. See docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

from isbench.errors import IsbenchError, make_unknown_error
from isbench.types import Rules


@dataclass(frozen=True)
class Preset:
    """The rules that a preset fixes, and their meaning in one sentence."""

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
            text="like the RITM evaluator: a game continues after a perfect mask",
        ),
        "strict": Preset(
            clicker="centre",
            end_on_perfect=True,
            reject_empty=True,
            text="a perfect mask ends the game; an object without a scored pixel is rejected",
        ),
    }
)


@dataclass(frozen=True)
class Protocol:
    """The rules, data sets and figures of a published evaluation, and its purpose in a few words.

    It is no part of a run's identity: a run that was played by the same rules has its figures.
    """

    preset: str
    max_clicks: int
    stop_iou: float
    datasets: tuple[str, ...]
    figures: tuple[str, ...]  # keys of metrics, in the order of its table
    text: str


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "hq": Protocol(  # SegNext, arXiv:2404.00741
            preset="ritm-2021",
            max_clicks=20,
            stop_iou=1.01,
            datasets=("hqseg44k", "davis"),
            figures=("iou@5", "noc@90", "noc@95", "nof@95", "nof_ritm@95"),
            text="high quality: figures at an IoU of 0.95 and after 5 clicks",
        ),
        "correction": Protocol(  # FocalClick, arXiv:2204.02574
            preset="ritm-2021",
            max_clicks=20,
            stop_iou=0.90,
            datasets=("davis585-init", "davis585-zero"),
            figures=("noc@85", "noc@90", "nof@90", "nof_ritm@90"),
            text="correction of given masks, next to games from none",
        ),
    }
)
NEVER = 2.0  # the highest IoU to stop at that a run takes; any above 1 is never reached
CUSTOM = "custom"  # rules that match no preset


def find_preset(name: str) -> Preset:
    """Return the preset of this name; raises IsbenchError with the nearest name."""
    if name not in PRESETS:
        raise make_unknown_error("preset", name, PRESETS, "preset")
    return PRESETS[name]


def find_protocol(name: str) -> Protocol:
    """Return the protocol of this name; raises IsbenchError with the nearest name."""
    if name not in PROTOCOLS:
        raise make_unknown_error("protocol", name, PROTOCOLS, "protocol")
    return PROTOCOLS[name]


def name_preset(rules: Rules) -> str:
    """Return the name of the preset that the rules match, `CUSTOM` if they match none."""
    fixed = (rules.clicker, rules.end_on_perfect, rules.reject_empty)
    for name, preset in PRESETS.items():
        if fixed == (preset.clicker, preset.end_on_perfect, preset.reject_empty):
            return name
    return CUSTOM


def digest_preset(rules: Rules) -> str:
    """Return 12 hex digits that change whenever a setting fixed by the preset changes."""
    fixed = (rules.clicker, rules.end_on_perfect, rules.reject_empty)
    return sha256(repr(fixed).encode()).hexdigest()[:12]


def check_stop_iou(stop_iou: float) -> None:
    """Raise IsbenchError for an IoU to stop at that is a percentage or another slip.

    Rules themselves take any number above 1, since records may have it.
    """
    if stop_iou <= NEVER:
        return
    hint = f"did you mean {_format_share(stop_iou / 100)}?" if stop_iou <= 100 else ""
    raise IsbenchError(
        f"stop_iou is {stop_iou:g}; wanted at most 1, or 1.01 to {NEVER:g} for full games"
        + (f"; {hint}" if hint else ""),
        setting="stop_iou",
    )


def _format_share(share: float) -> str:
    """Return a share with at least two digits, such as 0.90 or 0.875."""
    return f"{share:.2f}" if round(share, 2) == round(share, 6) else f"{share:.6g}"


def has_full_games(rules: Rules) -> bool:
    """Whether games continue to the last click at any IoU, as IoU@k needs.

    Those of one click always do.
    """
    return rules.stop_iou > 1 or rules.max_clicks == 1


def is_over(overlap: Sequence[tuple[int, int]], rules: Rules) -> bool:
    """Whether a game is over, given (intersection, union) in pixels after each click."""
    intersection, union = overlap[-1]
    reached = union > 0 and intersection / union >= rules.stop_iou
    perfect = rules.end_on_perfect and intersection == union
    return reached or perfect or len(overlap) >= rules.max_clicks


def count_clicks(overlap: Sequence[tuple[int, int]], rules: Rules) -> int | None:
    """Return the number of clicks after which the game is over, None if it is not over."""
    for count in range(1, len(overlap) + 1):
        if is_over(overlap[:count], rules):
            return count
    return None
