"""Lines of a run file: specs and trajectories to JSON and back. Opens no files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import gt
from pathlib import Path
from typing import Any, overload

from isbench.errors import IsbenchError
from isbench.files.json_text import parse_json
from isbench.protocol import count_clicks
from isbench.types import Click, Rules, Spec, Trajectory

FORMAT = 2
_LIBRARIES = ("opencv", "scikit-image", "torch")  # isbench 0.1 wrote these as a model's version
_LARGEST = 2**53  # of a row, a column or a number of pixels: a float holds it exactly
_OPTIONAL = (str, type(None))
_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("model", "version", "dataset", "keys", "fingerprint", "decoder"), (str,)),
    **dict.fromkeys(("preset", "preset_digest", "clicker_version"), (str,)),
    **dict.fromkeys(("weights", "backend", "precision"), _OPTIONAL),
    **dict.fromkeys(("objects", "threads"), (int,)),
    **dict.fromkeys(("libraries", "options", "rules"), (dict,)),
    "limit": (int, type(None)),
    "initial": (str,),
}
# added later, and left out at the value of the records before: their digests must not change
_ADDED: Mapping[str, object] = {"clicker_version": "1", "initial": None}
_KINDS_OF_RULES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("max_clicks", "seed"), (int,)),
    **dict.fromkeys(("end_on_perfect", "reject_empty"), (bool,)),
    "stop_iou": (int, float),
    "clicker": (str,),
}


def format_line(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of canonical JSON: equal records give equal bytes.

    Raises IsbenchError for a string that UTF-8 cannot encode.
    """
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError as error:
        raise IsbenchError(
            f"{text[max(0, error.start - 40) : error.end + 40]!a} cannot be recorded: it "
            "contains a name that is not UTF-8; rename it"
        ) from error


def encode_spec(spec: Spec) -> dict[str, Any]:
    """Return the record of a file's first line."""
    fields = asdict(spec)
    kept = {
        key: value for key, value in fields.items() if key not in _ADDED or value != _ADDED[key]
    }
    return {"isbench": FORMAT, "spec": kept}


def encode_trajectory(trajectory: Trajectory) -> dict[str, Any]:
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
        return _parse_trajectory(parse_json(self.lines[index]))


def decode_trajectories(trajectories: Iterable[Trajectory]) -> Trajectories:
    """Return trajectories as their lines."""
    lines = {one.key: format_line(encode_trajectory(one)) for one in trajectories}
    return Trajectories(tuple(lines), tuple(lines.values()))


def check_recordable(spec: Spec) -> None:
    """Raise IsbenchError for a spec that could not be read back, before anything is played."""
    try:
        _check_spec(parse_json(format_line(encode_spec(spec)))["spec"])
    except (TypeError, ValueError) as error:
        raise IsbenchError(f"this run cannot be recorded: {error}") from error


def parse_run(path: Path, lines: Iterable[bytes]) -> tuple[Spec, Trajectories]:
    """Return the spec and the trajectories in a file's whole lines; every line is checked.

    Raises IsbenchError with `path` and the line number for a damaged line.
    """
    rest = iter(lines)
    first = next(rest, None)
    if first is None:
        raise IsbenchError(f"{path} is empty; wanted a run file: delete it")
    spec = parse_spec(path, first)
    found: dict[str, bytes] = {}
    for number, line in enumerate(rest, start=2):
        try:
            game = _parse_trajectory(parse_json(line))
            if game.key in found:
                raise ValueError(f"object {game.key} is also in an earlier line")
            if count_clicks(game.overlap, spec.rules) != len(game.overlap):
                raise ValueError(f"the game of {game.key} does not end where its rules say")
            if len(found) == spec.objects:
                raise ValueError(f"its run has {spec.objects} objects only")
        except (ValueError, KeyError, TypeError) as error:
            # a compressed file is sealed, and its lines cannot be edited
            remedy = (
                "" if path.suffix == ".gz" else "delete that line to play its object again, or "
            )
            raise IsbenchError(
                f"{path} line {number} is damaged ({error}); {remedy}move the file elsewhere"
            ) from error
        found[game.key] = line
    return spec, Trajectories(tuple(found), tuple(found.values()))


