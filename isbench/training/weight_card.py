"""The card in a weight file: its recipe, data, licence, steps and validation. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from isbench.errors import IsbenchError
from isbench.files.json_text import parse_json

CARD = "card"  # the only key of the file's metadata: the order of several would not be stable


def read_card(path: Path) -> dict[str, str]:
    """Return the card of a weight file; raises IsbenchError for a file without a readable one."""
    card = _find_card(path)
    if card is None:
        raise IsbenchError(f"weights {path} have no card; wanted a file written by `isbench train`")
    return card


def read_origin(path: Path) -> str:
    """Return the origin that the card of a weight file names, "" without a card.

    Raises IsbenchError for a damaged card, which may have named one.
    """
    return (_find_card(path) or {}).get("origin", "")


def _find_card(path: Path) -> dict[str, str] | None:
    try:
        with safe_open(path, "np") as file:
            text = (file.metadata() or {}).get(CARD)
        if text is None:
            return None
        card: Any = parse_json(text)
        if not isinstance(card, dict) or not all(isinstance(one, str) for one in card.values()):
            raise ValueError("it is not texts by name")
    except (OSError, SafetensorError, ValueError) as error:
        raise IsbenchError(
            f"the card of weights {path} cannot be read ({error}); wanted a file written by "
            "`isbench train`"
        ) from error
    return card
