"""The user's own data sets by name, listed in a small file.

The file is in the data folder, or in the user's configuration folder if the data folder is shared
or read-only; both are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from isbench.datasets.data_root import find_config_folder, find_data_folder, is_own
from isbench.datasets.faults import is_one_line
from isbench.datasets.readers import resolve_place
from isbench.datasets.registry import BUILT_IN, list_dataset_names
from isbench.errors import IsbenchError, make_unknown_error
from isbench.files.atomic import make_write_error, write_atomically
from isbench.files.json_text import parse_json, refuse_repeated
from isbench.files.limits import read_limited

FILE = "own-sets.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def list_user_datasets(data: Path | None = None) -> Mapping[str, str]:
    """Return `READER:PLACE` by name, with absolute paths.

    A name in the configuration folder precedes one in the data folder. Raises IsbenchError for a
    damaged file.
    """
    found: dict[str, str] = {}
    for path in reversed(_list_files(data)):
        found |= _read(path)
    return dict(sorted(found.items()))


def add(name: str, place: str, data: Path | None = None) -> str:
    """Store a name for a `READER:PLACE` and return the place with absolute paths.

    A name that is already stored gets the new place. Raises IsbenchError for an invalid name, and
    for that of a built-in data set or of one from a package.
    """
    if not _NAME.fullmatch(name):
        raise IsbenchError(f"name is {name!r}; wanted letters, digits, '.', '_' and '-' only")
    if name in list_dataset_names():
        kind = "a built-in data set" if name in BUILT_IN else "a data set of a package"
        raise IsbenchError(f"{name} is {kind}; choose another name")
    stored = resolve_place(place)
    in_config, in_data = _list_files(data)
    there = name in _read(in_config) or not is_own(find_data_folder(data))
    path = in_config if there else in_data
    _write(path, {**_read(path), name: stored})
    return stored


def remove(name: str, data: Path | None = None) -> None:
    """Remove a name and keep its files; raises IsbenchError for an unknown name."""
    known = list_user_datasets(data)
    if name not in known:
        raise make_unknown_error("custom data set", name, known)
    for path in _list_files(data):
        stored = _read(path)
        if stored.pop(name, None) is not None:
            _write(path, stored)


def _list_files(data: Path | None) -> tuple[Path, Path]:
    """Return the file in the configuration folder and that in the data folder."""
    return find_config_folder() / FILE, find_data_folder(data) / FILE


def _read(path: Path) -> dict[str, str]:
    try:
        found = parse_json(read_limited(path), object_pairs_hook=refuse_repeated)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise IsbenchError(f"cannot read {path} ({error}); fix it or delete it") from error
    if not isinstance(found, dict):
        raise IsbenchError(f"cannot read {path} (it is no object); fix it or delete it")
    for name, place in found.items():
        valid = isinstance(place, str) and ":" in place and is_one_line(place)
        if not (valid and _NAME.fullmatch(name)):
            raise IsbenchError(
                f"cannot read {path} (the entry {name!a} is {place!a:.60}; wanted a name and "
                "READER:PLACE); fix it or delete it"
            )
    return found


def _write(path: Path, sets: Mapping[str, str]) -> None:
    if sets:
        text = json.dumps(sets, indent=1, sort_keys=True) + "\n"
        write_atomically(path, text.encode())
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise make_write_error(path, error) from error
