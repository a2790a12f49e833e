"""The user's own data sets by name, listed in a small file in the data folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from isbench.datasets.data_root import data_folder
from isbench.datasets.readers import resolve_place
from isbench.datasets.registry import BUILT_IN, dataset_names
from isbench.errors import IsbenchError, unknown
from isbench.files.atomic import write_atomically
from isbench.files.json_text import is_text, parse_json
from isbench.files.limits import read_limited

FILE = "own-sets.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def list_user_datasets(data: Path | None = None) -> Mapping[str, str]:
    """Return `READER:PLACE` by name, with absolute paths.

    Raises IsbenchError for a damaged file.
    """
    path = data_folder(data) / FILE
    try:
        found = parse_json(read_limited(path))
        for name, place in found.items():
            if not (_NAME.fullmatch(name) and isinstance(place, str) and ":" in place):
                raise ValueError(f"{name!r} is not a name with a READER:PLACE")
        return dict(found)
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise IsbenchError(f"cannot read {path} ({error}); fix it or delete it") from error


def add(name: str, place: str, data: Path | None = None) -> str:
    """Store a name for a `READER:PLACE` and return the place with absolute paths.

    A name that is already stored gets the new place. Raises IsbenchError for an invalid name, and
    for that of a built-in data set or of one from a package.
    """
    if not _NAME.fullmatch(name):
        raise IsbenchError(f"name is {name!r}; wanted letters, digits, '.', '_' and '-' only")
    if name in dataset_names():
        kind = "a built-in data set" if name in BUILT_IN else "a data set of a package"
        raise IsbenchError(f"{name} is {kind}; choose another name")
    stored = resolve_place(place)
    if not is_text(stored):
        raise IsbenchError(f"place {stored!a} is not UTF-8; rename its folders and files")
    _write({**list_user_datasets(data), name: stored}, data)
    return stored


def remove(name: str, data: Path | None = None) -> None:
    """Remove a name and keep its files; raises IsbenchError for an unknown name."""
    stored = dict(list_user_datasets(data))
    if name not in stored:
        raise unknown("custom data set", name, stored)
    del stored[name]
    _write(stored, data)


def _write(sets: Mapping[str, str], data: Path | None) -> None:
    text = json.dumps(sets, indent=1, sort_keys=True) + "\n"
    write_atomically(data_folder(data) / FILE, text.encode())
