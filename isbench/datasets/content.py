"""What a data set's files hold: its fingerprint, which identifies it wherever it came from."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from isbench.errors import IsbenchError
from isbench.types import Dataset

_BLOCK = 1 << 20


def fingerprint(dataset: Dataset) -> str | None:
    """Return the sha256 over every file's name and sha256 in the order of names.

    Each file adds the line "<name> <sha256 in hex>" and a line feed, names in posix spelling
    relative to the set's folder. None for a data set that has no files. Raises IsbenchError for a
    file that cannot be read.
    """
    if not dataset.files:
        return None
    whole = sha256()
    for name in sorted(dataset.files):
        whole.update(f"{name} {file_digest(dataset.files[name])}\n".encode())
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """Return a file's sha256 in hex."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()
