"""Rules from the name of a preset, with the clicker checked and written in one way."""

from __future__ import annotations

from isbench.evaluation.clickers.registry import parse_clicker
from isbench.protocol import check_stop_iou, find_preset
from isbench.types import Rules


def rules(
    preset: str = "ritm-2021",
    *,
    max_clicks: int = 20,
    stop_iou: float = 0.90,
    clicker: str | None = None,
    seed: int = 0,
) -> Rules:
    """Return the rules of a preset, as `isbench run` plays by them.

    Parameters
    ----------
    preset : str
        The protocol: ritm-2021 or strict (docs/protocol.md).
    max_clicks : int
        Maximum clicks per object, 1 to 1000.
    stop_iou : float
        The IoU at which a game ends; above 1, up to 2: never, which gives full games.
    clicker : str or None
        The simulated user, a name with parameters as in "jitter:2"; None: that of the preset.
    seed : int
        Random seed for stochastic clickers.

    Returns
    -------
    Rules
        With the canonical text of the clicker.

    Raises
    ------
    IsbenchError
        For an unknown preset or clicker, wrong parameters, and values that no game can follow.
    """
    fixed = find_preset(preset)
    check_stop_iou(stop_iou)
    return Rules(
        max_clicks=max_clicks,
        stop_iou=stop_iou,
        end_on_perfect=fixed.end_on_perfect,
        reject_empty=fixed.reject_empty,
        clicker=parse_clicker(fixed.clicker if clicker is None else clicker).text,
        seed=seed,
    )
