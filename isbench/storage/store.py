"""Runs on disk: named by their Spec, found in a folder, read.

`<out>/<dataset>/<model>-<digest>.jsonl` contains the Spec in line 1 and one trajectory per line; a
finished run is sealed as `.jsonl.gz`. Times, host and versions are in `.meta.jsonl` next to it,
which affects no result. Not here: writing (`run_file`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from isbench.datasets.fingerprints import digest_keys
from isbench.errors import IsbenchError
from isbench.files.limits import read_first_line, read_lines
from isbench.protocol import count_clicks
from isbench.storage import records
from isbench.storage.meta_file import read_meta
from isbench.types import Rules, Spec, Trajectory

SEALED, OPEN, META, MASKS = ".jsonl.gz", ".jsonl", ".meta.jsonl", ".masks"
_LONGEST_NAME = 200  # bytes of a name in a file's, which has at most 255 with what follows
_DIGEST = re.compile(r"[0-9a-f]{12}")
_SHARD = re.compile(r"\.(\d+)-of-(\d+)$")  # at the end of a shard's name, before its suffix


class Shard(NamedTuple):
    """A part of a run, for one of several machines."""

    number: int  # from 1 to `of`
    of: int


@dataclass(frozen=True)
class Run:
    """A run as read from disk: its spec, its games, and the time of each click."""

    spec: Spec
    trajectories: Sequence[Trajectory] = field(repr=False)  # sorted by key if sealed
    complete: bool
    path: Path
    seconds: Mapping[str, Sequence[float]] = field(repr=False)  # per click by key, if measured
    meta: tuple[Mapping[str, Any], ...] = field(repr=False)  # one a session: host, versions
    # the numbers of the clicks, from 1, that the clicker marked, by key and mark, if it marked any
    marks: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict, repr=False)
    damage: str = field(default="", repr=False)  # of its meta file, which affects no result


def digest_spec(spec: Spec) -> str:
    """Return the spec's identity: 12 hex digits of the sha256 of its line."""
    return sha256(records.format_line(records.encode_spec(spec))).hexdigest()[:12]


def locate_run(out: Path, spec: Spec, shard: Shard | None = None) -> Path:
    """Return the sealed file of a spec, or of a shard of it, in the results folder."""
    model = name_plainly(spec.model)
    part = f".{shard.number}-of-{shard.of}" if shard else ""
    return out / name_folder(spec.dataset) / f"{model}-{digest_spec(spec)}{part}{SEALED}"


def name_plainly(name: str) -> str:
    """Return the name of a model or a data set as it is in the paths of run files."""
    plain = re.sub(r"[^\w.+-]+", "-", name)
    return plain.encode()[:_LONGEST_NAME].decode(errors="ignore")


def name_folder(dataset: str) -> str:
    """Return the name of the folder of a data set's runs."""
    name = name_plainly(dataset)
    return name if name.strip(".") else "-"  # "..", as a received file may say, leads elsewhere


def list_seconds(run: Run) -> list[float]:
    """Return the seconds of all clicks of a run that were measured."""
    return [one for seconds in run.seconds.values() for one in seconds]


def read(path: Path | str) -> Run:
    """Read a sealed or open run; raises IsbenchError with the file and the damaged line."""
    path = Path(path)
    _check_encodable(path)
    sealed = path.name.endswith(SEALED)
    complete = sealed and parse_shard_name(path) is None
    with closing(read_lines(path)) as lines:
        first = list(islice(lines, 1))  # empty if the file is
        spec, trajectories = records.parse_run(path, chain(first, lines))
    _check_name(path, first[0])
    if complete and digest_keys(trajectories.keys) != spec.keys:
        raise IsbenchError(
            f"{path} is damaged (its {len(trajectories)} objects are not the {spec.objects} of its "
            "spec); restore it, or delete it and repeat the run"
        )
    meta = read_meta(locate_meta(path), trajectories.keys)
    return Run(
        spec, trajectories, complete, path, meta.seconds, tuple(meta.sessions), meta.marks,
        meta.damage,
    )  # fmt: skip


def find_digest(run: Run) -> str:
    """Return the digest in the name of a run's file, or that of its spec if it was renamed."""
    named = parse_digest(run.path)
    return named if _DIGEST.fullmatch(named) else digest_spec(run.spec)


