"""Merging of shards: parts of a run from several machines become one whole run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from isbench.datasets.fingerprints import digest_keys
from isbench.errors import IsbenchError
from isbench.files.limits import find_whole_size, read_lines
from isbench.storage import run_file, store
from isbench.storage.records import Trajectories
from isbench.storage.store import Run
from isbench.types import Spec


def merge(paths: Sequence[Path | str], out: Path | str = "runs") -> list[Path]:
    """Merge sealed shards into whole runs, byte-identical to runs on one machine.

    Parameters
    ----------
    paths : sequence of Path or str
        Files of shards, and folders with shards.
    out : Path or str
        The folder of the merged runs.

    Returns
    -------
    list of Path
        The sealed files in `out`.

    Raises
    ------
    IsbenchError
        If shards are missing objects, or differ in the game of an object from each other or from
        what `out` has recorded of the run; nothing is written then.
    """
    runs: dict[str, list[Run]] = {}
    for path in dict.fromkeys(_list_files([Path(path) for path in paths])):
        part = store.read(path)
        runs.setdefault(store.digest_spec(part.spec), []).append(part)
    if not runs:
        listed = ", ".join(map(str, paths))
        raise IsbenchError(f"no shards in {listed}; make some with `isbench run --shard 1/2`")
    joined = [(parts, _join(parts)) for parts in runs.values()]
    for parts, lines in joined:
        _check_recorded(Path(out), parts[0].spec, lines)
    return [_seal_run(Path(out), parts, lines) for parts, lines in joined]


def _list_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from store.find_shards(path)
        elif path.is_file() and path.name.endswith(store.SEALED) and store.parse_shard_name(path):
            yield path
        else:
            raise IsbenchError(
                f"{path} is not a shard; wanted a folder, or a file *.1-of-2{store.SEALED} from "
                "`isbench run --shard 1/2`"
            )


def _join(parts: Sequence[Run]) -> dict[str, bytes]:
    """Return the lines of all parts by key; raises IsbenchError unless they form the whole run."""
    lines: dict[str, bytes] = {}
    source: dict[str, Path] = {}
    for part in parts:
        for key, line in _list_lines(part):
            if lines.setdefault(key, line) != line:
                raise IsbenchError(
                    f"object {key} has different games in {part.path} and {source[key]}; the "
                    "machines compute different results: run both shards on one machine"
                )
            source.setdefault(key, part.path)
    spec = parts[0].spec
    if digest_keys(sorted(lines)) != spec.keys:
        present = ", ".join(sorted({f"{n}/{of}" for n, of in map(_find_shard, parts)}))
        raise IsbenchError(
            f"{spec.model} on {spec.dataset}: {len(lines)} of {spec.objects} objects are in the "
            f"shards {present}; merge when all shards are sealed"
        )
    return lines


def _check_recorded(out: Path, spec: Spec, lines: Mapping[str, bytes]) -> None:
    """Raise IsbenchError if `out` has other games of the run, or a file of it that is damaged."""
    sealed = store.locate_run(out, spec)
    opened = store.locate_companion(sealed, store.OPEN)
    recorded = [sealed] if store.exists(sealed) else []
    recorded += [opened] if find_whole_size(opened) else []  # else a torn first line: no game
    for path in recorded:
        for key, line in _list_lines(store.read(path)):
            if lines.get(key) != line:
                raise IsbenchError(
                    f"object {key} has another game in {path} than in the shards; choose another "
                    "folder, or move that file elsewhere",
                    setting="out",
                )


def _list_lines(run: Run) -> Iterator[tuple[str, bytes]]:
    """Return the key and the line of each game."""
    games = run.trajectories
    assert isinstance(games, Trajectories)
    return zip(games.keys, games.lines, strict=True)


def _find_shard(part: Run) -> store.Shard:
    shard = store.parse_shard_name(part.path)
    assert shard is not None
    return shard


def _seal_run(out: Path, parts: Sequence[Run], lines: dict[str, bytes]) -> Path:
    """Seal a run, with the meta lines of its shards: times, machines and versions."""
    spec = parts[0].spec
    with run_file.open_run(out, spec) as file:
        if file is not None:
            file.recorded.update(lines)
            for part in parts:
                file.note(_read_meta(part))
            file.seal()
    return store.locate_run(out, spec)


def _read_meta(part: Run) -> Iterator[bytes]:
    with suppress(IsbenchError):  # times affect no result
        yield from read_lines(store.locate_meta(part.path))
