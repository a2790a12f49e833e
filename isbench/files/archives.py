"""Archives unpacked: zip and tar files, nothing outside the target folder.

What a file cannot be made of exactly is refused and named: links and devices, two members for one
file, and archives that unpack to far more than they hold.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from isbench.errors import IsbenchError

# raised by the standard library for damaged, encrypted or unsupported archives
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


_BLOCK = 1 << 20  # bytes read at once
_MEMBER = 4096  # bytes that a member takes on a disk, even if it is empty
_RATIO, _ALWAYS = (
    100,
    1_000_000_000,
)  # most bytes unpacked: per byte of the archive, and in any case


# what file managers add, sometimes twice; it is no data, and is not unpacked
_JUNK, _JUNK_FOLDER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"}), "__MACOSX"

_NAMING = frozenset(  # members that hold names and facts of the next one
    (
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    )
)


class Unusable(IsbenchError):
    """An archive is damaged or not the expected one: what is wrong, without what to do about it."""


class _Member(NamedTuple):
    """A member of an archive; `kind` is file, folder, or what is refused, such as "hard link"."""

    name: str
    kind: str
    open: Callable[[], IO[bytes] | None]  # of a file


def unpack(archive: Path, into: Path) -> None:
    """Unpack the files of a zip or tar, without what file managers added.

    Raises Unusable for a damaged archive, and for one with a path that leads out of `into`, a link
    or another special member, two members for one file, or far more bytes than an archive of its
    size holds. Files that differ by case alone count as one, since not every disk tells them apart.
    """
    into.mkdir(exist_ok=True)
    try:
        with _open_members(archive) as members:
            _write_members(archive, members, into)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # a disk error; an error of the archive has no number, or is EINVAL from a seek
        reason = str(error).partition("\n")[0].rstrip(":")  # tarfile appends what it tried
        raise Unusable(
            f"archive {archive} is damaged or of an unsupported type ({reason})"
        ) from error


def _write_members(archive: Path, members: Iterator[_Member], into: Path) -> None:
    """Write the files among the members; raises Unusable for what must not be unpacked."""
    names = _Names(archive)
    left = _ALWAYS + _RATIO * archive.stat().st_size
    for name, kind, open_file in members:
        if kind not in ("file", "folder"):
            raise _refuse(archive, f"{name!r}, a {kind}: wanted files and folders only")
        parts = _parse_member_path(archive, name).parts
        target = into.joinpath(*parts)
        if _is_junk(parts):
            target = Path(os.devnull)  # it is read all the same, since its size counts
        else:
            names.add(name, parts, kind == "folder")
        left -= _MEMBER
        if kind == "file" and (file := open_file()) is not None:
            try:
                with file:
                    left = _write(file, target, left)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                raise _refuse(archive, f"{name[:60]!r}..., a name that is too long") from error
        if left < 0:
            raise _refuse(archive, f"more than {_RATIO} times its size, at {name!r}")


def _is_junk(parts: tuple[str, ...]) -> bool:
    """Return whether a file manager added a member, such as macOS one for each file."""
    return bool(parts) and (
        _JUNK_FOLDER in parts[:1] or parts[-1] in _JUNK or parts[-1].startswith("._")
    )


def _write(file: IO[bytes], path: Path, left: int) -> int:
    """Write a file, and stop after `left` bytes; return how many are left, below 0 if too few."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        while left >= 0 and (block := file.read(_BLOCK)):
            left -= out.write(block)
    return left


class _Names:
    """The paths of an archive so far; each may occur once."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._files: dict[tuple[str, ...], str] = {}
        self._folders: dict[tuple[str, ...], str] = {}

    def add(self, name: str, parts: tuple[str, ...], is_folder: bool) -> None:
        """Add a member; raises Unusable if it would overwrite another one, or has no name."""
        path = tuple(unicodedata.normalize("NFC", part).lower() for part in parts)
        if not path and not is_folder:
            raise _refuse(self._archive, f"{name!r}, which names no file")
        above = (path[:k] for k in range(1, len(path) + is_folder))
        other = next((self._files[one] for one in above if one in self._files), None)
        if not is_folder:
            other = other or self._files.get(path) or self._folders.get(path)
        if other is not None:
            raise _refuse(self._archive, f"{other!r} and {name!r}, two members for one file")
        for k in range(1, len(path)):
            self._folders.setdefault(path[:k], name)
        (self._folders if is_folder else self._files)[path] = name


def _refuse(archive: Path, what: str) -> Unusable:
    return Unusable(f"archive {archive} contains {what}")


@contextmanager
def _open_members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Open an archive and yield its members, in order."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield (
                _Member(member.filename, _find_zip_kind(member), partial(zipped.open, member))
                for member in zipped.infolist()
            )
    else:
        with tarfile.open(archive, tarinfo=_Header) as tar:
            yield (
                _Member(member.name, _find_tar_kind(member), partial(tar.extractfile, member))
                for member in tar
            )


def _find_zip_kind(member: zipfile.ZipInfo) -> str:
    if member.filename.endswith(("/", "\\")):
        return "folder"
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) in (0, stat.S_IFREG):
        return "file"
    return "symbolic link" if stat.S_ISLNK(mode) else "special file"


def _find_tar_kind(member: tarfile.TarInfo) -> str:
    if member.isfile():
        return "file"
    kinds = {tarfile.DIRTYPE: "folder", tarfile.LNKTYPE: "hard link"}
    kinds[tarfile.SYMTYPE] = "symbolic link"
    return kinds.get(member.type, "special file")


class _Header(tarfile.TarInfo):
    """A tar header that raises ReadError if broken; tarfile takes it for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _NAMING and header.size > _BLOCK:  # tarfile reads it into memory
            raise tarfile.ReadError(f"a name or header of {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed lacks it
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _parse_member_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise Unusable(f"archive {archive} contains {name!r}, which leads out of it")
    return path
