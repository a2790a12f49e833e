"""All faults of a data set in one error, with the part of it that can still be read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from isbench.errors import IsbenchError
from isbench.types import Dataset

_SHOWN = 10  # faults in the message; the others are counted
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, line breaks


class DatasetFaults(IsbenchError):
    """A data set with faults; its message has the first 10 and a count.

    `faults` are all of them, and `rest` is the data set without the objects they concern, or None.
    """

    faults: tuple[str, ...] = ()
    rest: Dataset | None = None


def list_faults(
    subject: str, faults: Sequence[str], remedy: str = "", rest: Dataset | None = None
) -> DatasetFaults:
    """Return the error for a data set with faults; no `remedy` if each fault has its own."""
    count = f" has {len(faults)} faults" if len(faults) > 1 else ""
    end = f"; {remedy}" if remedy else ""
    error = DatasetFaults(f"{subject}{count}: {join_faults(faults)}{end}")
    error.faults, error.rest = tuple(faults), rest
    return error


def check_faults(
    dataset: Dataset, subject: str, faults: Sequence[str], remedy: str = ""
) -> Dataset:
    """Return the data set; for faults raises the error of `list_faults` with it as `rest`."""
    if faults:
        raise list_faults(subject, faults, remedy, dataset)
    return dataset


def join_faults(faults: Sequence[str]) -> str:
    """Return the first 10 faults on one line, and how many more there are."""
    more = len(faults) - _SHOWN
    return "; ".join((*faults[:_SHOWN], *([f"and {more} more"] if more > 0 else [])))


def join_names(names: Iterable[str], most: int = 3) -> str:
    """Return the first names on one line, and how many more there are."""
    listed = list(names)
    more = [f"and {len(listed) - most} more"] if len(listed) > most else []
    return ", ".join((*listed[:most], *more))


def is_one_line(name: str) -> bool:
    """Return whether a name fits on one line of UTF-8, as the keys of records must."""
    if name.isascii() and name.isprintable():  # most names, in a fraction of the time
        return True
    return not any(unicodedata.category(one) in _UNPRINTABLE for one in name)
