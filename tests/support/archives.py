"""Archives made in memory: files by name to the bytes of a zip or tar."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping

Pack = Callable[[Mapping[str, bytes]], bytes]


def make_zip(files: Mapping[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def make_tar(files: Mapping[str, bytes], compression: str = "") -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return whole.getvalue()


PACKS: Mapping[str, Pack] = {
    "zip": make_zip,
    "tar": make_tar,
    "tar.gz": lambda files: make_tar(files, "gz"),
    "tar.bz2": lambda files: make_tar(files, "bz2"),
    "tar.xz": lambda files: make_tar(files, "xz"),
}
