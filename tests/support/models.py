"""Names of installed models for tests of every one; heavy networks run with the slow tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

# networks whose passes take seconds on a CPU
HEAVY = (
    "adaptation-",
    "fbrs-hrnet",
    "fbrs-r",
    "fcanet-r",
    "focalclick-hrnet32",
    "focuscut-r",
    "sam",
    "simpleclick-",
)
# the same code as a smaller one, or as smaller ones together, at seconds of time
LARGER = (
    "baseline-r50",  # DeepLabV3+ is in cdnet-r34 and ritm-r34, the parts on light trunks
    "baseline-r50-csfp",
    "baseline-r50-fdm",
    "baseline-r50-fdm2",
    "cdnet-r50",
    "csfpn-r101",
    "csfpn-r50",
    "csfpn-hrnet18",
    "pseudoclick-hrnet18",
    "ritm-hrnet18",
    "ritm-hrnet18-baseline",
    "ritm-hrnet32",
    "ritm-r101",
    "ritm-r50",
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
    """Return the names as parameters of a test; large networks are marked slow, some also huge."""
    return [pytest.param(name, marks=_choose_marks(name)) for name in names]


def _choose_marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    slow = (pytest.mark.slow,) if name.startswith(HEAVY) or name in LARGER else ()
    return (*slow, pytest.mark.huge) if name in (*HUGE, *DEEPER) else slow
