"""The meta file next to a run's file: what is said of a run and affects none of its results.

It has the time and the marks of each click, and a record of each session. Not here: writing it
(`run_file`).
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from isbench.errors import IsbenchError
from isbench.files.json_text import parse_json
from isbench.files.limits import read_lines
from isbench.types import MOST_CLICKS

_LONGEST = 10**7  # seconds of a click: four months


class Meta(NamedTuple):
    """What a meta file says: times and marks by key, and the sessions."""

    seconds: dict[str, Sequence[float]]
    sessions: list[Mapping[str, Any]]
    marks: dict[str, Mapping[str, tuple[int, ...]]]
    damage: str  # what could not be read, "" if everything could


def read_meta(file: Path, keys: Sequence[str]) -> Meta:
    """Return what is said of these objects and the sessions; broken lines affect no result."""
    known, broken = set(keys), 0
    meta = Meta({}, [], {}, "")
    try:
        for line in read_lines(file):
            try:
                _add_record(meta, parse_json(line), known)
            except (ValueError, KeyError, TypeError, OverflowError, IndexError):
                broken += 1
    except IsbenchError as error:  # it cannot be read, or a line has no end
        return meta._replace(damage=f"times and hardware are incomplete: {error}")
    if not broken:
        return meta
    lines = "1 line is" if broken == 1 else f"{broken} lines are"
    return meta._replace(damage=f"times and hardware are incomplete: {lines} damaged in {file}")


def _add_record(meta: Meta, record: Any, known: Container[str]) -> None:
    """Add a line's record to what is known so far; raises an error for one that is none."""
    if "session" in record:
        meta.sessions.append(_check_session(record["session"]))
    elif "load" in record:
        meta.sessions[-1] = {**meta.sessions[-1], "load": dict(record["load"])}
    elif record["key"] in known:
        if "marks" in record:
            meta.marks[record["key"]] = _check_marks(record["marks"])
        times = array("d", record["seconds"])
        if not all(0 <= time <= _LONGEST for time in times):  # nan too
            raise ValueError("a time is impossible")
        meta.seconds[record["key"]] = times


def _check_marks(marks: Any) -> Mapping[str, tuple[int, ...]]:
    """Return the marked clicks; raises TypeError unless they are numbers from 1 by mark."""
    if not isinstance(marks, dict):
        raise TypeError("marks are not an object")
    for numbers in marks.values():
        if not all(type(number) is int and 1 <= number <= MOST_CLICKS for number in numbers):
            raise TypeError("marks are not the numbers of clicks")
    return {str(mark): tuple(numbers) for mark, numbers in marks.items()}


def _check_session(session: Any) -> Mapping[str, Any]:
    """Return a session; raises TypeError unless it maps names to plain values, lists or maps."""
    if not isinstance(session, dict):
        raise TypeError("a session is not an object")
    if not isinstance(session.get("sources", {}), dict):
        raise TypeError("sources are not an object")
    return session
