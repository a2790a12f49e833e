"""Imported results: IoU curves that another evaluator recorded, in files of their own.

They have no clicks, no Spec and no names of objects, so they are not runs: nothing takes one for a
run, and their files have another ending. Not here: the formats of other evaluators.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from isbench.errors import IsbenchError
from isbench.files.atomic import write_atomically
from isbench.files.json_text import parse_json
from isbench.files.limits import read_limited
from isbench.storage.store import list_files, name_folder, name_plainly
from isbench.types import Rules

SUFFIX = ".curves.json"
FOLDER = "imported"
_FORMAT = 1
_MOST_CLICKS = 2 * 10**7  # of all objects, each with the most clicks: 30 times 100 clicks on SBD


@dataclass(frozen=True)
class ImportedCurves:
    """The IoU after each click of each object, as a file of another evaluator states it."""

    evaluator: str  # such as "ritm-pickle"
    model: str
    dataset: str  # by its name in isbench
    max_clicks: int
    stop_iou: float  # above 1: full games
    source: str  # the name of the file
    sha256: str  # of the file
    iou: tuple[tuple[float, ...], ...]  # per object, in the order of the file

    def __post_init__(self) -> None:
        """Raise IsbenchError for curves that do not end where games of these rules end."""
        rules = self.rules
        for number, curve in enumerate(self.iou, start=1):
            solved = [iou >= rules.stop_iou for iou in curve]
            if not 0 < len(curve) <= rules.max_clicks or any(solved[:-1]):
                what = f"has {len(curve)} clicks; wanted 1 to {rules.max_clicks}"
                if any(solved[:-1]):
                    what = f"continues after IoU {rules.stop_iou:g}, at which its game ends"
                raise IsbenchError(
                    f"object {number} of {self.source} {what}: name the evaluator's own limits",
                    setting="max_clicks" if len(curve) > rules.max_clicks else "stop_iou",
                )
            if len(curve) < rules.max_clicks and not solved[-1]:
                raise IsbenchError(
                    f"object {number} of {self.source} ends after {len(curve)} clicks at IoU "
                    f"{curve[-1]:.4f}; wanted {rules.max_clicks} clicks or IoU "
                    f"{rules.stop_iou:g}: name the evaluator's own limits",
                    setting="stop_iou",
                )

    @property
    def rules(self) -> Rules:
        """Return the rules by which the games ended; how the clicks were made is not known."""
        return Rules(self.max_clicks, self.stop_iou)


def write_imported(out: Path | str, curves: ImportedCurves) -> Path:
    """Write imported results below a results folder; return the file, named by its content."""
    text = json.dumps({"isbench_imported": _FORMAT, **asdict(curves)}, sort_keys=True) + "\n"
    digest = sha256(text.encode()).hexdigest()[:12]
    folder = name_folder(curves.dataset)
    path = Path(out) / FOLDER / folder / f"{name_plainly(curves.model)}-{digest}{SUFFIX}"
    write_atomically(path, text.encode())
    return path


def read_imported(path: Path) -> ImportedCurves:
    """Return the imported results of a file; raises IsbenchError for another file."""
    try:
        record = parse_json(read_limited(path))
        if not isinstance(record, dict) or record.pop("isbench_imported", None) != _FORMAT:
            raise ValueError(f"it is not of format {_FORMAT}")
        _check_kinds(record)
        return ImportedCurves(**{**record, "iou": tuple(map(tuple, record["iou"]))})
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise IsbenchError(
            f"{path} holds no imported results ({error}); wanted a file from `isbench import`"
        ) from error


def find_imported(place: Path) -> Iterator[Path]:
    """Yield the files of imported results at a place: a file, or a folder with its subfolders."""
    yield from sorted(list_files(place, SUFFIX)) if place.is_dir() else [place]


def _check_kinds(record: dict[str, Any]) -> None:
    """Raise TypeError or ValueError for a field of another kind: a file may come from anybody."""
    for name in ("evaluator", "model", "dataset", "source", "sha256"):
        if not isinstance(record[name], str):
            raise TypeError(f"{name} is not a text")
    if type(record["max_clicks"]) is not int or type(record["stop_iou"]) not in (int, float):
        raise TypeError("max_clicks or stop_iou is not a number")
    iou = record["iou"]
    if not isinstance(iou, list) or not iou:
        raise TypeError("iou is not a list of objects")
    if len(iou) * record["max_clicks"] > _MOST_CLICKS:
        raise ValueError(f"{len(iou):,} objects of {record['max_clicks']} clicks are too many")
    for curve in iou:
        if not isinstance(curve, list) or not all(
            type(one) in (int, float) and 0 <= one <= 1 for one in curve
        ):
            raise ValueError("an IoU is not a number from 0 to 1")
