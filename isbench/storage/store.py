"""Runs on disk: one append-only file per run, one line per game; a finished run is sealed.

`<out>/<dataset>/<model>-<digest>.jsonl` contains the Spec in line 1 and one trajectory per line.
When it is complete, it is sorted by key, compressed and renamed to `.jsonl.gz`; the same games give
the same bytes. Times, host and versions are in `.meta.jsonl` next to it, which affects no result.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from isbench.datasets.fingerprints import digest_keys
from isbench.errors import IsbenchError
from isbench.protocol import count_clicks
from isbench.storage import records
from isbench.types import Game, Rules, Spec, Trajectory

SEALED, OPEN, META = ".jsonl.gz", ".jsonl", ".meta.jsonl"
MASKS = ".masks"  # a line per game that starts with its line break: a torn line damages no other
_SHARD = re.compile(r"\.(\d+)-of-(\d+)$")  # at the end of a shard's name, before its suffix


class Shard(NamedTuple):
    """A part of a run, for one of several machines."""

    number: int  # from 1 to `of`
    of: int


@dataclass(frozen=True)
class Run:
    """A run as read from disk: its spec, its games, and the time of each click."""

    spec: Spec
    trajectories: Sequence[Trajectory]  # sorted by key if sealed
    complete: bool
    path: Path
    seconds: Mapping[str, Sequence[float]]  # key -> seconds per click, if measured
    meta: tuple[Mapping[str, Any], ...]  # one entry per session: host, versions, warnings


def spec_digest(spec: Spec) -> str:
    """Return the spec's identity: 12 hex digits of the sha256 of its line."""
    return sha256(records.format_line(records.spec_record(spec))).hexdigest()[:12]


def run_path(out: Path, spec: Spec, shard: Shard | None = None) -> Path:
    """Return the sealed file of a spec, or of a shard of it, in the results folder."""
    dataset, model = (re.sub(r"[^\w.+-]+", "-", name) for name in (spec.dataset, spec.model))
    part = f".{shard.number}-of-{shard.of}" if shard else ""
    return out / dataset / f"{model}-{spec_digest(spec)}{part}{SEALED}"


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
            self._append_masks(trajectory.key, game.masks)
        line = records.format_line(records.trajectory_record(trajectory))
        _append(self._file, line, self.path)
        self.recorded[trajectory.key] = line

    def _append_masks(self, key: str, masks: Sequence[Mapping[str, Any]]) -> None:
        counts = [mask["counts"] for mask in masks]
        line = records.format_line({"key": key, "size": masks[0]["size"], "masks": counts})
        try:
            with companion_path(self._sealed, MASKS).open("ab") as file:
                file.write(b"\n" + line.rstrip(b"\n"))
        except OSError as error:
            raise _disk_error(self.path, error) from error

    def seal(self) -> Path:
        """Write the sorted, compressed file under its final name and delete the open one."""
        seal(self._sealed, self.spec, self.recorded)
        self.path.unlink()
        return self._sealed


def add_session(path: Path, facts: Mapping[str, Any]) -> None:
    """Record a session in the meta file of a run that is not open."""
    meta = meta_path(path)
    try:
        with meta.open("ab", buffering=0) as file:
            _append(file, records.format_line({"session": dict(facts)}), meta)
    except OSError as error:
        raise _disk_error(meta, error) from error


def seal(path: Path, spec: Spec, lines: Mapping[str, bytes]) -> None:
    """Write a run's lines, sorted by key and compressed; the file appears whole or not at all."""
    draft = path.with_name(path.name + ".tmp")
    try:
        with draft.open("wb") as file:
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                packed.write(records.format_line(records.spec_record(spec)))
                packed.writelines(lines[key] for key in sorted(lines))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _disk_error(path, error) from error


