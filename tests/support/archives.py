"""Archives made in memory: files by name to the bytes of a zip or tar."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping

Pack = Callable[[Mapping[str, bytes]], bytes]


def make_zip(files: Mapping[str, bytes]) -> bytes:
    return make_zip_of(files.items())


def make_tar(files: Mapping[str, bytes], compression: str = "") -> bytes:
    return make_tar_of(((name, tarfile.REGTYPE, blob) for name, blob in files.items()), compression)


def make_tar_of(members: Iterable[tuple[str, bytes, bytes]], compression: str = "") -> bytes:
    """Return a tar of members: their names, which may repeat, types and content or link target."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode=f"w:{compression}") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content.decode()
            archive.addfile(member, io.BytesIO(content))
    return whole.getvalue()


def make_zip_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a zip of files by name; names may repeat."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that repeats
        for name, content in files:
            archive.writestr(name, content)
    return whole.getvalue()


PACKS: Mapping[str, Pack] = {
    "zip": make_zip,
    "tar": make_tar,
    "tar.gz": lambda files: make_tar(files, "gz"),
    "tar.bz2": lambda files: make_tar(files, "bz2"),
    "tar.xz": lambda files: make_tar(files, "xz"),
}
