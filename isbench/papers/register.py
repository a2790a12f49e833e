"""The register of a results folder: weights that were trained for its runs, and times of clicks.

Both are small files that are committed with the runs. `training/weights.csv` names weight files,
also those that do not come with isbench, by their sha256; a run names its weights by that digest
alone. `benchmarks/register_weights.py` adds a line. `seconds.csv` keeps what the meta files of runs
say about time, since these stay on the machine of the run. Not here: which processor decided a
game's last bits (`storage/processors`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from isbench.errors import IsbenchError
from isbench.files.atomic import write_atomically
from isbench.files.json_text import parse_json
from isbench.files.limits import read_limited
from isbench.reporting.machine_load import Load, find_load
from isbench.reporting.text_table import format_rows
from isbench.storage import store
from isbench.storage.processors import find_processor
from isbench.storage.store import Run, list_seconds
from isbench.training.recipe import fill_defaults, flatten_recipe

WEIGHTS, SECONDS = Path("training") / "weights.csv", Path("seconds.csv")
_WEIGHTS_HEADS = (
    "models", "weights", "sha256", "base", "seed", "samples", "data", "licence", "device",
    "command", "recipe",
)  # fmt: skip
_SECONDS_HEADS = ("run", "seconds", "clicks", "processor", "busy", "others", "processors")
_MOST_SECONDS = 86_400  # of a click: a day
T = TypeVar("T")


class TrainedWeights(NamedTuple):
    """A weight file that this project trained, whether or not it is shipped."""

    models: tuple[str, ...]  # that are played with it; the first one is the one that was trained
    name: str
    digest: str  # sha256 of the file
    base: str  # sha256 of the weights that the training started from; "" without any
    seed: int
    samples: int  # that the training saw after the base
    data: str  # what it was trained on, with its digest
    licence: str  # of the data
    device: str  # that it ran on
    command: str  # that repeats the training
    recipe: str  # settings that decided the weights, as a JSON object

    def list_settings(self) -> dict[str, Any]:
        """Return the settings of the recipe by name, as `flatten_recipe` does."""
        return flatten_recipe(self.recipe)


class ClickTime(NamedTuple):
    """The mean time of a run's clicks, and the machine that it was measured on."""

    seconds: float  # without the encoding of images
    clicks: int  # that were timed
    processor: str
    load: Load | None = None


class Register(NamedTuple):
    """What a results folder says about its runs besides the runs."""

    weights: tuple[TrainedWeights, ...] = ()
    times: Mapping[str, ClickTime] = MappingProxyType({})  # by run digest

    def find_weights(self, model: str, name: str) -> TrainedWeights | None:
        """Return the weights of this name that a model is played with, None if there are none."""
        named = (one for one in self.weights if one.name == name and model in one.models)
        return next(named, None)


NO_REGISTER = Register()


def read_register(results: Path, runs: Sequence[Run]) -> Register:
    """Return the register of a folder, with the times of these runs.

    A run's meta file, where it is, counts before the line of `seconds.csv`. Raises IsbenchError
    for a file that is damaged.
    """
    lines = _read_lines(results / WEIGHTS, _WEIGHTS_HEADS, _parse_weights)
    pairs = [(model, one.name) for one in lines for model in one.models]
    if twice := sorted({pair for pair in pairs if pairs.count(pair) > 1}):
        model, name = twice[0]
        raise IsbenchError(
            f"{results / WEIGHTS} has weights {name} of {model} twice; wanted one line"
        )
    old = dict(_read_lines(results / SECONDS, _SECONDS_HEADS, _parse_time))
    times = {}
    for run in runs:
        digest = store.parse_digest(run.path)
        if time := _measure(run) or old.get(digest):
            times[digest] = time
    return Register(tuple(lines), times)


def write_times(results: Path, register: Register) -> None:
    """Write the times of a register to its folder, if they differ from those that are there."""
    old = dict(_read_lines(results / SECONDS, _SECONDS_HEADS, _parse_time))
    if old == dict(register.times):
        return
    lines = (
        (digest, time.seconds, time.clicks, time.processor, *(time.load or ("", "", "")))
        for digest, time in sorted(register.times.items())
    )
    _write_lines(results / SECONDS, _SECONDS_HEADS, lines)


