"""Digests of files, and whether a copy is the published file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from isbench.errors import IsbenchError
from isbench.files.limits import open_regular
from isbench.types import File

_BLOCK = 1 << 20


def digest_file(path: Path) -> str:
    """Return a file's sha256 in hex; raises IsbenchError if it cannot be read."""
    try:
        return _hash(path, "sha256")
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error


def describe_mismatch(file: File, path: Path) -> str:
    """Return how a copy differs from the published size or hash, '' if it does not."""
    size = path.stat().st_size if path.exists() else 0
    if file.size not in (None, size):
        return f"it has {size} bytes, wanted {file.size}"
    for kind, wanted in (("sha256", file.sha256), ("md5", file.md5)):
        found = _hash(path, kind) if wanted else wanted
        if found != wanted:
            return f"its {kind} is {found}, wanted {wanted}"
    return ""


def _hash(path: Path, kind: str) -> str:
    found = hashlib.new(kind)
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
