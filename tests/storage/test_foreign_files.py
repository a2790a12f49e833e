"""Files of runs that are damaged, under another name, or in a folder that cannot be listed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isbench.errors import IsbenchError
from isbench.reporting.chosen_runs import choose_runs
from isbench.storage import run_file, store
from isbench.storage.imported import find_imported
from isbench.types import Rules
from tests.storage.test_store import GAMES, SPEC, fill, spec_of


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\x00"])
def test_a_damaged_sealed_file_does_not_cost_the_games_of_an_open_one(
    tmp_path: Path, content: bytes
) -> None:
    path = fill(tmp_path, GAMES[:3])
    before = path.read_bytes()
    store.locate_run(tmp_path, SPEC).write_bytes(content)
    with pytest.raises(IsbenchError, match="gz is"), run_file.open_run(tmp_path, SPEC):
        pass
    run_file.clean_up(tmp_path, SPEC)
    assert path.read_bytes() == before


def test_a_run_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    shorter = spec_of(Rules(2, 1.01), *(game.trajectory.key for game in GAMES))
    (other := store.locate_run(tmp_path, shorter)).write_bytes(sealed.read_bytes())
    with pytest.raises(IsbenchError, match="contains another run than its name says"):
        store.read(other)


def test_a_file_with_a_name_without_a_digest_is_read(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    named = sealed.rename(tmp_path / f"mine{store.SEALED}")
    assert len(store.read(named).trajectories) == 5


def test_a_name_that_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    named = sealed.rename(tmp_path / os.fsdecode(b"\xffmine" + store.SEALED.encode()))
    with pytest.raises(IsbenchError, match=r"\\udcffmine.* is not UTF-8; rename it"):
        store.read(named)


@pytest.mark.parametrize(("name", "value"), [("objects", 0), ("limit", -1), ("threads", -1)])
def test_a_spec_with_an_impossible_number_is_refused(tmp_path: Path, name: str, value: int) -> None:
    sealed = fill(tmp_path, GAMES, replace(SPEC, **{name: value}))  # type: ignore[arg-type]
    with pytest.raises(IsbenchError, match=f"its spec is invalid .{name} is {value}; wanted at"):
        store.read(sealed)


@pytest.mark.parametrize(
    "find", [store.find, lambda folder: list(find_imported(folder))], ids=["runs", "imported"]
)
def test_a_folder_that_cannot_be_listed_is_refused(
    find: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = fill(tmp_path, GAMES, seal=True).parent
    scandir = os.scandir

    def refuse(folder: str) -> object:  # root, who may run the tests, can list any folder
        if Path(folder) == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(IsbenchError, match=f"cannot list {closed}: Permission denied"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ([b"garbage"], 1),
        ([b"\xff\xfe", b"5", b'"session"'], 3),
        ([b'{"session": 5}'], 1),
        ([b'{"key": "image#0", "seconds": [NaN]}'], 1),
        ([b'{"load": {}}'], 1),  # of no session
        ([b'{"key": "of another run", "seconds": [1.0]}'], 0),
        ([], 0),
    ],
)
def test_damaged_lines_of_a_meta_file_are_counted_in_a_note_and_cost_no_game(
    tmp_path: Path, lines: list[bytes], count: int
) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    good = b'{"key":"image#1","seconds":[0.5]}'
    store.locate_meta(sealed).write_bytes(b"\n".join([*lines, good, b""]))
    (run,), notes = choose_runs([], tmp_path)
    assert len(run.trajectories) == 5
    assert [*run.seconds] == ["image#1"]
    assert len(notes) == (count > 0)
    assert all(f"{count} line" in note and str(tmp_path) in note for note in notes)
