"""The file of a run that is being played: one line per game, appended; sealed when complete.

Only one process has it open. A torn last line is cut off on open. When all games are there, they
are sorted by key, compressed and renamed to `.jsonl.gz`; the same games give the same bytes.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import BaseFileLock, FileLock, Timeout

from isbench.errors import IsbenchError, Remedy
from isbench.files.atomic import make_write_error, open_atomically
from isbench.files.limits import find_whole_size, read_lines
from isbench.storage import records, saved_masks, store
from isbench.storage.store import Shard
from isbench.types import Game, Spec

_LOCK = ".lock"
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
        self.note([records.format_line({"session": dict(facts)})])

    def load(self, facts: Mapping[str, Any]) -> None:
        """Record how busy the machine was during the session; it belongs to the last one."""
        if facts:
            self.note([records.format_line({"load": dict(facts)})])

    def note(self, lines: Iterable[bytes]) -> None:
        """Append whole meta lines, such as those of other run files."""
        for line in lines:
            _append(self._meta, line, store.locate_meta(self.path))

    def append(self, game: Game) -> None:
        """Record a game; raises IsbenchError, and leaves the file whole, if the disk fails."""
        trajectory = game.trajectory
        line = records.format_line(records.encode_trajectory(trajectory))
        if about := _list_facts(game):
            self.note([records.format_line({"key": trajectory.key, **about})])
        if game.masks:  # before the game, so that a recorded game always has its masks
            saved_masks.append(self._sealed, trajectory.key, game.masks, _REMEDY)
        _append(self._file, line, self.path)
        self.recorded[trajectory.key] = line

    def seal(self) -> Path:
        """Write the sorted, compressed file under its final name and delete the open one."""
        seal(self._sealed, self.spec, self.recorded)
        _delete(self.path)
        return self._sealed


def _list_facts(game: Game) -> dict[str, Any]:
    """Return what the meta file says of a game, which affects no result."""
    times = {"seconds": [round(seconds, 6) for seconds in game.seconds]} if game.seconds else {}
    facts = {"facts": dict(game.facts)} if game.seconds and game.facts else {}
    marks = {"marks": {mark: list(at) for mark, at in game.marks.items()}} if game.marks else {}
    return {**times, **facts, **marks}


def add_session(path: Path, facts: Mapping[str, Any]) -> None:
    """Record a session in the meta file of a run that is not open."""
    meta = store.locate_meta(path)
    with _open_at(meta, find_whole_size(meta)) as file:
        _append(file, records.format_line({"session": dict(facts)}), meta)


def seal(path: Path, spec: Spec, lines: Mapping[str, bytes]) -> None:
    """Write a run's lines, sorted by key and compressed; the file appears whole or not at all."""
    with (
        open_atomically(path, _REMEDY) as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
    ):
        packed.write(records.format_line(records.encode_spec(spec)))
        packed.writelines(lines[key] for key in sorted(lines))


@contextmanager
def open_run(out: Path, spec: Spec, shard: Shard | None = None) -> Iterator[RunFile | None]:
    """Open the run of a spec, or a shard of it, for this process only; None if it is sealed.

    Raises IsbenchError if another process has it open, if the folder cannot be written, if a line
    before the last is damaged, or if the run is sealed, open as well, and its sealed file damaged.
    """
    sealed = store.locate_run(out, spec, shard)
    with _lock(sealed, spec):
        if store.exists(sealed):
            if store.exists(path := store.locate_companion(sealed, store.OPEN)):
                store.read(sealed)  # a damaged one must not cost the games of the open one
                _delete(path)
            yield None
            return
        with _open_file(sealed, spec) as file:
            try:
                yield file
            finally:
                if not file.recorded:
                    _delete_run(file.path)


def clean_up(out: Path, spec: Spec) -> None:
    """Delete what a process that was killed while it sealed this run has left next to it.

    Does nothing if the run is not sealed, if another process has it open, or if the folder cannot
    be written: the sealed file alone counts.
    """
    sealed = store.locate_run(out, spec)
    left = [store.locate_companion(sealed, suffix) for suffix in (store.OPEN, _LOCK)]
    with suppress(IsbenchError):
        if store.exists(sealed) and any(map(store.exists, left)):
            with open_run(out, spec):
                pass


