"""Fingerprints of data sets: digests of the content, which do not depend on its origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

import numpy as np

from isbench.datasets.loading import load_initial, load_sample
from isbench.errors import IsbenchError
from isbench.files.digests import digest_file
from isbench.files.json_text import is_text
from isbench.types import Dataset

_MOST_NAMES = 10  # most names that an error lists


def digest_files(dataset: Dataset) -> dict[str, str]:
    """Return the sha256 of every file by name; raises IsbenchError if a file is missing."""
    return {name: digest_file(path) for name, path in dataset.files.items()}


def fingerprint(dataset: Dataset, files: Mapping[str, str] | None = None) -> str:
    """Return the sha256 over the names and sha256 of all files, in the order of the names.

    Each file adds the line "<name> <sha256 in hex>" and a line feed; a name is a posix path
    relative to the folder of the data set. `files` are the digests, if already known. If the data
    set was made in memory, every object is loaded and takes the place of a file. Raises
    IsbenchError for names that are not UTF-8.
    """
    _check_names(dataset.name, dataset.keys)
    if files is None:
        files = digest_files(dataset) if dataset.files else _digest_objects(dataset)
    whole = sha256()
    _check_names(dataset.name, files)
    for name in sorted(files):
        whole.update(f"{name} {files[name]}\n".encode())
    return whole.hexdigest()


def _check_names(dataset: str, names: Iterable[str]) -> None:
    """Raise IsbenchError for names that are not UTF-8, which no record can contain."""
    if broken := sorted(name for name in (dataset, *names) if not is_text(name)):
        listed = ", ".join(map(ascii, broken[:_MOST_NAMES]))
        rest = f" and {len(broken) - _MOST_NAMES} more" if len(broken) > _MOST_NAMES else ""
        raise IsbenchError(
            f"data set {dataset!a} has names that are not UTF-8: {listed}{rest}; rename them"
        )


def digest_keys(keys: Iterable[str]) -> str:
    """Return 12 hex digits of the sha256 over the sorted keys, one per line."""
    return sha256("".join(f"{key}\n" for key in sorted(keys)).encode()).hexdigest()[:12]


def _digest_objects(dataset: Dataset) -> dict[str, str]:
    digests = {}
    for key in dataset.keys:
        sample = load_sample(dataset, key)
        parts = (sample.image, sample.truth, sample.ignore, sample.initial)
        whole = sha256()
        for part in parts:
            whole.update(b"" if part is None else repr(part.shape).encode() + part.tobytes())
        digests[key] = whole.hexdigest()
    return digests


def fingerprint_initial(dataset: Dataset) -> str | None:
    """Return the sha256 over the masks that the objects start from; None if there are none.

    In the order of the keys, each object adds the line "<key> <height>x<width> <sha256 in hex>" and
    a line feed; the sha256 is that of the mask's pixels in row-major order, eight to a byte.
    """
    if dataset.initial is None:
        return None
    whole = sha256()
    for key in sorted(dataset.keys):
        mask = load_initial(dataset, key)
        rows, cols = mask.shape
        pixels = sha256(np.packbits(mask).tobytes()).hexdigest()
        whole.update(f"{key} {rows}x{cols} {pixels}\n".encode())
    return whole.hexdigest()
