"""YAML text of plain values: only what the exports write, so that no library is needed.

Texts are always in double quotes, so nothing in them is read as a number, a date or a tag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_PLAIN_KEY = re.compile(r"[a-z][a-z0-9_-]*")
# read as other values than texts
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def format_yaml(value: Any) -> str:
    """Return the YAML of mappings with text keys, lists, texts, finite numbers, bools and None."""
    return "\n".join(_list_lines(value)) + "\n"


def _list_lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _list_entry(f"{_format_key(key)}:", item)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for item in value:
            first, *rest = _list_lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _format_scalar(value)


def _list_entry(head: str, item: Any) -> Iterator[str]:
    lines = list(_list_lines(item))
    if isinstance(item, (Mapping, list, tuple)) and item:
        yield head
        yield from (f"  {line}" for line in lines)
    else:
        yield f"{head} {lines[0]}"


def _format_key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) and key not in _WORDS else _quote(key)


def _format_scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        # without an exponent, which YAML 1.1 reads as text
        return np.format_float_positional(value, trim="0")
    return "{}" if isinstance(value, Mapping) else "[]"


def _quote(text: str) -> str:
    """Return a text in double quotes; what cannot be printed becomes an escape."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(
        one if one.isprintable() else f"\\U{ord(one):08x}"  # YAML has no pairs of surrogates
        for one in quoted
    )
