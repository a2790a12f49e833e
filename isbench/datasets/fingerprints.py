"""What a data set's files hold: its fingerprint, which identifies it wherever it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from isbench.errors import IsbenchError
from isbench.types import Dataset

_BLOCK = 1 << 20


def digest_files(dataset: Dataset) -> dict[str, str]:
    """Return the sha256 of every file of the set by name; raises IsbenchError for one missing."""
    return {name: digest_file(path) for name, path in dataset.files.items()}


def fingerprint(dataset: Dataset, files: Mapping[str, str] | None = None) -> str:
    """Return the sha256 over every file's name and sha256 in the order of names.

    Each file adds the line "<name> <sha256 in hex>" and a line feed, names in posix spelling
    relative to the set's folder; `files` are the digests if they are known already. Of a set that
    was made in memory every object is loaded and takes the place of a file.
    """
    if files is None:
        files = digest_files(dataset) if dataset.files else _loaded(dataset)
    whole = sha256()
    for name in sorted(files):
        whole.update(f"{name} {files[name]}\n".encode())
    return whole.hexdigest()


def digest_keys(keys: Iterable[str]) -> str:
    """Return 12 hex digits of the sha256 over the keys, sorted, a line each."""
    return sha256("".join(f"{key}\n" for key in sorted(keys)).encode()).hexdigest()[:12]


def _loaded(dataset: Dataset) -> dict[str, str]:
    found = {}
    for key in dataset.keys:
        sample = dataset.load(key)
        parts = (sample.image, sample.truth, sample.ignore, sample.initial)
        whole = sha256()
        for part in parts:
            whole.update(b"" if part is None else repr(part.shape).encode() + part.tobytes())
        found[key] = whole.hexdigest()
    return found


def digest_file(path: Path) -> str:
    """Return a file's sha256 in hex."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()