def _check_encodable(path: Path) -> None:
    """Raise IsbenchError for a name that no report can show."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise IsbenchError(f"{str(path)!a} has a name that is not UTF-8; rename it") from error


def _check_name(path: Path, first: bytes) -> None:
    """Raise IsbenchError if a name has the digest of another spec than the file's first line.

    The digest identifies a run in tables, so a file under another run's name would pass for it. A
    name without a digest, which a user chose, is accepted, and any name of a file of isbench 0.1.
    """
    if records.read_format(path, first) != records.FORMAT:
        return
    named = parse_digest(path)
    if _DIGEST.fullmatch(named) and named != sha256(first).hexdigest()[:12]:
        raise make_name_error(path)


def make_name_error(path: Path) -> IsbenchError:
    """Return the error for a file under the name of another run."""
    return IsbenchError(f"{path} contains another run than its name says; move it elsewhere")


def with_given_folder(run: Run, out: Path) -> Run:
    """Return a run with its results folder as it was given, if that leads to the run's file."""
    path = out / run.path.parent.name / run.path.name
    return replace(run, path=path) if path.absolute() == run.path else run


def read_spec(path: Path) -> Spec:
    """Read the spec of a run and no more of its file; raises IsbenchError if it is damaged."""
    return records.parse_spec(path, read_first_line(path))


def find(out: Path) -> list[Path]:
    """Return the run files below a folder, sorted: sealed ones, and open ones not yet sealed.

    Shards are not included. Raises IsbenchError if a folder cannot be read.
    """
    sealed = set(list_files(out, SEALED))
    opens = {path for path in list_files(out, OPEN) if not path.name.endswith(META)}
    files = sealed | {path for path in opens if path.with_name(path.name + ".gz") not in sealed}
    return sorted(path for path in files if parse_shard_name(path) is None)


def find_shards(folder: Path) -> list[Path]:
    """Return the sealed shards below a folder, sorted."""
    return sorted(path for path in list_files(folder, SEALED) if parse_shard_name(path))


def exists(path: Path) -> bool:
    """Return whether a file of a run exists; raises IsbenchError if its folder cannot be read."""
    try:
        return path.exists()
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error


def list_files(folder: Path, suffix: str) -> list[Path]:
    """Return the files below a folder with a suffix; a folder that does not exist has none."""

    def refuse(error: OSError) -> None:  # which `Path.rglob` passes over
        if not isinstance(error, FileNotFoundError):
            raise error

    try:
        return [
            Path(parent, name)
            for parent, folders, files in os.walk(folder, onerror=refuse)
            for name in (*folders, *files)
            if name.endswith(suffix)
        ]
    except OSError as error:
        path = error.filename or folder
        raise IsbenchError(f"cannot list {path}: {error.strerror or error}") from error


def parse_shard_name(path: Path) -> Shard | None:
    """Return the shard named by a file's name, None for a whole run."""
    found = _SHARD.search(locate_companion(path, "").name)
    return Shard(int(found[1]), int(found[2])) if found else None


def parse_digest(path: Path) -> str:
    """Return the digest in a run file's name."""
    return _SHARD.sub("", locate_companion(path, "").name).rpartition("-")[2]


def locate_meta(path: Path) -> Path:
    """Return the file of times and versions next to a run's file."""
    return locate_companion(path, META)


def locate_companion(path: Path, suffix: str) -> Path:
    """Return the file of the same run with another suffix."""
    return path.with_name(path.name.removesuffix(SEALED).removesuffix(OPEN) + suffix)


def find_longer_run(out: Path, spec: Spec) -> Run | None:
    """Return a sealed run of the same spec with longer games, shortened to the spec's rules.

    A predictor does not know when a game ends, so a longer game starts with the shorter one.
    """
    for path, other in _read_specs(out, spec):
        if path.name.endswith(SEALED) and _covers(other, spec):
            longer = read(path)
            games = records.decode_trajectories(
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
        "initial",
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
    for path in find(locate_run(out, spec).parent):
        try:
            yield path, read_spec(path)
        except IsbenchError:
            continue  # a damaged file is of no use here; `report` names it


def _covers(longer: Spec, spec: Spec) -> bool:
    rules, wanted = longer.rules, spec.rules
    same = replace(rules, max_clicks=wanted.max_clicks, stop_iou=wanted.stop_iou)
    return (
        replace(longer, rules=same) == spec
        and rules.max_clicks >= wanted.max_clicks
        and rules.stop_iou >= wanted.stop_iou
    )
