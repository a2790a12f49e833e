"""Lines of a run file: specs and trajectories to JSON and back. Opens no files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

from isbench.errors import IsbenchError
from isbench.protocol import count_clicks
from isbench.types import Click, Rules, Spec, Trajectory

FORMAT = 2
_FIRST_VERSION = "1"  # of a clicker
_LIBRARIES = ("opencv", "scikit-image", "torch")  # isbench 0.1 wrote these as a model's version


def format_line(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of canonical JSON: equal records give equal bytes."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def spec_record(spec: Spec) -> dict[str, Any]:
    """Return the record of a file's first line."""
    fields = asdict(spec)
    if (
        spec.clicker_version == _FIRST_VERSION
    ):  # not in older records, whose digests must not change
        del fields["clicker_version"]
    return {"isbench": FORMAT, "spec": fields}


def trajectory_record(trajectory: Trajectory) -> dict[str, Any]:
    """Return the record of a game."""
    return {
        "key": trajectory.key,
        "clicks": [[row, col, int(positive)] for row, col, positive in trajectory.clicks],
        "overlap": trajectory.overlap,
    }


@dataclass(frozen=True)
class Trajectories(Sequence[Trajectory]):
    """Trajectories stored as the lines they were read from, and parsed on access.

    A line takes a tenth of the memory of its values, which keeps runs of many objects small.
    """

    keys: tuple[str, ...]
    lines: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, index: int) -> Trajectory: ...
    @overload
    def __getitem__(self, index: slice) -> Trajectories: ...
    def __getitem__(self, index: int | slice) -> Trajectory | Trajectories:
        """Return one trajectory, or the trajectories of a slice."""
        if isinstance(index, slice):
            return Trajectories(self.keys[index], self.lines[index])
        return _parse_trajectory(json.loads(self.lines[index]))


def to_trajectories(trajectories: Iterable[Trajectory]) -> Trajectories:
    """Return trajectories as their lines."""
    lines = {one.key: format_line(trajectory_record(one)) for one in trajectories}
    return Trajectories(tuple(lines), tuple(lines.values()))


def parse_run(path: Path, data: bytes) -> tuple[Spec, Trajectories]:
    """Return the spec and the trajectories in a file's whole lines; every line is checked.

    Raises IsbenchError with `path` and the line number for a damaged line.
    """
    lines = data.splitlines(keepends=True)
    if not lines:
        raise IsbenchError(f"{path} is empty; wanted a run file: delete it")
    spec = parse_spec(path, lines[0])
    keys: dict[str, None] = {}
    for number, text in enumerate(lines[1:], start=2):
        try:
            game = _parse_trajectory(json.loads(text))
            if game.key in keys:
                raise ValueError(f"object {game.key} is also in an earlier line")
            if count_clicks(game.overlap, spec.rules) != len(game.overlap):
                raise ValueError(f"the game of {game.key} does not end where its rules say")
        except (ValueError, KeyError, TypeError) as error:
            raise IsbenchError(
                f"{path} line {number} of {len(lines)} is damaged ({error}); delete that line to "
                "play its object again, or move the file elsewhere"
            ) from error
        keys[game.key] = None
    return spec, Trajectories(tuple(keys), tuple(lines[1:]))


def parse_spec(path: Path, first: bytes) -> Spec:
    """Return the spec of a file's first line; raises IsbenchError for another format or kind."""
    version = read_format(path, first)
    try:
        record = json.loads(first)
        fields = record["spec"] if version == FORMAT else _convert(record["spec"])
        return Spec(**{**fields, "rules": Rules(**fields["rules"])})
    except (KeyError, TypeError, IsbenchError) as error:
        raise IsbenchError(
            f"{path} is not a run file: its spec is invalid ({error}); restore it, or move it "
            "elsewhere"
        ) from error


def read_format(path: Path, first: bytes) -> int:
    """Return the format in a run file's first line; raises IsbenchError unless 1 or FORMAT."""
    try:
        version: int = json.loads(first)["isbench"]
    except (ValueError, KeyError, TypeError) as error:
        raise IsbenchError(
            f"{path} is not a run file: its first line is not a spec; restore it, or move it "
            "elsewhere"
        ) from error
    if version not in (1, FORMAT):
        raise IsbenchError(
            f"{path} has format {version}; this isbench reads formats 1 and {FORMAT}: "
            "use the isbench that wrote it, or repeat the run"
        )
    return version


def _convert(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the fields of a spec of isbench 0.1, whose identity contained the model's code."""
    kept = {name: value for name, value in fields.items() if name not in ("source", "code")}
    version = kept.pop("model_version")
    library, _, number = version.partition(" ")
    known = library in _LIBRARIES and number
    libraries = {library: number.partition("+")[0]} if known else {}
    return {**kept, "version": "1" if known or not version else version, "libraries": libraries}


def _parse_trajectory(record: Any) -> Trajectory:
    clicks = tuple(Click(row, col, bool(positive)) for row, col, positive in record["clicks"])
    overlap = tuple((first, second) for first, second in record["overlap"])
    numbers = [number for pair in (*clicks, *overlap) for number in pair]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("wanted integers of at least 0")
    if len(clicks) != len(overlap) or not clicks:
        raise ValueError(f"{len(clicks)} clicks and {len(overlap)} overlaps")
    if any(intersection > union for intersection, union in overlap):
        raise ValueError("an intersection is larger than its union")
    if not isinstance(record["key"], str):
        raise TypeError("a key is not a string")
    return Trajectory(record["key"], clicks, overlap)
