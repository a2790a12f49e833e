"""Runs chosen by name: by file, folder, digest, model or data set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from isbench.errors import IsbenchError, make_unknown_error
from isbench.files.home import expand_home
from isbench.protocol import has_full_games
from isbench.reporting.labels import format_count, has_defaults, make_labels
from isbench.storage import imported, store
from isbench.storage.store import Run


class ChosenRuns(NamedTuple):
    """Complete runs, sorted by data set and model, and notes on those left out."""

    runs: list[Run]
    notes: list[str]


def choose_runs(
    names: Sequence[str | Path] = (), folder: Path | str = "runs", dataset: str | None = None
) -> ChosenRuns:
    """Return the complete runs that the names match, and notes on those left out.

    Parameters
    ----------
    names : sequence of str
        Run files, folders of runs, models, data sets, or the first digits of run digests; empty:
        all runs.
    folder : Path or str
        The folder to look up runs in, with its subfolders.
    dataset : str or None
        Only the runs over this data set, by the name in their records.

    Returns
    -------
    ChosenRuns
        At least one run.

    Raises
    ------
    IsbenchError
        For a name that matches nothing or both a model and a data set, a named run that is
        damaged, and if no run is complete.
    """
    out = Path(folder)
    named = [p for name in names for p in _find_paths(str(name), out, dataset)]
    found = named if names else _list_runs(out)
    seen: set[str] = set()  # other data sets
    runs, notes = [], []
    for path in {os.path.realpath(path): path for path in found}.values():
        try:
            other = None if dataset is None else store.read_spec(path).dataset
            if other is not None and other != dataset:
                seen.add(other)
                continue
            run = store.read(path)
        except IsbenchError as error:
            if names:
                raise
            notes.append(f"left out: {error}")
            continue
        if run.complete:
            runs.append(run)
            notes += [run.damage] if run.damage else []
        else:
            notes.append(_describe_unfinished(run))
    if not runs:
        raise _make_empty_error(", ".join(map(str, names)) or str(out), dataset, seen, notes)
    return ChosenRuns(sorted(runs, key=_sort_key), notes)


def choose_runs_on(
    datasets: Sequence[str], names: Sequence[str | Path], folder: Path | str
) -> ChosenRuns:
    """Return the runs of `choose_runs` on each of the data sets; without any, on all of them."""
    parts = [choose_runs(names, folder, dataset) for dataset in datasets or (None,)]
    runs = {run.path: run for part in parts for run in part.runs}
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return ChosenRuns(sorted(runs.values(), key=_sort_key), list(notes))


def _describe_unfinished(run: Run) -> str:
    return (
        f"{run.path} is left out: it is not finished "
        f"({format_count(len(run.trajectories), 'object')} so far); repeat the command that "
        "started it to resume it"
    )


def _make_empty_error(
    place: str, dataset: str | None, seen: set[str], notes: Sequence[str]
) -> IsbenchError:
    if dataset is not None and seen:
        return make_unknown_error(
            f"data set of a finished run in {place}", dataset, seen, "dataset"
        )
    if notes:
        more = f"; and {len(notes) - 1} more like this" if len(notes) > 1 else ""
        return IsbenchError(f"no finished run in {place}; {notes[0]}{more}")
    return IsbenchError(f"no finished run in {place}; make one with `isbench run`")


def _take_only(name: str, runs: Sequence[Run]) -> Run:
    if len(runs) > 1:
        listed = "; ".join(describe_runs(runs))
        raise IsbenchError(
            f"{name} matches {len(runs)} runs; wanted one, by the first digits of its digest or by "
            f"its file: {listed}"
        )
    return runs[0]


def choose_systems(
    names: Sequence[str], out: Path, datasets: Sequence[str] = ()
) -> tuple[list[dict[str, Run]], list[str]]:
    """Return the run of each system on each data set that all of them were played on.

    Parameters
    ----------
    names : sequence of str
        A system is a model, a folder of runs, or run files and digests joined by commas.
    out : Path
        The folder to look up runs in.
    datasets : sequence of str
        Only these data sets; empty: all that the systems have in common.

    Returns
    -------
    systems, notes
        By data set, the run of each system; and which data sets and runs are left out.

    Raises
    ------
    IsbenchError
        If a system has no run on a data set, or several runs of which none has the defaults of its
        model, and if they share no data set.
    """
    systems: list[tuple[str, dict[str, list[Run]]]] = []
    for name in names:
        words = split_names(name)
        runs = choose_runs_on(datasets, words, out).runs
        systems.append((name, {run.spec.dataset: [] for run in runs}))
        for run in runs:
            systems[-1][1][run.spec.dataset].append(run)
    shared = [one for one in systems[0][1] if all(one in of_set for _, of_set in systems)]
    if not shared:
        has = "; ".join(f"{name} has runs on {', '.join(of_set)}" for name, of_set in systems)
        raise IsbenchError(f"no data set has a run of every system: {has}; wanted one in common")
    seen = dict.fromkeys(dataset for _, of_set in systems for dataset in of_set)
    notes = [f"{one} is left out: not every system has a run on it" for one in seen
             if one not in shared]  # fmt: skip
    chosen = [
        {one: _take_plain(name, of_set[one], notes) for one in shared} for name, of_set in systems
    ]
    return chosen, notes


def _take_plain(name: str, runs: Sequence[Run], notes: list[str]) -> Run:
    """Return the only run, or the longest of a model's runs with its defaults.

    A longer game starts with the shorter one. A note on the others is appended. Raises IsbenchError
    for several runs of which none, or more than one of the same length, has the defaults.
    """
    plain = [run for run in runs if run.spec.model == name and has_defaults(run)]
    longest = max((_measure_length(run) for run in plain), default=None)
    plain = [run for run in plain if _measure_length(run) == longest]
    if len(runs) == 1 or len(plain) != 1:
        return _take_only(name, runs)
    notes.append(
        f"{name} has {len(runs)} runs on {runs[0].spec.dataset}; the one with its defaults is "
        f"compared, {store.parse_digest(plain[0].path)}"
    )
    return plain[0]


def _measure_length(run: Run) -> tuple[int, float]:
    """Return how long the games of a run may get: the clicks, and the IoU at which they stop."""
    return run.spec.rules.max_clicks, run.spec.rules.stop_iou


def split_names(system: str) -> list[str]:
    """Return the names of a system's runs, which commas separate unless it is a file or folder."""
    return [system] if expand_home(system).exists() else system.split(",")


