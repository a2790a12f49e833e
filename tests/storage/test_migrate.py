"""Run files of isbench 0.1 are read as they are, and converted without a change to their games."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.errors import IsbenchError
from isbench.evaluation.runner import run
from isbench.storage import processors, records, store
from isbench.storage.migrate import find_migrations, migrate
from isbench.storage.store import Run
from isbench.types import Rules
from tests.support import toys

Isbench = Callable[..., tuple[int, str, str]]
RULES = Rules(4, 1.01)


def as_before(played: Run, said: str = "torch 2.13.0+cpu") -> Path:
    """Write a run as isbench 0.1 did, under a name of its own, and take the new file away."""
    first, _, games = gzip.decompress(played.path.read_bytes()).partition(b"\n")
    spec = json.loads(first)["spec"]
    del spec["version"], spec["libraries"]
    old = {**spec, "source": "a.module", "code": "0123456789ab", "model_version": said}
    data = records.format_line({"isbench": 1, "spec": old}) + games
    path = played.path.with_name("disks-aaaaaaaaaaaa.jsonl.gz")
    path.write_bytes(gzip.compress(data, mtime=0))
    store.locate_meta(played.path).rename(store.locate_meta(path))
    played.path.unlink()
    return path


@pytest.fixture
def played(tmp_path: Path) -> Run:
    return run(toys.card, toys.blobs(5), RULES, out=tmp_path)


@pytest.mark.parametrize(
    ("said", "version", "libraries"),
    [
        ("torch 2.13.0+cpu", "1", {"torch": "2.13.0"}),
        ("opencv 5.0.0", "1", {"opencv": "5.0.0"}),
        ("", "1", {}),
        ("7 of mine", "7 of mine", {}),
    ],
)
def test_what_0_1_wrote_is_read(
    played: Run, said: str, version: str, libraries: dict[str, str]
) -> None:
    games = list(played.trajectories)
    found = store.read(as_before(played, said))
    assert (found.spec.version, found.spec.libraries) == (version, libraries)
    assert list(found.trajectories) == games
    assert found.complete
    assert set(found.seconds) == set(toys.blobs(5).keys)


def test_converted_it_is_the_run_that_today_s_code_writes(played: Run, tmp_path: Path) -> None:
    wanted, name = played.path.read_bytes(), played.path
    old = as_before(played, "")
    (one,) = find_migrations(tmp_path)
    assert (one.old, one.new) == (old, name)
    migrate(one)
    assert name.read_bytes() == wanted
    assert store.read(name).seconds
    assert not old.exists()
    assert find_migrations(tmp_path) == []


def test_what_0_1_wrote_answers_before_it_is_converted(played: Run, tmp_path: Path) -> None:
    old = as_before(played, "")
    assert run(toys.card, toys.blobs(5), Rules(3, 1.01), out=tmp_path).path == old


def test_an_unfinished_run_of_0_1_goes_on_once_converted(played: Run, tmp_path: Path) -> None:
    wanted = played.path.read_bytes()
    lines = gzip.decompress(as_before(played, "").read_bytes()).splitlines(keepends=True)
    (old,) = store.find(tmp_path)
    store.locate_companion(old, store.OPEN).write_bytes(b"".join(lines[:3]))
    old.unlink()
    (one,) = find_migrations(tmp_path)
    migrate(one)
    assert len(store.read(one.new).trajectories) == 2
    again = run(toys.card, toys.blobs(5), RULES, out=tmp_path)
    assert again.path.read_bytes() == wanted


def test_another_run_under_the_new_name_is_not_overwritten(played: Run, tmp_path: Path) -> None:
    name, data = played.path, played.path.read_bytes()
    old = as_before(played, "")
    lines = gzip.decompress(data).splitlines(keepends=True)
    name.write_bytes(gzip.compress(b"".join(lines[:-1])))
    with pytest.raises(IsbenchError, match="which is another run"):
        find_migrations(tmp_path)
    assert old.exists()


def test_two_different_runs_of_0_1_do_not_become_one(played: Run, tmp_path: Path) -> None:
    old = as_before(played, "")
    first, *games = gzip.decompress(old.read_bytes()).splitlines(keepends=True)
    other = old.with_name("disks-bbbbbbbbbbbb.jsonl.gz")
    other.write_bytes(gzip.compress(b"".join([first, *games])))
    assert len(find_migrations(tmp_path)) == 2
    other.write_bytes(gzip.compress(b"".join([first, *games[1:]])))
    with pytest.raises(IsbenchError, match=r"which is another run \(.*disks-aaaaaaaaaaaa"):
        find_migrations(tmp_path)


def test_a_full_disk_loses_no_run_and_no_processor(tmp_path: Path, isbench: Isbench) -> None:
    wanted = {}
    for name, count in (("a" * 12, 2), ("b" * 12, 60)):
        made = run(toys.card, toys.blobs(count), RULES, out=tmp_path / name)
        wanted[made.path] = made.path.read_bytes()
        old = as_before(made, "")
        old.rename(old.with_name(f"disks-{name}.jsonl.gz"))
    (tmp_path / processors.FILE).write_text(f"{'a' * 12} A processor\n{'b' * 12} A processor\n")
    few, many = map(len, wanted.values())
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({many - 1}, {many - 1}))"
    assert few < many - 1
    command = [sys.executable, "-c", f"{limit}\nfrom isbench.cli import main\nmain()"]
    done = subprocess.run(
        [*command, "migrate", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("isbench: cannot write ")
    assert done.stderr.endswith("convert the folder again\n")
    assert done.stderr.count("\n") == 1
    assert done.stdout.count(" -> ") == 1
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(store.find(tmp_path)) == 2
    code, printed, _ = isbench("migrate", tmp_path)
    assert (code, printed.splitlines()[-1]) == (0, "1 run file converted")
    assert {path: path.read_bytes() for path in store.find(tmp_path)} == wanted
    named = processors.read_processors(tmp_path)
    assert {store.parse_digest(path) for path in wanted} <= named.keys()


def test_the_command_says_what_it_did(played: Run, tmp_path: Path, isbench: Isbench) -> None:
    new = store.parse_digest(played.path)
    old = as_before(played, "")
    (tmp_path / processors.FILE).write_text("aaaaaaaaaaaa A processor\n")
    code, printed, _ = isbench("migrate", tmp_path)
    assert code == 0
    assert f"{old} -> disks-{new}.jsonl.gz" in printed
    assert "1 run file converted" in printed
    assert processors.read_processors(tmp_path) == {new: "A processor"}
    assert isbench("migrate", tmp_path)[1] == "0 run files converted\n"
    code, _, said = isbench("migrate", tmp_path / "none")
    assert (code, said.count("\n")) == (2, 1)
