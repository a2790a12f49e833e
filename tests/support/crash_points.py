"""A small run that is interrupted at each of its file operations, one after the other.

`python -m tests.support.crash_points OUT EVERY KIND` prints one JSON line per EVERY-th point. Every
run is a child that is forked from one process, so that the modules are imported only once.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from isbench.cli import main
from tests.conftest import write_folder_set
from tests.support.file_layer import Fault, Layer, install

FAULTS = {
    "kill": Fault(0),
    "kill within a write": Fault(0, half=True),
    "no space": Fault(0, errno.ENOSPC, half=True),
    "input/output error": Fault(0, errno.EIO),
    "failing disk": Fault(0, errno.EIO, half=True, lasting=True),
    "read-only disk": Fault(0, errno.EROFS, lasting=True),
}
_MOST = 1_000  # no small run has more operations


def run_in_child(words: list[str], out: Path, fault: Fault) -> dict[str, Any]:
    """Run a command in a forked process; return how it ended, and the operations it did."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with open(reading, "rb") as file:
            said = file.read()
        _, status = os.waitpid(child, 0)
        outcome = json.loads(said) if said else {}
        return {"status": os.waitstatus_to_exitcode(status), **outcome}
    os.close(reading)
    layer = Layer(out, fault)
    install(layer)
    errors, code = io.StringIO(), 1
    try:
        with redirect_stderr(errors), redirect_stdout(io.StringIO()):
            main(words)
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException as error:
        errors.write(f"Traceback: {error!r}")
    outcome = {"errors": errors.getvalue(), "operations": layer.names}
    os.write(writing, json.dumps(outcome).encode())
    os._exit(code)


def count_recorded(out: Path) -> int:
    """Return the games that are on disk, in the open or the sealed file; -1 if it is sealed."""
    if list(out.rglob("*.jsonl.gz")):
        return -1
    files = [path for path in out.rglob("*.jsonl") if not path.name.endswith(".meta.jsonl")]
    return sum(max(0, path.read_bytes().count(b"\n") - 1) for path in files)


def list_files(out: Path) -> list[str]:
    return sorted(path.name for path in out.rglob("*") if path.is_file())


def make_command(data: Path, out: Path) -> list[str]:
    words = ["run", "--model", "tests.support.toys:card", "--dataset", f"folder:{data}"]
    return [*words, "--max-clicks", "2", "--workers", "1", "--save-masks", "--out", str(out)]


def interrupt_everywhere(folder: Path, kind: str, data: Path, every: int) -> None:
    """Print what happens at points of a run, and after the same command is given again."""
    for at in range(0, _MOST, every):
        out = folder / kind.replace(" ", "-").replace("/", "-") / str(at)
        words = make_command(data, out)
        first = run_in_child(words, out, FAULTS[kind]._replace(at=at))
        if len(first.get("operations", ())) <= at and first["status"] != -9:
            return
        recorded = count_recorded(out)
        again = run_in_child(words, out, Fault(-1))
        (sealed,) = out.rglob("*.jsonl.gz")
        outcome = {
            "kind": kind, "at": at, "operation": (first.get("operations") or {at: ""})[at],
            "status": first["status"], "errors": first.get("errors", ""), "recorded": recorded,
            "again": again["status"], "errors_again": again["errors"],
            "bytes": sealed.read_bytes().hex(), "files": list_files(out),
        }  # fmt: skip
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    set_folder = write_folder_set(place / "set", objects=3, images=2)
    with suppress(SystemExit), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        main(make_command(set_folder, place / "first"))  # what it imports, no child imports
    interrupt_everywhere(place, sys.argv[3], set_folder, int(sys.argv[2]))