def add_weights(results: Path, weights: TrainedWeights) -> None:
    """Write weights to the register of a folder, in the place of those of their name and models.

    Raises IsbenchError for a register that is damaged, for weights that it could not be read with,
    and if a model would lose its weights of this name.
    """
    path = results / WEIGHTS
    _check_readable(weights, path)
    kept, replaced = [], set()
    for one in _read_lines(path, _WEIGHTS_HEADS, _parse_weights):
        if one.name == weights.name and set(one.models) & set(weights.models):
            replaced |= set(one.models)
        else:
            kept.append(one)
    if lost := sorted(replaced - set(weights.models)):
        raise IsbenchError(
            f"{path} has weights {weights.name} of {', '.join(lost)} too, which would lose them; "
            "name all their models"
        )
    every = sorted([*kept, weights], key=lambda one: (one.models[0], one.name))
    _write_lines(path, _WEIGHTS_HEADS, map(_list_cells, every))


def _check_readable(weights: TrainedWeights, path: Path) -> None:
    text = format_rows((), [_list_cells(weights)])
    try:
        text.encode()  # raises for half of a pair of surrogates
        *_, line = csv.reader(io.StringIO(text, newline=""))
        if len(line) != len(_WEIGHTS_HEADS) or _parse_weights(line) != weights:
            raise ValueError("a text has a carriage return, or starts like a formula")
    except (ValueError, csv.Error) as error:
        raise IsbenchError(f"cannot write weights {weights.name} to {path}: {error}") from error


def _list_cells(weights: TrainedWeights) -> tuple[object, ...]:
    return " ".join(weights.models), *weights[1:]


def _write_lines(path: Path, heads: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    write_atomically(path, format_rows(heads, lines).encode())


def _measure(run: Run) -> ClickTime | None:
    """Return the time of a run's clicks from its meta file; None if it is not known, or where."""
    seconds = list_seconds(run)
    processor = find_processor(run)
    if not seconds or not processor:
        return None
    return ClickTime(round(float(np.mean(seconds)), 4), len(seconds), processor, find_load(run))


def _read_lines(path: Path, heads: Sequence[str], parse: Callable[[Sequence[str]], T]) -> list[T]:
    """Return the parsed lines of a csv file with these heads, none if there is no file."""
    try:
        text = read_limited(path).decode().replace("\r\n", "\n")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise IsbenchError(f"cannot read {path}: {reason}; restore it") from error
    found: list[T] = []
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for line in reader:
            first = reader.line_num == 1
            if len(line) != len(heads) or (first and tuple(line) != tuple(heads)):
                raise ValueError(f"wanted {', '.join(heads)}")
            if not first:
                found.append(parse(line))
    except (ValueError, csv.Error) as error:
        raise IsbenchError(
            f"line {reader.line_num} of {path} is damaged: {error}; restore the file"
        ) from error
    if not text:
        raise IsbenchError(f"{path} is empty; wanted {', '.join(heads)}: restore the file")
    return found


def _parse_weights(line: Sequence[str]) -> TrainedWeights:
    models, name, digest, base, seed, samples, data, licence, device, command, recipe = line
    for one in filter(None, (digest, base)):
        if not re.fullmatch(r"[0-9a-f]{64}", one):
            raise ValueError(f"{one!r} is not a sha256 of 64 hexadecimal digits")
    if not all((models.split(), name, digest, data, licence, device, command)):
        raise ValueError("only base may be empty")
    if not isinstance(settings := parse_json(recipe), dict):
        raise ValueError("recipe is not a JSON object")
    fill_defaults(settings)  # raises for a part that is none
    numbers = _parse_count(seed, "seed"), _parse_count(samples, "samples")
    return TrainedWeights(
        tuple(models.split()), name, digest, base, *numbers, data, licence, device, command, recipe
    )


def _parse_time(line: Sequence[str]) -> tuple[str, ClickTime]:
    digest, seconds, clicks, processor, busy, others, processors = line
    if not re.fullmatch(r"[0-9a-f]{12}", digest):
        raise ValueError(f"run is {digest!r:.60}; wanted a digest of 12 hexadecimal digits")
    load = None
    if processors:
        count = _parse_count(processors, "processors", 1)
        shares = (_parse_number(busy, "busy", count), _parse_number(others, "others", count))
        load = Load(*shares, count)
    time = _parse_number(seconds, "seconds", _MOST_SECONDS)
    return digest, ClickTime(time, _parse_count(clicks, "clicks", 1), processor, load)


def _parse_count(text: str, name: str, least: int = 0) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
        raise ValueError(f"{name} is {text!r:.60}; wanted a whole number from {least}")
    return int(text)


def _parse_number(text: str, name: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 <= value <= most:  # nan is neither
        raise ValueError(f"{name} is {text!r:.60}; wanted a number from 0 to {most:,}")
    return value
