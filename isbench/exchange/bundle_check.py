"""Checks a bundle that was received: checksums, records and table, and some games played again.

Nothing in a bundle is executed: models are those that are installed, or that the user trusts.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from isbench.datasets.loading import load_sample
from isbench.errors import ExtensionError, IsbenchError
from isbench.evaluation.replay import check_data, model_from_spec, open_predictor
from isbench.evaluation.replay_check import (
    ReplayedGame,
    list_changes,
    list_excess,
    pick_keys,
    play_again,
)
from isbench.exchange.bundle import FORMAT, MANIFEST, TABLE, find_member, format_table
from isbench.files.archives import Unusable, unpack
from isbench.files.digests import digest_file
from isbench.files.json_text import parse_json, refuse_repeated
from isbench.files.limits import read_limited
from isbench.models.registry import NONE_TRUSTED, Trusted
from isbench.reporting.run_datasets import load_dataset_of
from isbench.storage import records, store
from isbench.storage.environment import describe_processor
from isbench.storage.processors import get_processor
from isbench.storage.store import Run

GAMES = 2  # replayed of each run
_MOST_BYTES = 2_000_000_000  # of a bundle
_WANTED = "wanted a file from `isbench export --format bundle`"
_Table = tuple[set[str], dict[str, dict[str, str]]]  # the columns, and the rows by run
_CLOSE = 1e-9  # figures of the table may differ by this, relative to their size


class Finding(NamedTuple):
    """What the check of a bundle found: of which file, and in words.

    `kind` is "differs", "not compared", "not replayed", "replayed", or "within bounds": a network
    on another processor gave slightly other masks.
    """

    kind: str
    what: str
    text: str


class BundleCheck(NamedTuple):
    """The runs of a bundle and what was found; it is accepted if nothing differs."""

    runs: int
    findings: tuple[Finding, ...]

    @property
    def is_accepted(self) -> bool:
        """Whether nothing differs, in as much as was checked."""
        return all(finding.kind != "differs" for finding in self.findings)


def verify_bundle(
    path: Path | str,
    *,
    games: int = GAMES,
    seconds: float = math.inf,
    data: Path | None = None,
    place: str | None = None,
    trusted: Trusted = NONE_TRUSTED,
) -> BundleCheck:
    """Check a bundle and replay some of its games, always the same ones.

    Parameters
    ----------
    path : Path or str
        The zip file.
    games : int
        The most games of each run to replay; 0: none.
    seconds : float
        No further game is begun after this time. Each run gets an equal part of what is left, and
        at least one game.
    data : Path or None
        The folder of the data sets.
    place : str or None
        READER:PLACE of the files of runs on one's own files.
    trusted : mapping
        Cards of models that are not installed, from `load_trusted_cards`.

    Returns
    -------
    BundleCheck
        What differs, what was replayed, and which runs were not, and why.

    Raises
    ------
    IsbenchError
        For a file that is not a bundle: damaged, too large, or with members that lead out of it.
    """
    path, sources = Path(path), _Sources(data, place, trusted)
    _check_size(path)
    with TemporaryDirectory(prefix="isbench-") as name:
        folder = Path(name)
        try:
            unpack(path, folder)
        except Unusable as error:
            raise IsbenchError(f"{error}; {_WANTED}") from error
        manifest = _read_manifest(path, folder)
        findings = list(_check_files(folder, manifest))
        runs = []
        for entry in manifest["runs"]:
            try:
                runs.append(_read_run(folder, entry))
            except IsbenchError as error:
                text = str(error).replace(f"{folder}/", "")
                findings.append(Finding("differs", entry["file"], text))
        if len(runs) == len(manifest["runs"]):
            findings += _check_table(folder, [run for run, _ in runs])
        end = time.monotonic() + seconds
        for number, (run, processors) in enumerate(runs if games else ()):
            share = max(0.0, end - time.monotonic()) / (len(runs) - number)
            findings += _replay(run, sources, _Depth(games, share), processors)
        return BundleCheck(len(manifest["runs"]), tuple(findings))


def _check_size(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    if not path.is_file():
        raise IsbenchError(f"{path} is not a file; {_WANTED}")
    if size > _MOST_BYTES:
        raise IsbenchError(
            f"{path} has {size:,} bytes; a bundle has at most {_MOST_BYTES:,}: ask for smaller ones"
        )


def _read_manifest(path: Path, folder: Path) -> dict[str, Any]:
    """Return the manifest; raises IsbenchError unless it is one of this format."""
    try:
        manifest = parse_json(read_limited(folder / MANIFEST), refuse_repeated)
        if not isinstance(manifest, dict) or "isbench_bundle" not in manifest:
            raise ValueError("it does not say that it is one")
        if manifest["isbench_bundle"] != FORMAT:
            raise ValueError(
                f"its format is {manifest['isbench_bundle']!a:.40}; this isbench reads {FORMAT}"
            )
        files, runs = manifest.get("files"), manifest.get("runs")
        if not isinstance(files, dict) or not isinstance(runs, list) or not runs:
            raise ValueError(f"{MANIFEST} lists no files or no runs")
        if not all(isinstance(one, dict) for one in (*files.values(), *runs)):
            raise ValueError(f"{MANIFEST} has an entry that is not an object")
        if not all(isinstance(one.get("file"), str) for one in runs):
            raise ValueError(f"{MANIFEST} has a run without a file")
        if len({one["file"] for one in runs}) < len(runs):
            raise ValueError(f"{MANIFEST} lists a run twice")
    except (OSError, ValueError) as error:
        reason = f"it has no {MANIFEST}" if isinstance(error, OSError) else str(error)
        raise IsbenchError(f"{path} is not a bundle ({reason}); {_WANTED}") from error
    return manifest


def _check_files(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield each file that is missing, not listed, or has other bytes than its checksum says."""
    found = _list_files(folder)
    del found[MANIFEST]
    listed = {*(entry["file"] for entry in manifest["runs"]), TABLE}
    for name in sorted({*manifest["files"], *found}):
        if name not in found:
            yield Finding("differs", name, "it is listed, but not in the bundle")
        elif name not in manifest["files"]:
            yield Finding("differs", name, "it is in the bundle, but not listed")
        elif name not in listed:
            yield Finding("differs", name, "it is neither the table nor a file of a run")
        elif digest_file(found[name]) != manifest["files"][name].get("sha256"):
            yield Finding("differs", name, "its bytes are not those of its checksum")