@contextmanager
def open_run(out: Path, spec: Spec, shard: Shard | None = None) -> Iterator[RunFile | None]:
    """Open the run of a spec, or a shard of it, for this process only; None if it is sealed.

    Raises IsbenchError if another process has it open, if the folder cannot be written, or if a
    line before the last is damaged.
    """
    sealed = run_path(out, spec, shard)
    lock_path = companion_path(sealed, ".lock")
    lock = FileLock(lock_path)
    try:
        sealed.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise IsbenchError(
            f"run {spec_digest(spec)} ({spec.model} on {spec.dataset}) in {sealed.parent} is open "
            "in another process; wait for it, or choose another --out"
        ) from None
    except OSError as error:
        raise _disk_error(sealed.parent, error) from error
    try:
        if sealed.exists():
            # a process that was killed right after sealing leaves its open file
            companion_path(sealed, OPEN).unlink(missing_ok=True)
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
        meta_path(file.path).unlink(missing_ok=True)
        companion_path(file.path, MASKS).unlink(missing_ok=True)


def _open_file(sealed: Path, spec: Spec, files: ExitStack) -> RunFile:
    """Read the recorded games, cut a torn last line, and write the spec to a new file."""
    path = companion_path(sealed, OPEN)
    whole = _read_whole_lines(path)
    recorded: dict[str, bytes] = {}
    if whole:
        found, trajectories = records.parse_run(path, whole)
        if spec_digest(found) != spec_digest(spec):
            raise IsbenchError(f"{path} contains another run than its name says; move it elsewhere")
        recorded = dict(zip(trajectories.keys, trajectories.lines, strict=True))
    file = files.enter_context(_open_at(path, len(whole)))
    if not whole:
        _append(file, records.format_line(records.spec_record(spec)), path)
    meta = meta_path(sealed)
    times = files.enter_context(_open_at(meta, len(_read_whole_lines(meta))))
    return RunFile(path, recorded, sealed, spec, file, times)


def read(path: Path) -> Run:
    """Read a sealed or open run; raises IsbenchError with the file and the damaged line."""
    sealed = path.name.endswith(SEALED)
    complete = sealed and shard_of_path(path) is None
    data = _unpack(path) if sealed else _read_whole_lines(path)
    spec, trajectories = records.parse_run(path, data)
    if complete and digest_keys(trajectories.keys) != spec.keys:
        raise IsbenchError(
            f"{path} is damaged (its {len(trajectories)} objects are not the {spec.objects} of its "
            "spec); restore it, or delete it and repeat the run"
        )
    seconds, sessions = _read_meta(path)
    return Run(spec, trajectories, complete, path, seconds, sessions)


def find(out: Path) -> list[Path]:
    """Return the run files below a folder, sorted: sealed ones, and open ones not yet sealed.

    Shards are not included.
    """
    sealed = set(out.rglob(f"*{SEALED}"))
    opens = {path for path in out.rglob(f"*{OPEN}") if not path.name.endswith(META)}
    files = sealed | {path for path in opens if path.with_name(path.name + ".gz") not in sealed}
    return sorted(path for path in files if shard_of_path(path) is None)


def find_shards(folder: Path) -> list[Path]:
    """Return the sealed shards below a folder, sorted."""
    return sorted(path for path in folder.rglob(f"*{SEALED}") if shard_of_path(path))


def shard_of_path(path: Path) -> Shard | None:
    """Return the shard named by a file's name, None for a whole run."""
    found = _SHARD.search(companion_path(path, "").name)
    return Shard(int(found[1]), int(found[2])) if found else None


def digest_of_path(path: Path) -> str:
    """Return the digest in a run file's name."""
    return _SHARD.sub("", companion_path(path, "").name).rpartition("-")[2]


def meta_path(path: Path) -> Path:
    """Return the file of times and versions next to a run's file."""
    return companion_path(path, META)


