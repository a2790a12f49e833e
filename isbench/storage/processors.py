"""The processor that each network's run was played on: the file MACHINE of a results folder.

The last bits of a network's outputs depend on the processor, and a game may follow them. A sealed
run does not record its processor, because the same games give the same bytes everywhere. Its meta
file does, but that stays on the machine of the run. MACHINE has one line per run: digest and
processor. A run without a network is the same on every processor.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from isbench.errors import IsbenchError
from isbench.files.atomic import write_atomically
from isbench.files.limits import read_limited
from isbench.storage import store
from isbench.storage.store import Run

FILE = "MACHINE"
_LINE = re.compile(r"([0-9a-f]{12}) (\S.*)")


def read_processors(results: Path) -> Mapping[str, str]:
    """Return the recorded processors by run digest, none if there is no file.

    Raises IsbenchError for a damaged file: runs without a processor are checked less strictly.
    """
    path = results / FILE
    try:
        text = read_limited(path).decode()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise IsbenchError(f"cannot read {path}: {reason}; restore it") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n")[:-1] or [text], start=1):
        match = _LINE.fullmatch(line.removesuffix("\r"))
        if match is None or match[1] in found:
            wanted = "a digest of 12 hexadecimal digits, each once, and a processor"
            raise IsbenchError(f"line {number} of {path} is damaged; wanted {wanted}: restore it")
        found[match[1]] = match[2]
    if not text.endswith("\n"):
        raise IsbenchError(f"the last line of {path} is cut; restore the file")
    return found


def write_processors(results: Path, runs: Sequence[Run]) -> None:
    """Record the processors of the folder's runs, and drop those of runs that are gone."""
    old = read_processors(results)
    new = {}
    for run in runs:
        digest = store.parse_digest(run.path)
        name = find_processor(run) or old.get(digest)
        if is_on_processor(run) and name:
            new[digest] = name
    if new != old:
        _write(results, new)


def copy_processors(results: Path, copies: Mapping[str, str]) -> None:
    """Record the processors of runs under second digests; `copies` maps each digest to another."""
    old = read_processors(results)
    new = {**old, **{copies[digest]: name for digest, name in old.items() if digest in copies}}
    if new != old:
        _write(results, new)


def drop_processors(results: Path, digests: Container[str]) -> None:
    """Remove the processors of these digests."""
    old = read_processors(results)
    new = {digest: name for digest, name in old.items() if digest not in digests}
    if new != old:
        _write(results, new)


def _write(results: Path, processors: Mapping[str, str]) -> None:
    if not processors:
        (results / FILE).unlink(missing_ok=True)
        return
    text = "".join(f"{digest} {name}\n" for digest, name in sorted(processors.items()))
    write_atomically(results / FILE, text.encode())


def is_on_processor(run: Run) -> bool:
    """Whether a run is of a network that ran on the processor, not on a graphics card."""
    return (run.spec.backend or "").endswith("-cpu")


def list_playing_sessions(run: Run) -> list[Mapping[str, Any]]:
    """Return the sessions of a run in which games were played, not only replayed."""
    return [session for session in run.meta if "rechecked" not in session]


def get_processor(session: Mapping[str, Any]) -> str | None:
    """Return the processor that a session names, None if it names none; its file is data."""
    name = session.get("processor")
    return name if isinstance(name, str) else None


def find_processor(run: Run) -> str | None:
    """Return the processor that played a run, None if there were several or it is unknown."""
    names = {get_processor(session) for session in list_playing_sessions(run)}
    return names.pop() if len(names) == 1 else None
