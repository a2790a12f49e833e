"""The card in a weight file: its recipe, data, licence, steps and validation. No torch."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from isbench.errors import IsbenchError
from isbench.files.json_text import parse_json

CARD = "card"  # the only key of the file's metadata: the order of several would not be stable


def read_card(path: Path) -> dict[str, str]:
    """Return the card of a weight file; raises IsbenchError for a file without one."""
    try:
        with safe_open(path, "np") as file:
            card: dict[str, str] = parse_json((file.metadata() or {})[CARD])
        if not all(isinstance(value, str) for value in card.values()):
            raise ValueError("a value is not a string")
    except (OSError, SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise IsbenchError(
            f"weights {path} have no card ({error}); wanted a file written by `isbench train`"
        ) from error
    return card


def origin_of(path: Path) -> str:
    """Return the origin that the card of a weight file names, "" without a card."""
    try:
        return read_card(path).get("origin", "")
    except IsbenchError:
        return ""
