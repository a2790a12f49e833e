"""How busy a machine was while the seconds per click of a run were measured, from its meta file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from isbench.storage.store import Run

BUSY = 0.25  # share of the processors that others may use before times are to be doubted
_MOST = 2**20  # processors of one machine


class Load(NamedTuple):
    """Processors that were busy on average, in all and for other processes, and how many exist."""

    busy: float
    others: float
    processors: int

    @property
    def is_doubtful(self) -> bool:
        """Whether other processes took enough of the machine to slow the run down."""
        return self.others > BUSY * self.processors


def find_load(run: Run) -> Load | None:
    """Return the load of the busiest session of a run, None if it was not recorded."""
    if not run.seconds:
        return None
    return max(_list_loads(run), key=lambda load: load.others / load.processors, default=None)


def format_load(load: Load | None) -> str:
    """Return a load as text, such as "1.9 of 2", "" if it is not known."""
    return "" if load is None else f"{load.busy:.1f} of {load.processors}"


def warn_of_load(load: Load | None) -> str:
    """Return the caution about times that were measured under a load; "" if there is none."""
    if load is None or not load.is_doubtful:
        return ""
    return (
        f"other processes used {load.others:.1f} of {load.processors} processors while these times "
        "were measured"
    )


def _list_loads(run: Run) -> Iterator[Load]:
    for session in run.meta:
        found: Any = session.get("load")
        if not isinstance(found, Mapping):
            continue
        values = [found.get(name) for name in Load._fields]
        # a file is data from anywhere; the comparisons also leave nan out
        numbers = [one for one in values if isinstance(one, int | float) and 0 <= one <= _MOST]
        if len(numbers) == len(values) and numbers[2] >= 1:
            yield Load(float(numbers[0]), float(numbers[1]), int(numbers[2]))
