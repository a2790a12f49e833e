"""The clicker `replay:FILE`: first clicks that people made, from a csv file as RClicks' [1].

Columns: full_stem, click_type, x, y, and dataset where a file has several data sets. Only rows of
click_type "first" are played, since later clicks correct masks of other models.

[1] RClicks, arXiv:2410.11722
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from hashlib import sha256

from isbench.errors import IsbenchError
from isbench.evaluation.clickers.depths import fall_back
from isbench.files.home import expand_home
from isbench.files.limits import read_limited
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Proposal, Scalar

_COLUMNS = ("full_stem", "click_type", "x", "y")
_LARGEST = 1 << 28  # bytes of a file; half a million clicks have about 50 MB
_FARTHEST = 1e6  # pixels


def make_replay(file: str, sha256: str, dataset: str) -> ClickFunction:
    """Return the clicker that plays the recorded first clicks of each object.

    A run with the seed s plays click s of an object, and begins again after the last one: as many
    seeds as an object has clicks play each of them once. Clicks are moved onto the image, and are
    positive. Later clicks, and those of objects that the file does not have, fall back to `centre`.

    Parameters
    ----------
    file : str
        The csv file. `full_stem` is an object's key, or its image's name if it is the only object.
    sha256 : str
        The digest of the file's content.
    dataset : str
        Only the rows with this text in the column `dataset`; "": all rows.
    """
    recorded = _read_first_clicks(file, sha256, dataset)

    def click(given: ClickInput) -> Click | Proposal:
        found = recorded.get(given.key) or recorded.get(given.key.removesuffix("#1"))
        if given.clicks or not found:
            return fall_back(given)
        row, col = found[given.seed % len(found)]
        rows, cols = given.truth.shape
        return Click(min(max(row, 0), rows - 1), min(max(col, 0), cols - 1), True)

    return click


def add_digest(parameters: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    """Return the parameters with the sha256 of the file, unless they have one."""
    if parameters["sha256"]:
        return parameters
    return {**parameters, "sha256": sha256(_read(str(parameters["file"]))).hexdigest()}


def _read(file: str) -> bytes:
    if not file:
        raise IsbenchError("clicker replay has no file; wanted replay:FILE", setting="clicker")
    try:
        return read_limited(expand_home(file, "clicker"), _LARGEST)
    except (OSError, ValueError) as error:
        fault = getattr(error, "strerror", None) or error
        raise IsbenchError(
            f"clicker replay cannot read {file}: {fault}", setting="clicker"
        ) from error


def _read_first_clicks(file: str, digest: str, dataset: str) -> dict[str, list[tuple[int, int]]]:
    """Return the (row, column) of the first clicks by key, in the order of the file."""
    data = _read(file)
    if digest and sha256(data).hexdigest() != digest:
        raise IsbenchError(
            f"clicker replay: {file} is not the file of the run, whose sha256 starts with "
            f"{digest[:12]}; restore it, or name the new one as replay:FILE",
            setting="clicker",
        )
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
        clicks: dict[str, list[tuple[int, int]]] = {}
        for row in rows:
            if row["click_type"] == "first" and dataset in ("", row.get("dataset")):
                clicks.setdefault(_find_key(row["full_stem"]), []).append(_find_place(row))
    except (ValueError, TypeError, csv.Error) as error:
        raise IsbenchError(
            f"clicker replay: {file} is no file of clicks ({error}); wanted csv with the columns "
            f"{', '.join(_COLUMNS)}",
            setting="clicker",
        ) from error
    if not clicks:
        raise IsbenchError(
            f"clicker replay: {file} has no first click"
            + (f" on dataset {dataset}" if dataset else "")
            + "; wanted rows with click_type first",
            setting="clicker",
        )
    return clicks


def _find_key(stem: str) -> str:
    """Return a stem as keys are written: the object of "image#001" is 1."""
    image, sign, number = stem.rpartition("#")
    return f"{image}#{int(number)}" if sign and number.isdecimal() else stem


def _find_place(row: Mapping[str, str]) -> tuple[int, int]:
    x, y = float(row["x"]), float(row["y"])
    if not (abs(x) <= _FARTHEST and abs(y) <= _FARTHEST):  # nan too
        raise ValueError(f"a click is at {row['x']}, {row['y']}")
    return round(y), round(x)


card = Clicker(
    name="replay",
    make=make_replay,
    parameters={"file": "", "sha256": "", "dataset": ""},
    summary="people's first clicks from a csv file of RClicks' columns; the seed chooses the click",
    source="RClicks, arXiv:2410.11722",
    stochastic=True,
    normalise=add_digest,
)
