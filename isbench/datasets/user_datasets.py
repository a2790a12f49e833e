"""Data sets of one's own, by a name: a small file in the data folder says where each one is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from isbench.datasets.data_root import data_folder
from isbench.errors import IsbenchError, unknown

FILE = "own-sets.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def list_user_datasets(data: Path | None = None) -> Mapping[str, str]:
    """Return what each name stands for: `folder:PATH` or `coco:IMAGES,JSON`, paths absolute."""
    path = data_folder(data) / FILE
    try:
        found = json.loads(path.read_bytes())
        return {str(name): str(place) for name, place in found.items()}
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise IsbenchError(f"{path} cannot be read ({error}); mend it or delete it") from error


def add(name: str, place: str, taken: Mapping[str, object], data: Path | None = None) -> str:
    """Give a place a name, and return the place as it is kept; raises IsbenchError for a bad name.

    `taken` has the names that mean something else. The same name again stands for the new place.
    """
    if not _NAME.fullmatch(name):
        raise IsbenchError(f"name {name!r}; wanted letters, digits, '.', '_' and '-' only")
    if name in taken:
        raise IsbenchError(f"{name} is a data set of isbench's own; choose another name")
    kept = _absolute(place)
    _write({**list_user_datasets(data), name: kept}, data)
    return kept


def remove(name: str, data: Path | None = None) -> None:
    """Forget a name; its files stay. Raises IsbenchError for a name that there is not."""
    there = dict(list_user_datasets(data))
    if name not in there:
        raise unknown("data set of your own", name, there)
    del there[name]
    _write(there, data)


def _absolute(place: str) -> str:
    form, colon, rest = place.partition(":")
    if not colon or form not in ("folder", "coco"):
        raise IsbenchError(f"{place}; wanted folder:PATH or coco:IMAGES_DIR,ANNOTATIONS.json")
    first, comma, last = rest.rpartition(",")
    parts = [first, last] if form == "coco" and comma else [rest]
    return f"{form}:{','.join(str(Path(part).expanduser().resolve()) for part in parts)}"


def _write(sets: Mapping[str, str], data: Path | None) -> None:
    path = data_folder(data) / FILE
    draft = path.with_name(f"{FILE}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(sets, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise IsbenchError(f"cannot write {path}: {error.strerror or error}") from error
