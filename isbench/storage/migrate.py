"""Run files that isbench 0.1 wrote, rewritten under today's identity; their games stay as they are.

What 0.1 wrote is read without this as well; rewritten, a file's name says which run it is.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from isbench.errors import IsbenchError
from isbench.storage import records, store


class Migrated(NamedTuple):
    """A run file before and after."""

    old: Path
    new: Path


def migrate(folder: Path) -> Iterator[Migrated]:
    """Rewrite every run file of format 1 below a folder and yield what was done.

    A file gets a new first line and a new name; the lines of its games are copied byte for byte,
    and times and masks beside it are renamed. Raises IsbenchError for a damaged file, and where the
    new name is taken by another run.
    """
    for path in sorted([*store.find(folder), *store.find_shards(folder)]):
        first, _, games = _read(path).partition(b"\n")
        if records.read_format(path, first) == records.FORMAT:
            continue
        spec = records.parse_spec(path, first)
        data = records.format_line(records.spec_record(spec)) + games
        new = store.run_path(path.parent.parent, spec, store.shard_of_path(path))
        if not path.name.endswith(store.SEALED):
            new = store.companion_path(new, store.OPEN)
        if new.exists() and _read(new) != data:
            raise IsbenchError(f"{path} would become {new}, which is another run; move one away")
        _write(new, data)
        for suffix in (store.META, store.MASKS):
            if (companion := store.companion_path(path, suffix)).exists():
                companion.replace(store.companion_path(new, suffix))
        path.unlink()
        yield Migrated(path, new)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.name.endswith(store.SEALED) else data
    except (OSError, EOFError) as error:
        raise IsbenchError(f"cannot read {path}: {error}; restore it, or move it away") from error


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        if path.name.endswith(store.SEALED):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                packed.write(data)
        else:
            file.write(data)
    draft.replace(path)
