"""JSON from files and requests, read so that whatever is wrong is a ValueError, and flattened."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any


def parse_json(
    text: str | bytes, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Return the value of a JSON text; `object_pairs_hook` is that of `json.loads`.

    Raises ValueError for text that is not JSON, is nested too deeply to be read, contains an
    integer of thousands of digits, or a string that no UTF-8 file can contain (half of a pair of
    surrogates, which could neither be printed nor written again).
    """
    try:
        raw = isinstance(text, str) and not text.isascii()
        if isinstance(text, bytes):  # strictly: `json.loads` would let surrogates pass
            text = text.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=object_pairs_hook)
        if raw or "\\ud" in text or "\\uD" in text:  # may have surrogates; texts may be large
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"it contains {error.object[error.start]!a}, which is no text") from None
    except ValueError as error:
        if "sys.set_int_max_str_digits" in str(error):  # advice to programmers
            raise ValueError("it contains a number of thousands of digits") from None
        raise
    return value


def refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the entry of these fields, for `parse_json`; raises ValueError for one that repeats.

    JSON permits it, and readers take the last one.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an entry has the field {twice!a:.60} twice")
    return found


def is_text(name: str) -> bool:
    """Return whether UTF-8 can encode a string: the name of a file may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def flatten_json(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return the values of an object and of those in it, by their keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            flatten_json(value, f"{before}{key}.")
            if isinstance(value, dict)
            else {f"{before}{key}": value}
        )
    return flat
