"""The masks that `isbench run --save-masks` saves next to a run: one line per game.

Not here: masks as bytes (`masks`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isbench.storage import records, store


def append(path: Path, key: str, masks: Sequence[Mapping[str, Any]]) -> None:
    """Append the masks of a game, one per click, as COCO run lengths; raises OSError."""
    counts = [mask["counts"] for mask in masks]
    line = records.format_line({"key": key, "size": masks[0]["size"], "masks": counts})
    with store.companion_path(path, store.MASKS).open("ab") as file:
        # the line starts with its line break: a torn line damages no other
        file.write(b"\n" + line.rstrip(b"\n"))


def read(path: Path) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the masks saved with a run by key, one per click, as COCO run lengths."""
    try:
        lines = store.companion_path(path, store.MASKS).read_bytes().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        try:
            record = json.loads(line)
            size = record["size"]
            found[record["key"]] = [{"size": size, "counts": one} for one in record["masks"]]
        except (ValueError, KeyError, TypeError):
            continue  # a torn line: the masks of this game are recomputed
    return found
