"""Run files from anywhere: read, chosen, resumed, merged and migrated, or refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.evaluation.spec import make_spec
from isbench.reporting import tables
from isbench.reporting.checklist import make_checklist
from isbench.storage import records, run_file, store
from isbench.storage.merge import merge
from isbench.storage.migrate import find_migrations
from isbench.types import Dataset, Game, Rules
from tests.support import hostile, toys
from tests.support.fuzzing import check, fuzz

GAMES = [toys.trajectory(f"image{k}#1", [0.2, 0.5, 0.9]) for k in range(3)]
SPEC = make_spec(
    toys.model,
    Dataset("made", tuple(game.key for game in GAMES), toys.load_blob),
    Rules(3, 1.01),
    "made",
)
LINES: list[dict[str, Any]] = [
    records.encode_spec(SPEC),
    *(json.loads(records.format_line(records.encode_trajectory(game))) for game in GAMES),
]
NAME = store.locate_run(Path(), SPEC)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def use(out: Path) -> None:
    """Do what the commands do with a run file."""
    for path in [*store.find(out), *store.find_shards(out)]:
        run = store.read(path)
        list(run.trajectories)
        rows = tables.make_rows([run])
        tables.make_table(rows, tables.ALL)
        make_checklist([run])
        assert store.digest_spec(run.spec)


def use_all(out: Path) -> None:
    check(use, out)
    check(find_migrations, out)
    check(store.find_longer_run, out, SPEC)
    check(store.find_stale_runs, out, SPEC)
    check(merge, [out], out.parent / "merged")
    check(resume, out)


def resume(out: Path) -> None:
    with run_file.open_run(out, SPEC) as file:
        if file is not None:
            for game in GAMES:
                if game.key not in file.recorded:
                    file.append(Game(game, ()))
            path = file.seal()
            store.read(path)


def place(out: Path, data: bytes, suffix: str) -> None:
    """Leave one run file in the folder."""
    for path in out.rglob("*"):
        if path.is_file():
            path.unlink()
    path = store.locate_companion(out / NAME, suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 1) if suffix.endswith(".gz") else data)


SUFFIXES = st.sampled_from([store.SEALED, store.OPEN, ".1-of-1.jsonl.gz"])


@fuzz(0.5)
@example(lines=[*LINES, LINES[1]], suffix=store.OPEN)
@example(lines=[{**LINES[0], "isbench": [[]]}, *LINES[1:]], suffix=store.SEALED)
@example(
    lines=[LINES[0], {**LINES[1], "overlap": [[hostile.HUGE, 1 + hostile.HUGE]] * 3}],
    suffix=store.OPEN,
)
@example(lines=[LINES[0], {**LINES[1], "key": "\ud800#1"}], suffix=store.SEALED)
@given(lines=hostile.change(LINES), suffix=SUFFIXES)
def test_a_run_file_with_another_value_is_read_or_refused(
    out: Path, lines: Any, suffix: str
) -> None:
    rows = lines if isinstance(lines, list) else [lines]
    place(out, b"".join(hostile.encode(row) + b"\n" for row in rows), suffix)
    use_all(out)


WHOLE = b"".join(hostile.encode(line) + b"\n" for line in LINES)


@fuzz(0.3)
@example(data=b"", suffix=store.OPEN)
@example(data=hostile.nest() + b"\n", suffix=store.SEALED)
@example(data=WHOLE + hostile.nest() + b"\n", suffix=store.OPEN)
@example(data=WHOLE[:-1], suffix=store.SEALED)
@example(data=b'{"isbench":' + b"9" * 5_000 + b"}\n", suffix=store.SEALED)
@given(data=hostile.corrupt(WHOLE), suffix=SUFFIXES)
def test_a_run_file_with_other_bytes_is_read_or_refused(
    out: Path, data: bytes, suffix: str
) -> None:
    place(out, data, suffix)
    use_all(out)


@fuzz(0.2)
@given(data=hostile.corrupt(gzip.compress(WHOLE, mtime=0)))
def test_a_sealed_run_whose_packed_bytes_are_others_is_read_or_refused(
    out: Path, data: bytes
) -> None:
    place(out, b"", store.OPEN)
    path = out / NAME
    path.write_bytes(data)
    use_all(out)


MEGABYTE = 1 << 20


@pytest.mark.parametrize("first", [b"", WHOLE])
@pytest.mark.parametrize("byte", [b" ", b"\n", b"["])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_soon(
    tmp_path: Path, byte: bytes, first: bytes
) -> None:
    path = tmp_path / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(first) + 3_000 * gzip.compress(byte * MEGABYTE, 9))
    use_all(tmp_path)
    with pytest.raises(IsbenchError, match=r"damaged|not a run file"):
        store.read(path)


def test_many_small_games_in_a_small_file_are_refused_soon(tmp_path: Path) -> None:
    """Each line is a whole game: without a limit, memory is the only one."""
    spec = {**LINES[0], "spec": {**LINES[0]["spec"], "objects": 10**9}}
    game = b'{"clicks":[[1,1,1],[1,1,1],[1,1,1]],"key":"%d#1","overlap":[[0,1],[0,1],[0,1]]%s}\n'
    path = tmp_path / NAME
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wb", 6) as file:
        file.write(hostile.encode(spec) + b"\n")
        file.writelines(game % (number, b" " * 40_000) for number in range(2_000))
    use_all(tmp_path)
    with pytest.raises(IsbenchError, match="unpacks to more than 50 times its size"):
        store.read(path)