@contextmanager
def _lock(sealed: Path, spec: Spec) -> Iterator[None]:
    """Keep other processes off a run; the lock file is deleted when the run is sealed."""
    path = store.locate_companion(sealed, _LOCK)
    lock = FileLock(path)
    try:
        sealed.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise IsbenchError(
            f"run {store.digest_spec(spec)} ({spec.model} on {spec.dataset}) in {sealed.parent} is "
            "open in another process; wait for it, or choose another folder",
            setting="out",
        ) from None
    except NotImplementedError as error:  # a file system without locks
        raise make_write_error(path, OSError(str(error)), _REMEDY) from error
    except OSError as error:
        raise make_write_error(path, error, _REMEDY) from error
    try:
        yield
    finally:
        # another process may wait for this lock file: delete it only when the run is sealed and
        # that process finds nothing left to play
        with ExitStack() as last:
            last.callback(_release, lock, path)
            if store.exists(sealed):
                _delete(path)


def _release(lock: BaseFileLock, path: Path) -> None:
    try:
        lock.release()
    except OSError as error:
        raise make_write_error(path, error, _REMEDY) from error


def _delete(path: Path) -> None:
    """Delete a file of a run that is sealed, if it exists."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise IsbenchError(
            f"cannot delete {path}: {error.strerror or error}; its run is complete: run the same "
            "command again, or delete the file",
            setting="out",
        ) from error


def _delete_run(path: Path) -> None:
    """Delete the files of a run without a recorded game, as far as the disk lets it."""
    for file in (path, store.locate_meta(path), store.locate_companion(path, store.MASKS)):
        with suppress(OSError):  # nothing is lost with it, and the next run continues it
            file.unlink(missing_ok=True)


@contextmanager
def _open_file(sealed: Path, spec: Spec) -> Iterator[RunFile]:
    """Read the recorded games, cut a torn last line, and write the spec to a new file."""
    path, meta = store.locate_companion(sealed, store.OPEN), store.locate_meta(sealed)
    recorded: dict[str, bytes] = {}
    whole = find_whole_size(path)
    if whole:
        with closing(read_lines(path)) as lines:
            found, trajectories = records.parse_run(path, lines)
        if store.digest_spec(found) != store.digest_spec(spec):
            raise store.make_name_error(path)
        recorded = dict(zip(trajectories.keys, trajectories.lines, strict=True))
    with _open_at(path, whole) as file, _open_at(meta, find_whole_size(meta)) as times:
        if not whole:
            _append(file, records.format_line(records.encode_spec(spec)), path)
        yield RunFile(path, recorded, sealed, spec, file, times)


@contextmanager
def _open_at(path: Path, size: int) -> Iterator[BinaryIO]:
    """Open a file for appending after its first `size` bytes; the rest is cut off."""
    try:
        file = open(path, "ab", buffering=0)  # noqa: SIM115  (closed below)
        try:
            if file.tell() != size:
                file.truncate(size)
        except OSError:
            _close(file)
            raise
    except OSError as error:
        raise make_write_error(path, error, _REMEDY) from error
    try:
        yield file
    except BaseException:
        _close(file)  # its own error would hide the first one
        raise
    try:
        file.close()
    except OSError as error:
        raise make_write_error(path, error, _REMEDY) from error


def _close(file: BinaryIO) -> None:
    with suppress(OSError):
        file.close()


def _append(file: BinaryIO, line: bytes, path: Path) -> None:
    try:
        size = os.fstat(file.fileno()).st_size
        try:
            while line:  # a full disk first writes a part, and then raises
                line = line[file.write(line) :]
        except OSError:
            with suppress(OSError):  # a failing disk: the next run cuts the torn line off
                file.truncate(size)
            raise
    except OSError as error:
        raise make_write_error(path, error, _REMEDY) from error
