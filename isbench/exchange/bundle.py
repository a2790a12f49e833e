"""Bundles: runs, what was measured and on what, and their table, in one zip with checksums.

The same runs give the same bytes. A bundle is data; nothing in it is executed. Not here: checking
one that was received (`bundle_check`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from isbench.errors import IsbenchError, check_some
from isbench.files.atomic import write_atomically
from isbench.files.limits import read_regular
from isbench.metrics import METRICS
from isbench.reporting import tables
from isbench.storage import records, store
from isbench.storage.processors import list_playing_sessions
from isbench.storage.store import Run

FORMAT = 1
MANIFEST, TABLE, RUNS = "bundle.json", "table.csv", "runs"
# what a reader needs of a session; host, folders and times of day are left out
_SHARED = ("machine", "processor", "python", "versions", "sources")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


def write_bundle(path: Path | str, runs: Sequence[Run]) -> Path:
    """Write a bundle of complete runs.

    Parameters
    ----------
    path : Path or str
        The zip file to write.
    runs : sequence of Run
        Sealed runs, as `isbench.read` or `isbench.choose_runs` return them.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    IsbenchError
        For no run, one that is not sealed, one that two files hold, and a file that cannot be
        written.
    """
    check_some(runs, "run")
    path = Path(path)
    files = _collect(runs)
    listed = {name: {"sha256": sha256(data).hexdigest(), "size": len(data)}
              for name, data in sorted(files.items())}  # fmt: skip
    manifest = {
        "isbench_bundle": FORMAT,
        "isbench": version("isbench"),
        "files": listed,
        "runs": [_describe(run) for run in _sort(runs)],
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomically(path, _pack({MANIFEST: text.encode(), **files}))
    return path


def format_table(runs: Sequence[Run]) -> str:
    """Return the table of a bundle as csv: every figure that follows from the records alone.

    Times and the load of machines are not in it, nor names that depend on what is installed, or on
    what a run's file was renamed to.
    """
    bare = [replace(run, seconds={}, meta=(), path=Path(find_member(run))) for run in _sort(runs)]
    frame = tables.make_frame(bare, metrics=METRICS).drop(columns="label")
    return tables.format_csv(frame.dropna(axis="columns", how="all"))


def find_member(run: Run) -> str:
    """Return the name of a run's file in a bundle."""
    return store.locate_run(Path(RUNS), run.spec).as_posix()


def _collect(runs: Sequence[Run]) -> dict[str, bytes]:
    """Return the files of a bundle without the manifest, by name."""
    files: dict[str, bytes] = {}
    for run in runs:
        if not run.complete or not run.path.name.endswith(store.SEALED):
            raise IsbenchError(
                f"{run.path} is not finished; a bundle holds sealed runs: complete it with the "
                "command that began it"
            )
        data = _read(run.path)
        if files.setdefault(find_member(run), data) != data:
            raise IsbenchError(
                f"two files hold run {store.digest_spec(run.spec)}, one of them {run.path}, and "
                "their games differ; name one of them"
            )
    return {**files, TABLE: format_table(runs).encode()}


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error


def _describe(run: Run) -> Mapping[str, Any]:
    sessions = [
        {name: session[name] for name in _SHARED if name in session}
        for session in list_playing_sessions(run)
    ]
    distinct = {json.dumps(one, sort_keys=True): one for one in sessions}
    return {
        "file": find_member(run),
        "digest": store.digest_spec(run.spec),
        "spec": records.encode_spec(run.spec)["spec"],
        "sessions": [distinct[text] for text in sorted(distinct)],
    }


def _sort(runs: Sequence[Run]) -> list[Run]:
    """Return each run once, by the name of its file in the bundle."""
    found = {find_member(run): run for run in runs}
    return [found[name] for name in sorted(found)]


def _pack(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of files; they are stored as they are, so that no compressor decides bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in (MANIFEST, *sorted(set(files) - {MANIFEST})):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # Unix, also on Windows
            archive.writestr(entry, files[name])
    return buffer.getvalue()
