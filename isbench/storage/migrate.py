"""Conversion of run files of isbench 0.1 to the current format; their games do not change.

isbench also reads files of 0.1 without conversion, but their names have the digests of 0.1.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from isbench.errors import IsbenchError, Remedy
from isbench.files.atomic import make_write_error, open_atomically
from isbench.files.limits import read_first_line, read_lines
from isbench.storage import records, store
from isbench.storage.processors import copy_processors, drop_processors

_REMEDY = Remedy("no run is lost: free some space, and convert the folder again")


class Migration(NamedTuple):
    """The path of a run file before and after its conversion."""

    old: Path
    new: Path


def migrate_folder(folder: Path | str) -> Iterator[Migration]:
    """Convert every run file of isbench 0.1 below a folder; yield each one when it is converted.

    An interrupted conversion can be repeated: no run is lost. Raises IsbenchError, and converts
    nothing, if the folder does not exist, a file is damaged, or another run has the name of one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise IsbenchError(f"{folder} is not a folder; name a folder with run files")
    planned = find_migrations(folder)
    renamed = {store.parse_digest(old): store.parse_digest(new) for old, new in planned}
    copy_processors(folder, renamed)  # known under both names while runs are converted
    for one in planned:
        migrate(one)
        yield one
    drop_processors(folder, renamed)


def find_migrations(folder: Path) -> list[Migration]:
    """Return the conversion of every run file of format 1 below a folder; nothing is written.

    Raises IsbenchError for a damaged file, or if another run has the new name of one.
    """
    return list(_find_migrations(folder))


def migrate(one: Migration) -> None:
    """Convert a run file: it gets a new first line and a new name, and so do its meta and masks.

    The lines of the games are copied byte for byte. The old file is removed last, so an interrupted
    conversion can be repeated. Raises IsbenchError if the disk fails.
    """
    old, new = one
    lines = _convert(old)
    with open_atomically(new, _REMEDY) as file:
        if new.name.endswith(store.SEALED):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                packed.writelines(lines)
        else:
            file.writelines(lines)
    try:
        for suffix in (store.META, store.MASKS):
            if (companion := store.locate_companion(old, suffix)).exists():
                companion.replace(store.locate_companion(new, suffix))
        old.unlink()
    except OSError as error:
        raise make_write_error(new, error, _REMEDY) from error


def _find_migrations(folder: Path) -> Iterator[Migration]:
    planned: dict[Path, Path] = {}  # new path -> the file that has or gets it
    for old in sorted([*store.find(folder), *store.find_shards(folder)]):
        first = read_first_line(old)
        if records.read_format(old, first) == records.FORMAT:
            continue
        spec = records.parse_spec(old, first)
        new = store.locate_run(old.parent.parent, spec, store.parse_shard_name(old))
        if not old.name.endswith(store.SEALED):
            new = store.locate_companion(new, store.OPEN)
        other = planned.setdefault(new, new if new.exists() else old)
        if other != old and not _are_equal(_convert(other), _convert(old)):
            which = "" if other == new else f" ({other})"
            raise IsbenchError(
                f"{old} would become {new}, which is another run{which}; move one of them"
            )
        yield Migration(old, new)


def _are_equal(one: Iterator[bytes], other: Iterator[bytes]) -> bool:
    return all(a == b for a, b in zip_longest(one, other))


def _convert(path: Path) -> Iterator[bytes]:
    """Yield the lines of a run file in the current format."""
    lines = read_lines(path)
    spec = records.parse_spec(path, next(lines, b""))
    yield records.format_line(records.encode_spec(spec))
    yield from lines