def parse_spec(path: Path, first: bytes) -> Spec:
    """Return the spec of a file's first line; raises IsbenchError for another format or kind."""
    version = read_format(path, first)
    try:
        record = parse_json(first)
        fields = record["spec"] if version == FORMAT else _convert(record["spec"])
        _check_spec(fields)
        return Spec(**{**fields, "rules": Rules(**fields["rules"])})
    except (KeyError, TypeError, ValueError, AttributeError, IsbenchError) as error:
        raise IsbenchError(
            f"{path} is not a run file: its spec is invalid ({error}); restore it, or move it "
            "elsewhere"
        ) from error


def read_format(path: Path, first: bytes) -> int:
    """Return the format in a run file's first line; raises IsbenchError unless 1 or FORMAT."""
    try:
        version = parse_json(first)["isbench"]
        if type(version) is not int:
            raise TypeError("its format is not a number")
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
    return int(version)


def _convert(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the fields of a spec of isbench 0.1, whose identity contained the model's code."""
    kept = {name: value for name, value in fields.items() if name not in ("source", "code")}
    version = kept.pop("model_version")
    library, _, number = version.partition(" ")
    known = library in _LIBRARIES and number
    libraries = {library: number.partition("+")[0]} if known else {}
    return {**kept, "version": "1" if known or not version else version, "libraries": libraries}


def _parse_trajectory(record: Any) -> Trajectory:
    _check_game(record)
    # in whole columns: the lines of a run have a hundred thousand numbers and more
    rows, cols, signs = list(zip(*record["clicks"], strict=True)) or ((), (), ())
    intersections, unions = list(zip(*record["overlap"], strict=True)) or ((), ())
    if not all(map((0, 1).__contains__, signs)):
        raise ValueError("a click is neither positive (1) nor negative (0)")
    numbers = (*rows, *cols, *intersections, *unions)
    if {*map(type, numbers)} - {int} or (
        numbers and not 0 <= min(numbers) <= max(numbers) <= _LARGEST
    ):
        raise ValueError(f"wanted integers from 0 to {_LARGEST}")
    if len(rows) != len(unions) or not rows:
        raise ValueError(f"{len(rows)} clicks and {len(unions)} overlaps")
    if any(map(gt, intersections, unions)):
        raise ValueError("an intersection is larger than its union")
    clicks = tuple(map(Click, rows, cols, map(bool, signs)))
    return Trajectory(record["key"], clicks, tuple(zip(intersections, unions, strict=True)))


def _check_game(record: Any) -> None:
    """Raise ValueError for a record that lacks a part of a game, or has one of another kind."""
    if not isinstance(record, dict):
        raise ValueError("it is no record of a game")
    if missing := [name for name in ("key", "clicks", "overlap") if name not in record]:
        raise ValueError(f"it has no {missing[0]}")
    if not isinstance(record.get("key"), str):
        raise ValueError("it has no key that is a string")
    for name, size in {"clicks": 3, "overlap": 2}.items():
        part = record.get(name)
        if not isinstance(part, list) or {*map(type, part)} - {list} or {*map(len, part)} - {size}:
            raise ValueError(f"it has no {name!r} that is a list of {size} numbers each")


def _check_spec(fields: Mapping[str, Any]) -> None:
    """Raise an error for fields and values that no spec has: a file is data from anywhere."""
    if not isinstance(fields, dict):
        raise TypeError("it is not an object")
    _check_kinds(fields, _KINDS)
    _check_names(fields, _KINDS, optional=tuple(_ADDED))
    _check_kinds(fields["rules"], _KINDS_OF_RULES)
    _check_names(fields["rules"], _KINDS_OF_RULES)
    for name, kinds in {"libraries": (str,), "options": (bool, int, float, str)}.items():
        _check_kinds(fields[name], dict.fromkeys(fields[name], kinds))
    for name in ("objects", "limit", "threads"):
        value = fields.get(name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; wanted at least 1")


def _check_names(
    values: Mapping[str, Any], known: Iterable[str], optional: Sequence[str] = ()
) -> None:
    for name in known:
        if name not in values and name not in optional:
            raise TypeError(f"it has no {name}")
    for name in values:
        if name not in known:
            raise TypeError(f"{name!a:.100} is not known to this isbench")


def _check_kinds(values: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]]) -> None:
    for name, value in values.items():
        if name in kinds and type(value) not in kinds[name]:
            wanted = " or ".join(
                "null" if kind is type(None) else kind.__name__ for kind in kinds[name]
            )
            raise TypeError(f"{name} is a {type(value).__name__}; wanted {wanted}")
