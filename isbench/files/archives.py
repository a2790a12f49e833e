"""Data sets from folders and archives into the data folder: checked, then moved in one step."""

from __future__ import annotations

import errno
import shutil
import stat
import struct
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
from isbench.datasets.fingerprints import digest_file
from isbench.errors import IsbenchError

_DEPTH = 4  # folders that an archive may wrap around a set
_STRAY = frozenset({"__MACOSX"})  # a shadow of the whole archive that macOS adds
# what the standard library raises for bytes that are no archive, are encrypted or newer than it
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
)


class Unusable(IsbenchError):
    """An archive is not what it should be: fetched anew it may be."""


def install(name: str, entry: Entry, source: Path, data: Path) -> Path:
    """Copy the set in `source`, a folder or an archive in the official layout; return its folder.

    The set appears under the data folder whole or not at all. Raises IsbenchError when it is there
    already or the layout is not found; Unusable when an archive is damaged, lacks the layout, holds
    a path that leads out of it, or has another sha256 than the published one.
    """
    target = place(name, entry, data)
    if not source.exists():
        raise IsbenchError(f"{source} is not there; wanted a folder, zip or tar with {name} in it")
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=data) as scratch:
            incoming = Path(scratch, "set")  # others may not look into the scratch folder itself
            if source.is_dir():
                _copy(_checked(name, entry, source), incoming)
                found = incoming
            else:
                found = _unpacked(name, entry, source, incoming)
            found.replace(target)
    except OSError as error:
        raise IsbenchError(
            f"cannot import {source} into {data}: {error.strerror or error}"
        ) from error
    return target


def place(name: str, entry: Entry, data: Path) -> Path:
    """Return the folder that the set will have; raises IsbenchError when it is there already."""
    target = data / entry.folders[0]
    if target.exists():
        raise IsbenchError(f"{target} is there already; take it away to import {name} anew")
    return target


def unpack(archive: Path, into: Path) -> None:
    """Unpack the files of a zip or tar, links and devices left out.

    Raises Unusable for a damaged archive or one with a path that leads out of `into`.
    """
    into.mkdir(exist_ok=True)
    try:
        with _members(archive) as members:
            for name, file in members:
                with file:
                    path = into.joinpath(*_inside(archive, name).parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("wb") as out:
                        shutil.copyfileobj(file, out)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's trouble; that of an archive has no number, or is a senseless place
        why = str(error).partition("\n")[0].rstrip(":")  # tarfile goes on with what it tried
        raise Unusable(
            f"archive {archive} is damaged, or of a kind unknown here ({why}); fetch it anew, or "
            "unpack it yourself and import the folder"
        ) from error


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Open an archive and yield its regular files by name."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield ((i.filename, zipped.open(i)) for i in zipped.infolist() if _is_file(i))
    else:
        with tarfile.open(archive, tarinfo=_Header) as tar:
            files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
            yield ((name, file) for name, file in files if file is not None)


class _Header(tarfile.TarInfo):
    """A header of a tar, whole: tarfile would take a broken one for the archive's end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed lacks it
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _is_file(member: zipfile.ZipInfo) -> bool:
    folder = member.filename.endswith(("/", "\\"))
    return not folder and not stat.S_ISLNK(member.external_attr >> 16)


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise Unusable(f"archive {archive} holds {name!r}, which leads out of it; do not use it")
    return path


def _unpacked(name: str, entry: Entry, archive: Path, into: Path) -> Path:
    """Unpack an archive and return the set's folder in it."""
    _check_digest(entry, archive)
    unpack(archive, into)
    try:
        return _checked(name, entry, into)
    except IsbenchError as error:  # `into` will be gone when this is read
        raise Unusable(str(error).replace(str(into), str(archive))) from error


def _checked(name: str, entry: Entry, folder: Path) -> Path:
    """Return the set's folder in `folder`, once its reader takes what lies there."""
    root = _root(folder, entry)
    entry.read(name, root)
    return root


def _copy(root: Path, into: Path) -> None:
    """Copy a set's files, without their read-only marks and without an import under way."""
    under_way = shutil.ignore_patterns(".incoming-*")
    shutil.copytree(root, into, copy_function=shutil.copyfile, ignore=under_way)
    for path in (into, *into.rglob("*")):
        if path.is_dir():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)


def _root(folder: Path, entry: Entry) -> Path:
    """Return the shallowest folder that has the set's landmark."""
    level = [folder]
    for _ in range(_DEPTH + 1):
        for candidate in level:
            if (candidate / entry.landmark).is_dir():
                return candidate
        children = (child for parent in level for child in sorted(parent.iterdir()))
        level = [child for child in children if child.is_dir() and child.name not in _STRAY]
    raise IsbenchError(
        f"no folder {entry.landmark} in {folder}; wanted the layout of {entry.folders[0]} (see "
        "docs/datasets.md)"
    )


def _check_digest(entry: Entry, archive: Path) -> None:
    wanted = entry.archive.sha256 if entry.archive else None
    if wanted is None:
        return
    found = digest_file(archive)
    if found != wanted:
        raise Unusable(
            f"{archive} has sha256 {found}, the published archive {wanted}; fetch it anew, or "
            "unpack it and import the folder if you know what it is"
        )
