"""Data sets from folders and archives into the data folder: checked, then moved in one step."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from isbench.datasets.catalogue import Entry
from isbench.datasets.content import file_digest
from isbench.errors import IsbenchError

_DEPTH = 4  # folders that an archive may wrap around a set


def install(name: str, entry: Entry, source: Path, data: Path) -> Path:
    """Copy the set in `source`, a folder or an archive in the official layout; return its folder.

    The set appears under the data folder whole or not at all. Raises IsbenchError when it is there
    already, the layout is not found, an archive is damaged, holds a path that leads out of it, or
    has another sha256 than the published one.
    """
    target = data / entry.folders[0]
    if target.exists():
        raise IsbenchError(f"{target} is there already; take it away to import {name} anew")
    if not source.exists():
        raise IsbenchError(f"{source} is not there; wanted a folder, zip or tar with {name} in it")
    if source.is_file():
        _check_digest(entry, source)
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=data) as scratch:
            incoming = Path(scratch)
            if source.is_dir():
                found = _root(source, entry)
                shutil.copytree(found, incoming / "set")
                found = incoming / "set"
            else:
                unpack(source, incoming)
                found = _root(incoming, entry)
            entry.read(name, found)  # raises where the layout is not what readers take
            found.replace(target)
    except OSError as error:
        raise IsbenchError(f"cannot write {data}: {error.strerror or error}") from error
    return target


def unpack(archive: Path, into: Path) -> None:
    """Unpack the files of a zip or tar, links and devices left out.

    Raises IsbenchError for a damaged archive or one with a path that leads out of `into`.
    """
    try:
        with _members(archive) as members:
            for name, file in members:
                path = into.joinpath(*_inside(archive, name).parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as out:
                    shutil.copyfileobj(file, out)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError) as error:
        raise IsbenchError(f"archive {archive} is damaged ({error}); fetch it anew") from error


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Open an archive and yield its regular files by name."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield ((i.filename, zipped.open(i)) for i in zipped.infolist() if not i.is_dir())
    else:
        try:
            tar = tarfile.open(archive)  # noqa: SIM115  (closed below)
        except tarfile.ReadError as error:
            raise IsbenchError(
                f"archive {archive} is damaged, or is no zip or tar ({error}); fetch it anew"
            ) from error
        with tar:
            files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
            yield ((name, file) for name, file in files if file is not None)


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise IsbenchError(
            f"archive {archive} holds {name!r}, which leads out of it; do not use it"
        )
    return path


def _root(folder: Path, entry: Entry) -> Path:
    """Return the shallowest folder that has the set's landmark."""
    level = [folder]
    for _ in range(_DEPTH + 1):
        for candidate in level:
            if (candidate / entry.landmark).is_dir():
                return candidate
        level = [child for parent in level for child in sorted(parent.iterdir()) if child.is_dir()]
    raise IsbenchError(
        f"no folder {entry.landmark} in {folder}; wanted the layout of {entry.folders[0]} (see "
        "docs/datasets.md)"
    )


def _check_digest(entry: Entry, archive: Path) -> None:
    wanted = entry.archive.sha256 if entry.archive else None
    if wanted is None:
        return
    found = file_digest(archive)
    if found != wanted:
        raise IsbenchError(
            f"{archive} has sha256 {found}, the published archive {wanted}; fetch it anew, or "
            "unpack it and import the folder if you know what it is"
        )
