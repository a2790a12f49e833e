"""The masks that `isbench run --save-masks` saves next to a run: one line per game.

Not here: masks as bytes (`masks`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from isbench.errors import IsbenchError, Remedy
from isbench.files.atomic import make_write_error
from isbench.files.json_text import parse_json
from isbench.files.limits import read_lines
from isbench.storage import records, store

_LINE = 1 << 26  # most bytes of a line: the masks of a game


def append(path: Path, key: str, masks: Sequence[Mapping[str, Any]], remedy: Remedy) -> None:
    """Append the masks of a game, one per click, as COCO run lengths.

    Raises IsbenchError with the remedy if the disk fails.
    """
    counts = [mask["counts"] for mask in masks]
    line = records.format_line({"key": key, "size": masks[0]["size"], "masks": counts})
    file = store.locate_companion(path, store.MASKS)
    try:
        with file.open("ab") as out:
            # the line starts with its line break: a torn line damages no other
            out.write(b"\n" + line.rstrip(b"\n"))
    except OSError as error:
        raise make_write_error(file, error, remedy) from error


def find_fault(path: Path, keys: Sequence[str]) -> str:
    """Return which masks of these objects were not saved with a run, "" if all were."""
    if not store.locate_companion(path, store.MASKS).exists():
        return "it was played without saving masks"
    lost = len(keys) - len(read(path, frozenset(keys)))
    return f"its saved masks of {lost} of {len(keys)} objects cannot be read" if lost else ""


def read(path: Path, keys: Container[str]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the masks of these objects that were saved with a run, one per click.

    They are COCO run lengths, not checked: `masks.decode_rle` raises ValueError for broken ones.
    """
    found = {}
    with suppress(IsbenchError):  # an unreadable file: the masks are recomputed
        for line in read_lines(store.locate_companion(path, store.MASKS), _LINE, torn=True):
            with suppress(ValueError, KeyError, TypeError):  # a torn line: recomputed too
                record = parse_json(line)
                if record["key"] in keys:
                    size = record["size"]
                    found[record["key"]] = [
                        {"size": size, "counts": one} for one in record["masks"]
                    ]
    return found
