"""Names of installed models for tests of every one; heavy networks run with the slow tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

# networks whose passes take seconds on a CPU
HEAVY = (
    "adaptation-",
    "fbrs-",
    "fcanet-r",
    "focalclick-hrnet32",
    "focuscut-r",
    "sam",
    "simpleclick-",
)
# the same code as a smaller one, at gigabytes of memory and minutes of time
HUGE = (
    *(f"{system}-vit-{size}" for system in ("sam", "sam-hq", "simpleclick") for size in "lh"),
    *(f"sam2.1-hiera-{size}" for size in ("small", "base-plus", "large")),
)
# deeper networks of the same code as another heavy one
DEEPER = (
    "adaptation-r101",
    "fbrs-hrnet32",
    "fbrs-r101",
    "fcanet-res2net101",
    "focalclick-hrnet32-s2",
    "focuscut-r101",
)


def mark_heavy(names: Iterable[str]) -> list[Any]:
    """Return the names as parameters of a test; heavy networks are marked slow, some also huge."""
    return [pytest.param(name, marks=_choose_marks(name)) for name in names]


def _choose_marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    slow = (pytest.mark.slow,) if name.startswith(HEAVY) else ()
    return (*slow, pytest.mark.huge) if name in (*HUGE, *DEEPER) else slow
