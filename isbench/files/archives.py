"""Archives unpacked: zip and tar files, nothing outside the target folder."""

from __future__ import annotations

import errno
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

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


class Unusable(IsbenchError):
    """An archive is damaged or not the expected one; another download may be good."""


def unpack(archive: Path, into: Path) -> None:
    """Unpack the regular files of a zip or tar; links and devices are skipped.

    Raises Unusable for a damaged archive or one with a path that leads out of `into`.
    """
    into.mkdir(exist_ok=True)
    try:
        with _members(archive) as members:
            for name, file in members:
                with file:
                    path = into.joinpath(*_parse_member_path(archive, name).parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("wb") as out:
                        shutil.copyfileobj(file, out)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # a disk error; an error of the archive has no number, or is EINVAL from a seek
        reason = str(error).partition("\n")[0].rstrip(":")  # tarfile appends what it tried
        raise Unusable(
            f"archive {archive} is damaged or of an unsupported type ({reason}); download it "
            "again, or unpack it yourself and import the folder"
        ) from error


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Open an archive and yield the names of its regular files with the open files."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield ((i.filename, zipped.open(i)) for i in zipped.infolist() if _is_file(i))
    else:
        with tarfile.open(archive, tarinfo=_Header) as tar:
            files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
            yield ((name, file) for name, file in files if file is not None)


class _Header(tarfile.TarInfo):
    """A tar header that raises ReadError if broken; tarfile would take it for the archive's end."""

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


def _parse_member_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise Unusable(f"archive {archive} contains {name!r}, which leads out of it; do not use it")
    return path
