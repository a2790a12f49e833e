"""Names of installed models for tests of every one; heavy networks run with the slow tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

# networks whose passes take seconds on a CPU
HEAVY = (
    "adaptation-",
    "fbrs-",
    "fcanet-",
    "focalclick-hrnet32",
    "focuscut-",
    "sam",
    "simpleclick-",
)


def mark_heavy(names: Iterable[str]) -> list[Any]:
    """Return the names as parameters of a test; those of heavy networks are marked slow."""
    return [
        pytest.param(name, marks=pytest.mark.slow) if name.startswith(HEAVY) else name
        for name in names
    ]
