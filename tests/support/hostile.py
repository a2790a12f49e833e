"""Strategies for fuzzers: JSON values, and values and bytes of which a part is changed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

DEEP = 50_000  # levels
HUGE = 10**400


def texts() -> st.SearchStrategy[str]:
    """Return any text, halves of surrogates and control characters too."""
    return st.text(st.characters(exclude_categories=()), max_size=12)


def numbers() -> st.SearchStrategy[Any]:
    """Return numbers, small, huge, negative, and those that JSON should not have."""
    odd = [0, 1, -1, 2**31, 2**63, 2**64, 10**9, HUGE, -HUGE, 0.5, 1e308, -0.0]
    return st.one_of(
        st.sampled_from([*odd, float("inf"), float("nan")]), st.integers(), st.floats()
    )


def json_values() -> st.SearchStrategy[Any]:
    """Return any value that a JSON file may hold, a few levels deep."""
    leaves = st.one_of(st.none(), st.booleans(), numbers(), texts())
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
        max_leaves=8,
    )


@st.composite
def change(draw: st.DrawFn, value: Any) -> Any:
    """Return a JSON value of which one part, at any depth, is another value or gone."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 6)):
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: draw(change(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        if not draw(st.integers(0, 6)):
            return value[:at] + value[at + 1 :]
        return [*value[:at], draw(change(value[at])), *value[at + 1 :]]
    return draw(json_values())


@st.composite
def corrupt(draw: st.DrawFn, data: bytes) -> bytes:
    """Return bytes of which some are changed, cut, repeated or inserted."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(found) - 1)))
        end = draw(st.integers(at, min(len(found), at + 64)))
        found[at:end] = draw(
            st.one_of(st.binary(max_size=16), st.just(bytes(found[at:end]) * 2), st.just(b""))
        )
    return bytes(found)


def encode(value: Any) -> bytes:
    """Return a value as JSON, with halves of surrogates as escapes."""
    return json.dumps(value).encode()


def nest(levels: int = DEEP, brackets: str = "[]") -> bytes:
    """Return JSON of many levels."""
    return (brackets[0] * levels + brackets[1] * levels).encode()
