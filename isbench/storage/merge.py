"""Shards of a run, played by machines that share nothing, joined into what one would seal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from isbench.datasets.fingerprints import digest_keys
from isbench.errors import IsbenchError
from isbench.storage import store
from isbench.storage.records import Trajectories
from isbench.storage.store import Run


def merge(paths: Sequence[Path], out: Path) -> list[Path]:
    """Join the sealed shards among files and below folders; return the sealed runs in `out`.

    The bytes are those of a run on one machine. Raises IsbenchError, nothing written, for shards
    that lack objects or differ in the game of an object.
    """
    runs: dict[str, list[Run]] = {}
    for path in dict.fromkeys(_files(paths)):
        part = store.read(path)
        runs.setdefault(store.spec_digest(part.spec), []).append(part)
    if not runs:
        told = ", ".join(map(str, paths))
        raise IsbenchError(f"no shards in {told}; play some by `isbench run --shard 1/2`")
    joined = [(parts, _join(parts)) for parts in runs.values()]
    return [_find_sealed(out, parts, lines) for parts, lines in joined]


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from store.find_shards(path)
        elif path.is_file() and path.name.endswith(store.SEALED) and store.shard_of_path(path):
            yield path
        else:
            raise IsbenchError(
                f"{path} is no shard; wanted a folder, or a file *.1-of-2{store.SEALED} that "
                "`isbench run --shard 1/2` sealed"
            )


def _join(parts: Sequence[Run]) -> dict[str, bytes]:
    """Return the lines of all parts by key; raises unless they are those of the whole run."""
    lines: dict[str, bytes] = {}
    source: dict[str, Path] = {}
    for part in parts:
        games = part.trajectories
        assert isinstance(games, Trajectories)
        for key, line in zip(games.keys, games.lines, strict=True):
            if lines.setdefault(key, line) != line:
                raise IsbenchError(
                    f"object {key} was played otherwise in {part.path} than in {source[key]}; one "
                    "of the machines computes otherwise: play both shards on one"
                )
            source.setdefault(key, part.path)
    spec = parts[0].spec
    if digest_keys(sorted(lines)) != spec.keys:
        there = ", ".join(sorted({f"{n}/{of}" for n, of in map(_number, parts)}))
        raise IsbenchError(
            f"{spec.model} on {spec.dataset}: {len(lines)} of {spec.objects} objects are in the "
            f"shards {there}; merge once all are sealed"
        )
    return lines


def _number(part: Run) -> store.Shard:
    shard = store.shard_of_path(part.path)
    assert shard is not None
    return shard


def _find_sealed(out: Path, parts: Sequence[Run], lines: dict[str, bytes]) -> Path:
    """Seal a run, and put what its shards noted of machines and times beside it."""
    spec = parts[0].spec
    with store.open_run(out, spec) as file:
        if file is not None:
            file.recorded.update(lines)
            file.note(b"".join(map(_notes, parts)))
            file.seal()
    return store.run_path(out, spec)


def _notes(part: Run) -> bytes:
    try:
        return store.meta_path(part.path).read_bytes()
    except OSError:  # a shard may come without them
        return b""