def describe_runs(runs: Sequence[Run]) -> list[str]:
    """Return digest, model, what differs, data set and rules of each run, in one text each."""
    return [
        f"{store.parse_digest(run.path)} {label} on {run.spec.dataset} "
        f"({format_count(run.spec.objects, 'object')}, up to "
        f"{format_count(run.spec.rules.max_clicks, 'click')})"
        for run, label in zip(runs, make_labels(runs), strict=True)
    ]


def choose_newest(runs: Sequence[Run], named: Iterable[str] = ()) -> ChosenRuns:
    """Return one run of each model on each data set, and a note on the others.

    Whole data sets come before the first objects of one, full games before those that stop at an
    IoU, later runs before earlier ones, and those with the model's defaults before others. A run
    that is named by its file or digest is kept.
    """
    given = [expand_home(name) for name in named]
    files = {os.path.realpath(path) for path in given if path.is_file()}
    digests = [name for name in named if re.fullmatch(r"[0-9a-f]{1,12}", name)]
    best: dict[tuple[str, str], Run] = {}
    for run in sorted(runs, key=_rank):
        best[run.spec.dataset, run.spec.model] = run
    kept = [
        run
        for run in runs
        if best[run.spec.dataset, run.spec.model] is run
        or os.path.realpath(run.path) in files
        or any(store.parse_digest(run.path).startswith(digest) for digest in digests)
    ]
    if len(kept) == len(runs):
        return ChosenRuns(kept, [])
    note = (
        f"{len(runs) - len(kept)} of {format_count(len(runs), 'run')} are not drawn; only the "
        "newest full run of each model is; `isbench report --all` draws every one"
    )
    return ChosenRuns(kept, [note])


