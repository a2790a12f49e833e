"""Shards joined are the whole run, byte for byte; and what does not join."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.cli import main
from isbench.errors import IsbenchError
from isbench.evaluation.runner import run
from isbench.metrics import find_image
from isbench.reporting.chosen_runs import choose_runs
from isbench.storage import store
from isbench.storage.merge import merge
from isbench.storage.store import Shard
from isbench.types import Rules
from tests.support import toys
from tests.support.listening import Listening

RULES = Rules(max_clicks=4, stop_iou=1.01)


def shard(folder: Path, number: int, of: int, objects: int = 10) -> Path:
    return run(toys.card, toys.blobs(objects), RULES, out=folder, shard=Shard(number, of)).path


@settings(max_examples=8)
@given(objects=st.integers(1, 12), of=st.integers(1, 5))
def test_shards_joined_are_the_whole_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, objects: int, of: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    whole = run(toys.card, toys.blobs(objects), RULES, out=folder / "whole").path
    parts = [shard(folder / str(k), k, of, objects) for k in range(1, of + 1)]
    (joined,) = merge(parts[::-1], folder / "joined")
    assert joined.name == whole.name
    assert joined.read_bytes() == whole.read_bytes()


def test_every_image_is_of_one_shard(tmp_path: Path) -> None:
    keys = [
        {game.key for game in store.read(shard(tmp_path, k, 3, 11)).trajectories} for k in (1, 2, 3)
    ]
    assert sorted(key for part in keys for key in part) == sorted(toys.blobs(11).keys)
    images = [{find_image(key) for key in part} for part in keys]
    assert sum(map(len, images)) == len(set.union(*images))


def test_a_shard_is_resumed_and_is_no_run_by_itself(tmp_path: Path) -> None:
    data, watch = toys.blobs(10), Listening(2)
    with pytest.raises(KeyboardInterrupt):
        run(toys.card, data, RULES, out=tmp_path, shard=Shard(1, 2), watch=watch)
    listening = Listening()
    part = run(toys.card, data, RULES, out=tmp_path, shard=Shard(1, 2), watch=listening)
    assert listening.resumed == 2
    assert not part.complete
    assert store.find(tmp_path) == []
    assert run(toys.card, data, RULES, out=tmp_path).complete  # all of it, the shard left alone


def test_times_and_machines_come_along(tmp_path: Path) -> None:
    (joined,) = merge([shard(tmp_path / "a", 1, 2), shard(tmp_path / "b", 2, 2)], tmp_path / "c")
    found = store.read(joined)
    assert set(found.seconds) == set(toys.blobs(10).keys)
    assert len(found.meta) == 2


def test_what_lacks_a_shard_is_refused_and_nothing_written(tmp_path: Path) -> None:
    parts = [shard(tmp_path, 1, 3), shard(tmp_path, 3, 3)]
    with pytest.raises(IsbenchError, match="of 10 objects are in the shards 1/3, 3/3"):
        merge(parts, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_an_object_that_two_shards_played_apart_is_named(tmp_path: Path) -> None:
    parts = [shard(tmp_path / "a", 1, 2), shard(tmp_path / "b", 2, 2), shard(tmp_path / "c", 1, 2)]
    lines = gzip.decompress(parts[2].read_bytes()).splitlines(keepends=True)
    row = lines[1].replace(b'"clicks":[[', b'"clicks":[[1')
    parts[2].write_bytes(gzip.compress(lines[0] + row + b"".join(lines[2:])))
    with pytest.raises(IsbenchError, match="image000#0 has different games in"):
        merge(parts, tmp_path / "joined")


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("damaged", [True, False])
def test_other_games_in_the_folder_are_refused_and_stay(
    tmp_path: Path, sealed: bool, damaged: bool
) -> None:
    parts = [shard(tmp_path / "a", 1, 2), shard(tmp_path / "b", 2, 2)]
    (joined,) = merge(parts, tmp_path / "joined")
    lines = gzip.decompress(joined.read_bytes()).splitlines(keepends=True)
    lines[1] = b"[]\n" if damaged else lines[1].replace(b'"clicks":[[', b'"clicks":[[1')
    joined.unlink()
    recorded = joined if sealed else store.locate_companion(joined, store.OPEN)
    recorded.write_bytes(gzip.compress(b"".join(lines)) if sealed else b"".join(lines))
    before = recorded.read_bytes()
    with pytest.raises(IsbenchError, match="damaged" if damaged else "image000#0 has another game"):
        merge(parts, tmp_path / "joined")
    assert recorded.read_bytes() == before
    assert sealed or not joined.exists()


def test_a_torn_first_line_in_the_folder_is_replaced(tmp_path: Path) -> None:
    parts = [shard(tmp_path / "a", 1, 2), shard(tmp_path / "b", 2, 2)]
    (joined,) = merge(parts, tmp_path / "joined")
    before = joined.read_bytes()
    joined.unlink()
    store.locate_companion(joined, store.OPEN).write_bytes(b'{"isbench"')
    assert merge(parts, tmp_path / "joined") == [joined]
    assert joined.read_bytes() == before


def test_a_learner_has_no_shards(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="cannot be sharded"):
        run(toys.learner, toys.blobs(4), RULES, out=tmp_path, shard=Shard(1, 2))


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    played = ["run", "--model", "nearest", "--dataset", "sample", "--max-clicks", "2"]
    for part in ("1/2", "2/2"):
        assert exit_of([*played, "--shard", part, "--out", str(tmp_path / part[0])]) == 0
    said = capsys.readouterr().out
    assert "of 16 objects:" in said
    assert said.count("merge the parts") == 2
    assert exit_of([*played, "--out", str(tmp_path / "whole")]) == 0
    merged = [str(tmp_path / one) for one in ("1", "2")]
    assert exit_of(["merge", *merged, "--out", str(tmp_path / "joined")]) == 0
    (whole,), (joined,) = (store.find(tmp_path / one) for one in ("whole", "joined"))
    assert whole.read_bytes() == joined.read_bytes()
    capsys.readouterr()
    assert exit_of([*played, "--shard", "1/2", "--out", str(tmp_path / "joined")]) == 0
    said = capsys.readouterr().out
    assert "16 of 16 objects:" in said  # nothing is left to merge
    assert "merge the parts" not in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["merge", "nowhere"], "nowhere is not a shard"),
        (["merge", "."], "no shards in ."),
        (["run", "--model", "nearest", "--dataset", "sample", "--shard", "3/2"], "shard is 3/2"),
    ],
)
def test_wrong_inputs(
    args: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_of(args) == 2
    assert said in capsys.readouterr().err


def exit_of(args: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_folder_of_shards_alone_says_how_to_join_them(tmp_path: Path) -> None:
    for number in (1, 2):
        shard(tmp_path, number, 2)
    with pytest.raises(IsbenchError, match="has no whole run, but 2 shards; join them with"):
        choose_runs([], tmp_path)
