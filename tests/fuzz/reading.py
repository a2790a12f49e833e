"""Readers of hostile files in another process, so that a signal is seen and memory is bounded.

Run as a module it is that process: paths come in on standard input, one a line, and what each ends
in goes out.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

SECONDS = 10  # at most for one file
GIGABYTE = 1 << 30


class Reader:
    """A process that reads files."""

    def __init__(self, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._memory = self.read(Path("nothing"))[1]  # of the libraries

    def read(self, path: Path) -> tuple[str, int]:
        """Return what a file ends in ("" if it is read), and the peak of memory in bytes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        start = monotonic()
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"{path} ended the process by {self._process.wait()}"
        assert monotonic() - start < SECONDS, f"{path} took too long"
        said, peak = json.loads(answer)
        return said, peak

    def check(self, path: Path) -> str:
        """Return what a file ends in; fails for a traceback, a signal, and much time or memory."""
        said, peak = self.read(path)
        assert not said.startswith("TRACEBACK"), said
        assert "\n" not in said, said
        assert peak - self._memory < GIGABYTE, f"{path} took {peak} bytes"
        return said

    def close(self) -> None:
        """End the process."""
        with self._process:
            pass  # closes the pipes and waits


@contextmanager
def open_reader(kind: str) -> Iterator[Reader]:
    """Yield a process that reads files of a kind: "coco", "sbd" or "folder"."""
    reader = Reader(kind)
    try:
        yield reader
    finally:
        reader.close()


def read_whole(kind: str, root: Path) -> None:
    """Read a data set and all its objects."""
    from isbench.datasets import load_dataset

    names = {
        "coco": f"coco:{root / 'images'},{root / 'instances.json'}",
        "folder": f"folder:{root}",
    }
    dataset = load_dataset(names.get(kind, kind), root)
    for key in dataset.keys:
        sample = dataset.load(key)
        if sample.truth.shape != sample.image.shape[:2]:
            raise AssertionError(f"{key} has a mask of {sample.truth.shape}")


def serve(kind: str) -> None:
    """Answer with what each data set ends in."""
    from traceback import format_exc

    from isbench.errors import IsbenchError

    for line in sys.stdin:
        said = ""
        try:
            read_whole(kind, Path(line.rstrip("\n")))
        except IsbenchError as error:
            said = f"refused: {error}"
        except BaseException:
            said = f"TRACEBACK {format_exc()}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps([said, peak]), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
