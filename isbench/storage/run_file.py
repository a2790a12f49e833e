"""The file of a run that is being played: one line per game, appended; sealed when complete.

Only one process has it open. A torn last line is cut off on open. When all games are there, they
are sorted by key, compressed and renamed to `.jsonl.gz`; the same games give the same bytes.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from isbench.errors import IsbenchError, Remedy
from isbench.files.atomic import open_atomically, write_error
from isbench.storage import records, saved_masks, store
from isbench.storage.store import Shard
from isbench.types import Game, Spec

# what to do when the disk is full
_REMEDY = Remedy(
    "recorded games are kept: free space or choose another folder, and run the same command again "
    "to resume",
    setting="out",
)


@dataclass(frozen=True)
class RunFile:
    """A run that is open for writing by this process only; made by `open_run`."""

    path: Path
    recorded: dict[str, bytes]  # key -> line
    _sealed: Path
    spec: Spec
    _file: BinaryIO
    _meta: BinaryIO

    def session(self, facts: Mapping[str, Any]) -> None:
        """Record the start of a session: host, versions, warnings."""
        _append(self._meta, records.format_line({"session": dict(facts)}), self.path)

    def load(self, facts: Mapping[str, Any]) -> None:
        """Record how busy the machine was during the session; it belongs to the last one."""
        if facts:
            _append(self._meta, records.format_line({"load": dict(facts)}), self.path)

    def note(self, lines: bytes) -> None:
        """Append whole meta lines of other run files."""
        _append(self._meta, lines, self.path)

    def append(self, game: Game) -> None:
        """Record a game; raises IsbenchError, and leaves the file whole, if the disk fails."""
        trajectory = game.trajectory
        if game.seconds:
            times = [round(seconds, 6) for seconds in game.seconds]
            record = {"key": trajectory.key, "seconds": times}
            _append(self._meta, records.format_line(record), self.path)
        if game.masks:  # before the game, so that a recorded game always has its masks
            try:
                saved_masks.append(self._sealed, trajectory.key, game.masks)
            except OSError as error:
                raise write_error(self.path, error, _REMEDY) from error
        line = records.format_line(records.trajectory_record(trajectory))
        _append(self._file, line, self.path)
        self.recorded[trajectory.key] = line

    def seal(self) -> Path:
        """Write the sorted, compressed file under its final name and delete the open one."""
        seal(self._sealed, self.spec, self.recorded)
        self.path.unlink()
        return self._sealed


def add_session(path: Path, facts: Mapping[str, Any]) -> None:
    """Record a session in the meta file of a run that is not open."""
    meta = store.meta_path(path)
    try:
        with meta.open("ab", buffering=0) as file:
            _append(file, records.format_line({"session": dict(facts)}), meta)
    except OSError as error:
        raise write_error(meta, error, _REMEDY) from error


def seal(path: Path, spec: Spec, lines: Mapping[str, bytes]) -> None:
    """Write a run's lines, sorted by key and compressed; the file appears whole or not at all."""
    with (
        open_atomically(path, _REMEDY) as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
    ):
        packed.write(records.format_line(records.spec_record(spec)))
        packed.writelines(lines[key] for key in sorted(lines))


@contextmanager
def open_run(out: Path, spec: Spec, shard: Shard | None = None) -> Iterator[RunFile | None]:
    """Open the run of a spec, or a shard of it, for this process only; None if it is sealed.

    Raises IsbenchError if another process has it open, if the folder cannot be written, or if a
    line before the last is damaged.
    """
    sealed = store.run_path(out, spec, shard)
    lock_path = store.companion_path(sealed, ".lock")
    lock = FileLock(lock_path)
    try:
        sealed.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise IsbenchError(
            f"run {store.spec_digest(spec)} ({spec.model} on {spec.dataset}) in {sealed.parent} is "
            "open in another process; wait for it, or choose another folder",
            setting="out",
        ) from None
    except OSError as error:
        raise write_error(sealed.parent, error, _REMEDY) from error
    try:
        if sealed.exists():
            # a process that was killed right after sealing leaves its open file
            store.companion_path(sealed, store.OPEN).unlink(missing_ok=True)
            yield None
            return
        with ExitStack() as files:
            file = _open_file(sealed, spec, files)
            files.callback(_remove_empty, file)
            yield file
    finally:
        # another process may wait for this lock file: delete it only when the run is sealed and
        # that process finds nothing left to play
        if sealed.exists():
            lock_path.unlink(missing_ok=True)
        lock.release()


def _remove_empty(file: RunFile) -> None:
    """Delete the files of a run without a recorded game."""
    if not file.recorded:
        file.path.unlink(missing_ok=True)
        store.meta_path(file.path).unlink(missing_ok=True)
        store.companion_path(file.path, store.MASKS).unlink(missing_ok=True)


def _open_file(sealed: Path, spec: Spec, files: ExitStack) -> RunFile:
    """Read the recorded games, cut a torn last line, and write the spec to a new file."""
    path = store.companion_path(sealed, store.OPEN)
    whole = store.read_whole_lines(path)
    recorded: dict[str, bytes] = {}
    if whole:
        found, trajectories = records.parse_run(path, whole)
        if store.spec_digest(found) != store.spec_digest(spec):
            raise IsbenchError(f"{path} contains another run than its name says; move it elsewhere")
        recorded = dict(zip(trajectories.keys, trajectories.lines, strict=True))
    file = files.enter_context(_open_at(path, len(whole)))
    if not whole:
        _append(file, records.format_line(records.spec_record(spec)), path)
    meta = store.meta_path(sealed)
    times = files.enter_context(_open_at(meta, len(store.read_whole_lines(meta))))
    return RunFile(path, recorded, sealed, spec, file, times)


def _open_at(path: Path, size: int) -> BinaryIO:
    """Open a file for appending after its first `size` bytes; the rest is cut off."""
    try:
        file = open(path, "ab", buffering=0)  # noqa: SIM115  (`open_run` closes it)
        file.truncate(size)
    except OSError as error:
        raise write_error(path, error, _REMEDY) from error
    return file


def _append(file: BinaryIO, line: bytes, path: Path) -> None:
    size = os.fstat(file.fileno()).st_size
    try:
        while line:  # a full disk first writes a part, and then raises
            line = line[file.write(line) :]
    except OSError as error:
        file.truncate(size)
        raise write_error(path, error, _REMEDY) from error
