"""Compiled networks on disk, in the user's cache folder.

A file has a checksum and is written in one step, so that several processes may share the folder.
One that cannot be read or written is as good as none, since the cache only saves time. Not here:
what decides a compiled network (`isbench.nn.runtime.openvino`).
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from isbench.errors import IsbenchError
from isbench.files.atomic import write_atomically

LARGEST = 2**31  # bytes of all files together; the least recently used ones are removed
_DIGEST = sha256().digest_size  # bytes before the content, which they check
_LOCK = "lock"


def find_folder() -> Path:
    """Return the folder of compiled networks."""
    return user_cache_path("isbench", appauthor=False) / "openvino"


def read_graph(key: str) -> bytes | None:
    """Return what was written under a key, None if it is missing or damaged."""
    path = _find_path(key)
    try:
        with path.open("rb") as file:
            digest, content = file.read(_DIGEST), file.read()
        path.touch()  # used just now
    except OSError:
        return None
    return content if sha256(content).digest() == digest else None


def write_graph(key: str, content: bytes) -> None:
    """Write a compiled network under a key, if the folder can be written."""
    path = _find_path(key)
    # drafts of the same file have the same name; some file systems have no locks
    with suppress(OSError, IsbenchError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / _LOCK):
            write_atomically(path, sha256(content).digest() + content)
            _prune(path.parent)


def _find_path(key: str) -> Path:
    return find_folder() / f"{key}.blob"


def _prune(folder: Path) -> None:
    """Remove the files that were not used for the longest time, until the others are small."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != _LOCK]
    left = LARGEST
    for path in sorted(files, key=lambda one: one.stat().st_mtime, reverse=True):
        left -= path.stat().st_size
        if left < 0:
            path.unlink(missing_ok=True)