def read_saved_masks(path: Path) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the masks saved with a run by key, one per click, as COCO run lengths."""
    try:
        lines = companion_path(path, MASKS).read_bytes().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        try:
            record = json.loads(line)
            size = record["size"]
            found[record["key"]] = [{"size": size, "counts": one} for one in record["masks"]]
        except (ValueError, KeyError, TypeError):
            continue  # a torn line: the masks of this game are recomputed
    return found


def companion_path(path: Path, suffix: str) -> Path:
    """Return the file of the same run with another suffix."""
    return path.with_name(path.name.removesuffix(SEALED).removesuffix(OPEN) + suffix)


def find_longer_run(out: Path, spec: Spec) -> Run | None:
    """Return a sealed run of the same spec with longer games, shortened to the spec's rules.

    A predictor does not know when a game ends, so a longer game starts with the shorter one.
    """
    for path, other in _read_specs(out, spec):
        if path.name.endswith(SEALED) and _covers(other, spec):
            longer = read(path)
            games = records.to_trajectories(
                shorten_game(one, spec.rules) for one in longer.trajectories
            )
            return replace(longer, spec=spec, trajectories=games)
    return None


def shorten_game(trajectory: Trajectory, rules: Rules) -> Trajectory:
    """Return the game as it would have ended under shorter rules."""
    end = count_clicks(trajectory.overlap, rules)
    return Trajectory(trajectory.key, trajectory.clicks[:end], trajectory.overlap[:end])


def find_stale_runs(out: Path, spec: Spec) -> list[tuple[Path, tuple[str, ...]]]:
    """Return open runs with the same model, options, data set and rules, and the other differences.

    A user may want to resume these after the data, the decoder or the machine changed.
    """
    fields = (
        "version", "libraries", "objects", "keys", "fingerprint", "decoder",
        "weights", "backend", "precision", "threads", "clicker_version",
    )  # fmt: skip
    same = {name: getattr(spec, name) for name in fields}
    found = []
    for path, other in _read_specs(out, spec):
        differing = tuple(name for name in fields if getattr(other, name) != same[name])
        if not path.name.endswith(SEALED) and differing and replace(other, **same) == spec:
            found.append((path, differing))
    return found


def _read_specs(out: Path, spec: Spec) -> Iterator[tuple[Path, Spec]]:
    """Yield the file and spec of each readable run over the data set; reads line 1 only."""
    for path in find(run_path(out, spec).parent):
        try:
            with gzip.open(path) if path.name.endswith(SEALED) else path.open("rb") as file:
                yield path, records.parse_spec(path, file.readline())
        except (OSError, EOFError, zlib.error, IsbenchError):
            continue  # a damaged file is of no use here; `report` names it


def _covers(longer: Spec, spec: Spec) -> bool:
    rules, wanted = longer.rules, spec.rules
    same = replace(rules, max_clicks=wanted.max_clicks, stop_iou=wanted.stop_iou)
    return (
        replace(longer, rules=same) == spec
        and rules.max_clicks >= wanted.max_clicks
        and rules.stop_iou >= wanted.stop_iou
    )


def _unpack(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IsbenchError(
            f"{path} is damaged ({error}); restore it, or delete it and repeat the run"
        ) from error
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error


def _read_meta(path: Path) -> tuple[dict[str, Sequence[float]], tuple[Mapping[str, Any], ...]]:
    seconds: dict[str, Sequence[float]] = {}
    sessions: list[Mapping[str, Any]] = []
    try:
        lines = meta_path(path).read_bytes().splitlines()
    except OSError:
        return seconds, ()
    for line in lines:
        try:
            record = json.loads(line)
            if "session" in record:
                sessions.append(dict(record["session"]))
            else:
                seconds[record["key"]] = array("d", record["seconds"])
        except (ValueError, KeyError, TypeError):
            continue  # a torn line: times affect no result
    return seconds, tuple(sessions)


def _open_at(path: Path, size: int) -> BinaryIO:
    """Open a file for appending after its first `size` bytes; the rest is cut off."""
    try:
        file = open(path, "ab", buffering=0)  # noqa: SIM115  (`open_run` closes it)
        file.truncate(size)
    except OSError as error:
        raise _disk_error(path, error) from error
    return file


def _read_whole_lines(path: Path) -> bytes:
    """Return a file up to its last line break; a killed process may leave a torn line after it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    return data[: data.rfind(b"\n") + 1]


def _append(file: BinaryIO, line: bytes, path: Path) -> None:
    size = os.fstat(file.fileno()).st_size
    try:
        while line:  # a full disk first writes a part, and then raises
            line = line[file.write(line) :]
    except OSError as error:
        file.truncate(size)
        raise _disk_error(path, error) from error


def _disk_error(path: Path, error: OSError) -> IsbenchError:
    return IsbenchError(
        f"cannot write {path}: {error.strerror or error}; recorded games are kept: free space or "
        "choose another --out, and run the same command again to resume"
    )