def _list_files(folder: Path) -> dict[str, Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in files}


def _read_run(folder: Path, entry: Mapping[str, Any]) -> tuple[Run, frozenset[object]]:
    """Return a run of a bundle and the processors that are stated for it.

    Raises IsbenchError for a file that is damaged or not the run that the manifest states.
    """
    name = entry["file"]
    if name not in _list_files(folder):
        raise IsbenchError(f"{name!a:.100} is not in the bundle")
    run = store.read(folder / name)
    if find_member(run) != name or entry.get("digest") != store.digest_spec(run.spec):
        raise IsbenchError(
            f"{name} holds the run {store.digest_spec(run.spec)} of {run.spec.model} on "
            f"{run.spec.dataset}, which is not the one that {MANIFEST} states"
        )
    if entry.get("spec") != parse_json(records.format_line(records.encode_spec(run.spec)))["spec"]:
        raise IsbenchError(f"{name} has another spec than {MANIFEST} states")
    sessions = entry.get("sessions")
    stated = sessions if isinstance(sessions, list) else []
    return run, frozenset(get_processor(one) for one in stated if isinstance(one, dict))


def _check_table(folder: Path, runs: Sequence[Run]) -> Iterator[Finding]:
    """Yield each figure of the bundle's table that the records do not give.

    Columns that only the table or only this version of isbench has are named, not compared.
    """
    try:
        columns, stated = _parse_table(read_limited(folder / TABLE).decode())
    except FileNotFoundError:
        yield Finding("differs", TABLE, "it is not in the bundle")
        return
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        yield Finding("differs", TABLE, f"it cannot be read ({reason})")
        return
    yield from _compare_tables((columns, stated), _parse_table(format_table(runs)))


