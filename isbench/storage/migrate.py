"""Conversion of run files of isbench 0.1 to the current format; their games do not change.

isbench also reads files of 0.1 without conversion, but their names have the digests of 0.1.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from isbench.errors import IsbenchError
from isbench.storage import records, store


class Migrated(NamedTuple):
    """The path of a run file before and after the conversion."""

    old: Path
    new: Path


def migrate(folder: Path) -> Iterator[Migrated]:
    """Convert every run file of format 1 below a folder and yield the old and new paths.

    A file gets a new first line and a new name. The lines of its games are copied byte for byte,
    and its meta and mask files are renamed. Raises IsbenchError for a damaged file, or if another
    run has the new name.
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
            raise IsbenchError(f"{path} would become {new}, which is another run; move one of them")
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
        raise IsbenchError(
            f"cannot read {path}: {error}; restore it, or move it elsewhere"
        ) from error


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        if path.name.endswith(store.SEALED):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                packed.write(data)
        else:
            file.write(data)
    draft.replace(path)
