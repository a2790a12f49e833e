"""On which processor a run was played: a line a run in the file MACHINE of a results folder.

A network's last bits depend on the processor, and a game may follow them; a sealed run does not
say, since the same games give the same bytes everywhere.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from isbench import store
from isbench.report import write_text
from isbench.store import Run

FILE = "MACHINE"
_TOLD = ("model name", "cpu family", "model", "stepping")


def processor() -> str:
    """Return this machine's processor: its name, and the numbers that tell it from its kin."""
    try:
        told = _of_linux(Path("/proc/cpuinfo").read_text())
    except OSError:
        told = ""
    return told or f"{platform.processor() or 'unknown'} ({platform.machine()})"


def machines(results: Path) -> Mapping[str, str]:
    """Return the processor by a run's digest, of the runs of which it was noted."""
    try:
        lines = (results / FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    parted = (line.partition(" ") for line in lines)
    return {digest: name for digest, space, name in parted if space}


def note_machine(results: Path, runs: Sequence[Run]) -> None:
    """Note this processor for runs that were just played here."""
    here, known = processor(), dict(machines(results))
    host = platform.node()
    fresh = [
        store.digest_in(run.path)
        for run in runs
        if run.meta and all(session.get("host") == host for session in run.meta)
    ]
    noted = {**{digest: here for digest in fresh}, **known}
    if noted != known:
        text = "".join(f"{digest} {name}\n" for digest, name in sorted(noted.items()))
        write_text(results / FILE, text)


def _of_linux(text: str) -> str:
    """Return what the first processor of a /proc/cpuinfo tells, '' if it names none."""
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    if "model name" not in facts:
        return ""
    numbers = ", ".join(f"{key} {facts[key]}" for key in _TOLD[1:] if key in facts)
    return f"{facts['model name']} ({platform.machine()}, {numbers})"
