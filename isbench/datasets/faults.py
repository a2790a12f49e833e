"""All faults of a data set in one error, with the part of it that can still be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from isbench.errors import IsbenchError
from isbench.types import Dataset

_SHOWN = 10  # faults in the message; the others are counted


class DatasetFaults(IsbenchError):
    """A data set with faults; its message has the first 10 and a count.

    `faults` are all of them, and `rest` is the data set without the objects they concern, or None.
    """

    def __init__(
        self, subject: str, faults: Sequence[str], remedy: str, rest: Dataset | None = None
    ) -> None:
        count = f" has {len(faults)} faults" if len(faults) > 1 else ""
        super().__init__(f"{subject}{count}: {join_faults(faults)}; {remedy}")
        self.faults = tuple(faults)
        self.rest = rest


def join_faults(faults: Sequence[str]) -> str:
    """Return the first 10 faults on one line, and how many more there are."""
    more = len(faults) - _SHOWN
    return "; ".join((*faults[:_SHOWN], *([f"and {more} more"] if more > 0 else [])))


def join_names(names: Iterable[str], most: int = 3) -> str:
    """Return the first names on one line, and how many more there are."""
    listed = list(names)
    more = [f"and {len(listed) - most} more"] if len(listed) > most else []
    return ", ".join((*listed[:most], *more))
