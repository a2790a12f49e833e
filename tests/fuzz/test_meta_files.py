"""Files beside a run, its times and its masks: whatever is in them, the run is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isbench.evaluation.recheck import recheck_run
from isbench.evaluation.runner import run
from isbench.reporting import tables
from isbench.reporting.recorded_masks import recompute_masks
from isbench.storage import run_file, store
from isbench.storage.store import Run
from isbench.types import Rules
from tests.support import hostile, toys
from tests.support.fuzzing import check, fuzz

DATA = toys.blobs(2)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    return run("tests.support.toys:card", DATA, Rules(3, 1.01), out=out, save_masks=True)


def read(path: Path) -> None:
    """Do what the commands do with the times of a run."""
    found = store.read(path)
    tables.make_table(tables.make_rows([found]), tables.ALL)
    recheck_run(found, {"a": "b"}, DATA, toys.Disks, 1)


def check_meta(recorded: Run, data: bytes) -> None:
    meta = store.locate_meta(recorded.path)
    before = meta.read_bytes()
    try:
        meta.write_bytes(data)
        check(read, recorded.path)
        assert list(store.read(recorded.path).trajectories) == list(recorded.trajectories)
        run_file.add_session(recorded.path, {"host": "last"})
        assert store.read(recorded.path).meta[-1] == {"host": "last"}
    finally:
        meta.write_bytes(before)


META: list[Any] = [
    {"session": {"host": "a", "processor": "b", "sources": {"c": "d"}, "warnings": ["e"]}},
    {"key": DATA.keys[0], "seconds": [0.1, 0.2, 0.3]},
    {"key": DATA.keys[1], "seconds": [0.1, 0.2, 0.3]},
]


@fuzz(0.4)
@example(lines=[META[0], {**META[1], "seconds": [hostile.HUGE]}])
@example(lines=[{"session": {"sources": 3}}])
@example(lines=[{"session": {"processor": [[]]}}])
@example(lines=[{**META[1], "seconds": ["1"]}, {**META[2], "seconds": []}])
@given(lines=hostile.change(META))
def test_a_meta_file_with_another_value_changes_no_game(recorded: Run, lines: Any) -> None:
    rows = lines if isinstance(lines, list) else [lines]
    check_meta(recorded, b"".join(hostile.encode(row) + b"\n" for row in rows))


META_BYTES = b"".join(hostile.encode(row) + b"\n" for row in META)


@fuzz(0.2)
@example(data=hostile.nest() + b"\n")
@example(data=META_BYTES + b'{"session":')
@example(data=b"x" * (3 << 20))
@given(data=hostile.corrupt(META_BYTES))
def test_a_meta_file_with_other_bytes_changes_no_game(recorded: Run, data: bytes) -> None:
    check_meta(recorded, data)


def read_masks(recorded: Run) -> None:
    for one in recompute_masks(recorded, DATA, DATA.keys, 3):
        assert len(one.masks) == len(one.game.clicks)


def check_masks(recorded: Run, data: bytes) -> None:
    path = store.locate_companion(recorded.path, store.MASKS)
    before = path.read_bytes()
    try:
        path.write_bytes(data)
        check(read_masks, recorded)
    finally:
        path.write_bytes(before)


def read_rows(recorded: Run) -> list[Any]:
    path = store.locate_companion(recorded.path, store.MASKS)
    return [json.loads(line) for line in path.read_bytes().splitlines() if line]


def join(rows: Any) -> bytes:
    listed = rows if isinstance(rows, list) else [rows]
    return b"".join(b"\n" + hostile.encode(row) for row in listed)


@pytest.mark.parametrize(
    "other",
    [
        {"size": [60_000, 60_000]},
        {"size": [60_000, 60_000], "masks": [[3_600_000_000]] * 3},
        {"masks": [[-1, 601]] * 3},
        {"masks": [[hostile.HUGE]] * 3},
        {"masks": [["a"], None, {}]},
        {"masks": ["\ud800"] * 3},
        {"size": None},
    ],
)
def test_broken_masks_are_computed_again(recorded: Run, other: dict[str, Any]) -> None:
    check_masks(recorded, join([{**row, **other} for row in read_rows(recorded)]))


@fuzz(0.2)
@given(data=st.data())
def test_saved_masks_with_another_value_are_computed_again(
    recorded: Run, data: st.DataObject
) -> None:
    check_masks(recorded, join(data.draw(hostile.change(read_rows(recorded)))))


@fuzz(0.2)
@given(data=st.data())
def test_saved_masks_with_other_bytes_are_computed_again(
    recorded: Run, data: st.DataObject
) -> None:
    check_masks(recorded, data.draw(hostile.corrupt(join(read_rows(recorded)))))