def has_finished(out: Path) -> bool:
    """Whether there is a sealed run below a folder."""
    return any(path.name.endswith(store.SEALED) for path in store.find(out))


def _find_paths(name: str, out: Path, dataset: str | None) -> list[Path]:
    path = expand_home(name)
    _refuse_imported(path)
    if path.is_file():
        return [path]
    if name and path.is_dir():
        return _list_runs(path)
    if name and os.path.lexists(path):
        raise IsbenchError(f"{name} is not a run file, but a pipe, a device or a dangling link")
    every = _list_runs(out)
    if dataset is not None:
        every = [file for file in every if file.parent.name == store.name_plainly(dataset)] or every
    known = store.name_plainly(name)
    of_model = [file for file in every if _parse_model(file) == known]
    of_set = [file for file in every if file.parent.name == known]
    if of_model and of_set and dataset is None:
        raise IsbenchError(
            f"{name} is a model ({format_count(len(of_model), 'run')}) and a data set "
            f"({format_count(len(of_set), 'run')}) in {out}; name the folder "
            f"{of_set[0].parent} for the data set, or add the data set that the model was played "
            "on",
            setting="dataset",
        )
    found = of_model or of_set
    if not found and name:
        found = [file for file in every if store.parse_digest(file).startswith(name)]
    if not found:
        names = {_parse_model(file) for file in every} | {file.parent.name for file in every}
        digests = {store.parse_digest(file) for file in every}
        raise make_unknown_error(f"run, model or data set below {out}", name, names or digests)
    return found


def list_run_names(folder: Path) -> list[str]:
    """Return what runs below a folder can be named by: models, data sets and digests."""
    paths = store.find(folder)
    names = {_parse_model(path) for path in paths} | {path.parent.name for path in paths}
    return [*sorted(names), *sorted(store.parse_digest(path) for path in paths)]


def _refuse_imported(path: Path) -> None:
    if path.name.endswith(imported.SUFFIX):
        raise IsbenchError(
            f"{path} holds imported results, which are not a run: without clicks and names of "
            "objects they cannot be compared object by object; `isbench report --imported` shows "
            "them beside runs"
        )


def _list_runs(folder: Path) -> list[Path]:
    """Return the run files below a folder; raises IsbenchError if there are none."""
    found = store.find(folder)
    if not found and (shards := store.find_shards(folder)):
        raise IsbenchError(
            f"{folder} has no whole run, but {format_count(len(shards), 'shard')}; join them with "
            "`isbench merge`"
        )
    if not found:
        raise IsbenchError(f"no run below {folder}; make one with `isbench run`")
    return found


def _parse_model(path: Path) -> str:
    """Return the model in a run file's name."""
    return store.locate_companion(path, "").name.rpartition("-")[0]


def _rank(run: Run) -> tuple[bool, bool, str, bool, int, str]:
    """Return what makes a run better than another of the same model.

    Meta files have the times, so runs without them, as in a copied folder, go by their settings.
    """
    rules = run.spec.rules
    started = max((str(session.get("started", "")) for session in run.meta), default="")
    return (
        run.spec.limit is None, has_full_games(rules) and rules.max_clicks > 1, started,
        has_defaults(run),
        rules.max_clicks,
        store.parse_digest(run.path),
    )  # fmt: skip


def _sort_key(run: Run) -> tuple[str, str, str]:
    return run.spec.dataset, run.spec.model, store.digest_spec(run.spec)