def _compare_tables(bundled: _Table, ours: _Table) -> Iterator[Finding]:
    """Yield each column that only one table has, and each figure that differs."""
    (columns, stated), (known, wanted) = bundled, ours
    if stated.keys() != wanted.keys():
        yield Finding("differs", TABLE, "its rows are not the runs of the bundle")
        return
    for names, whose in ((columns - known, "the bundle"), (known - columns, "isbench")):
        if names:
            listed = ", ".join(ascii(name)[1:-1] for name in sorted(names))
            yield Finding("not compared", TABLE, f"columns that only {whose} has: {listed:.300}")
    for digest, row in wanted.items():
        for column in sorted(columns & known):
            was, now = stated[digest][column], row[column]
            if not _are_equal(was, now):
                text = f"{column} of run {digest} is {was!a:.40}; its record gives {now}"
                yield Finding("differs", TABLE, text)


def _parse_table(text: str) -> _Table:
    """Return the names of the columns, and the rows by run; raises ValueError if one is twice."""
    header, *lines = [*csv.reader(io.StringIO(text))] or [[]]
    if len(set(header)) < len(header) or "run" not in header:
        raise ValueError("it has a column twice, or no column run")
    if any(len(line) != len(header) for line in lines):
        raise ValueError("a row has another number of cells than the header")
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    by_run = {row["run"]: row for row in rows}
    if len(by_run) < len(rows):
        raise ValueError("it has a run twice")
    return set(header), by_run


def _are_equal(was: str, now: str) -> bool:
    if was == now:
        return True
    try:
        return math.isclose(float(was), float(now), rel_tol=_CLOSE)
    except ValueError:
        return False


class _Sources(NamedTuple):
    """Where data sets and models of a bundle's runs may come from, as for `verify_bundle`."""

    data: Path | None
    place: str | None
    trusted: Trusted


class _Depth(NamedTuple):
    """How much of a run is replayed."""

    games: int
    seconds: float


def _replay(
    run: Run, sources: _Sources, depth: _Depth, processors: frozenset[object]
) -> Iterator[Finding]:
    """Replay some games of a run until its time is over; yield what was found."""
    name = f"{run.spec.model} on {run.spec.dataset} ({store.digest_spec(run.spec)})"
    try:
        dataset = load_dataset_of(run, sources.data, sources.place)
        check_data(run.spec, dataset)
        model = model_from_spec(run.spec, sources.trusted)
        if model.card.adaptive:
            raise IsbenchError("it learns from object to object, so all games would be needed")
        games: list[ReplayedGame] = []
        end = time.monotonic() + depth.seconds
        keys = pick_keys([game.key for game in run.trajectories], depth.games)
        recorded = {game.key: game for game in run.trajectories if game.key in keys}
        with open_predictor(model) as predictor:
            for key in keys:
                if games and time.monotonic() > end:
                    break
                now = play_again(predictor, load_sample(dataset, key), run.spec.rules)
                games.append(ReplayedGame(recorded[key], now))
    except ExtensionError as error:
        yield Finding("differs", name, str(error))
        return
    except IsbenchError as error:
        yield Finding("not replayed", name, str(error))
        return
    yield from _judge(run, name, games, processors)


def _judge(
    run: Run, name: str, games: Sequence[ReplayedGame], processors: frozenset[object]
) -> Iterator[Finding]:
    """Yield the differences; those of a network on another processor only if they are large."""
    exact = run.spec.backend is None or processors == {describe_processor()}
    changes = list(list_changes(games))
    found = changes if exact else list(list_excess(games, run.spec.rules))
    yield from (Finding("differs", name, text) for text in found)
    if not found:
        count = f"{len(games) - len(changes)} of {len(games)} games are equal to the record"
        yield Finding("within bounds" if changes else "replayed", name, count)
