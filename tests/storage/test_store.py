"""What is recorded stays: torn ends, damage, locks, versions, prefixes."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.evaluation.runner import run
from isbench.evaluation.spec import make_spec
from isbench.storage import run_file, store
from isbench.types import Dataset, Game, Rules, Spec, Trajectory
from tests.support import toys

GAMES = [Game(toys.trajectory(f"image#{k}", [0.2, 0.5, 0.9]), (0.1, 0.2, 0.3)) for k in range(5)]


def spec_of(rules: Rules, *keys: str) -> Spec:
    return make_spec(toys.model, Dataset("made", keys, toys.load_blob), rules, content="made")


SPEC = spec_of(Rules(3, 1.01), *(game.trajectory.key for game in GAMES))


def fill(out: Path, games: list[Game], spec: Spec = SPEC, seal: bool = False) -> Path:
    with run_file.open_run(out, spec) as file:
        assert file is not None
        for game in games:
            if game.trajectory.key not in file.recorded:
                file.append(game)
        return file.seal() if seal else file.path


def test_a_sealed_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    run = store.read(fill(tmp_path, GAMES, seal=True))
    assert run.complete
    assert run.spec == SPEC
    assert list(run.trajectories) == [game.trajectory for game in GAMES]
    assert list(run.seconds["image#0"]) == [0.1, 0.2, 0.3]


def test_the_order_of_playing_leaves_no_trace(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", GAMES, seal=True)
    other = fill(tmp_path / "other", GAMES[::-1], seal=True)
    assert one.read_bytes() == other.read_bytes()
    assert one.name == other.name


def test_nothing_but_the_sealed_file_and_its_meta_is_left(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    assert {path.name for path in sealed.parent.iterdir()} == {
        sealed.name,
        store.locate_meta(sealed).name,
    }


@settings(max_examples=60)
@given(data=st.data())
def test_a_file_torn_at_any_byte_is_completed_to_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = fill(tmp_path_factory.mktemp("whole"), GAMES, seal=True)
    torn = tmp_path_factory.mktemp("torn")
    path = fill(torn, GAMES)
    for file in (path, store.locate_meta(path)):
        size = file.stat().st_size
        with file.open("r+b") as handle:
            handle.truncate(data.draw(st.integers(0, size)))
    assert fill(torn, GAMES, seal=True).read_bytes() == whole.read_bytes()


def test_what_stands_before_the_torn_line_is_kept(tmp_path: Path) -> None:
    path = fill(tmp_path, GAMES[:3])
    with path.open("ab") as file:
        file.write(b'{"key":"image#3","cli')
    with run_file.open_run(tmp_path, SPEC) as file:
        assert file is not None
        assert set(file.recorded) == {"image#0", "image#1", "image#2"}
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b'{"key":"image#9"}',
        b'{"clicks":[[1,2,1]],"key":"image#9","overlap":[]}',
        b'{"clicks":[[1,2,1]],"key":"image#9","overlap":[[5,3]]}',
        b'{"clicks":[[1,-2,1]],"key":"image#9","overlap":[[1,3]]}',
        b'{"clicks":[[1,2.5,1]],"key":"image#9","overlap":[[1,3]]}',
        b'{"clicks":[],"key":"image#9","overlap":[]}',
        b'{"clicks":[[1,2,1]],"key":"image#9","overlap":[[1,3]]}',
        b'{"clicks":[[1,2,1],[1,2,1],[1,2,1]],"key":"image#0","overlap":[[1,3],[1,3],[1,3]]}',
        b'{"clicks":null,"key":"image#9","overlap":[[1,3]]}',
        b'{"clicks":[[1,2]],"key":"image#9","overlap":[[1,3]]}',
        b'{"clicks":[[1,2,1]],"key":null,"overlap":[[1,3]]}',
        b"null",
        b"[]",
        b"\xff\xfe",
        b"",
    ],
)
def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_lost(
    tmp_path: Path, line: bytes
) -> None:
    path = fill(tmp_path, GAMES)
    lines = path.read_bytes().split(b"\n")
    lines[3:3] = [line]
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    with (
        pytest.raises(IsbenchError, match=r"line 4 is damaged \((?!'clicks'|.*(iterable|unpack))"),
        run_file.open_run(tmp_path, SPEC),
    ):
        pass
    assert path.read_bytes() == before


def test_a_sealed_file_that_lacks_an_object_is_damaged(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    lines = gzip.decompress(sealed.read_bytes()).splitlines(keepends=True)
    sealed.write_bytes(gzip.compress(b"".join(lines[:-1])))
    with pytest.raises(IsbenchError, match="its 4 objects are not the 5 of its spec"):
        store.read(sealed)


def test_a_run_of_which_nothing_was_recorded_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), run_file.open_run(tmp_path, SPEC):
        raise KeyboardInterrupt
    assert store.find(tmp_path) == []


@pytest.mark.parametrize("line", ["5", "[]", '{"key":"x"}', '{"key":1,"seconds":"a"}', "null", "{"])
def test_a_stray_line_of_times_decides_nothing(tmp_path: Path, line: str) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    with store.locate_meta(sealed).open("a") as file:
        file.write(line + "\n")
    assert len(store.read(sealed).trajectories) == 5


@pytest.mark.parametrize("time", ["1e308", "-1", "NaN", "Infinity", "1" + "0" * 400, '"x"'])
def test_times_that_no_click_took_are_left_out(tmp_path: Path, time: str) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    before = dict(store.read(sealed).seconds)
    with store.locate_meta(sealed).open("a") as file:
        file.write(f'{{"key":"image#0","seconds":[{time},1]}}\n')
    assert store.read(sealed).seconds == before


def test_a_damaged_sealed_file_is_named(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    data = bytearray(sealed.read_bytes())
    data[len(data) // 2] ^= 0xFF
    sealed.write_bytes(data)
    with pytest.raises(IsbenchError, match="damaged"):
        store.read(sealed)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = fill(tmp_path, GAMES)
    first, rest = path.read_bytes().split(b"\n", 1)
    record = json.loads(first) | {"isbench": 99}
    path.write_bytes(json.dumps(record).encode() + b"\n" + rest)
    with pytest.raises(IsbenchError, match="has format 99; this isbench reads formats 1 and 2"):
        store.read(path)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"[1]\n", b'{"isbench":1,"spec":{"a":1}}\n'])
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(content)
    with pytest.raises(IsbenchError, match=r"some\.jsonl"):
        store.read(path)


def test_two_cannot_play_the_same_run(tmp_path: Path) -> None:
    with (
        run_file.open_run(tmp_path, SPEC),
        pytest.raises(IsbenchError, match="is open in another process"),
        run_file.open_run(tmp_path, SPEC),
    ):
        pass
    fill(tmp_path, GAMES, seal=True)


def test_other_runs_are_played_side_by_side(tmp_path: Path) -> None:
    other = replace(SPEC, limit=2)
    with run_file.open_run(tmp_path, SPEC) as one, run_file.open_run(tmp_path, other) as two:
        assert one is not None
        assert two is not None
        assert one.path != two.path


def test_a_sealed_run_is_not_opened_again(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    stale = sealed.with_name(sealed.name.removesuffix(".gz"))
    stale.write_bytes(b"left by a process that was killed right after sealing")
    with run_file.open_run(tmp_path, SPEC) as file:
        assert file is None
    assert not stale.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    out = tmp_path / "file" / "runs"
    with pytest.raises(IsbenchError, match=r"cannot write .*file"), run_file.open_run(out, SPEC):
        pass


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"version": "2"},
        {"libraries": {"torch": "3.0"}},
        {"keys": "other"},
        {"options": {"radius": 5}},
        {"limit": 3},
        {"fingerprint": "ab"},
        {"decoder": "other"},
        {"threads": 2},
        {"rules": Rules(seed=1)},
        {"rules": Rules(max_clicks=19)},
    ],
    ids=str,
)
def test_whatever_decides_the_numbers_changes_the_digest(change: dict[str, object]) -> None:
    assert store.digest_spec(replace(SPEC, **change)) != store.digest_spec(SPEC)  # type: ignore[arg-type]


def full(key: str) -> Trajectory:
    return toys.trajectory(key, [0.1, 0.5, 0.85, 0.8, 0.9, 0.95])


@pytest.mark.parametrize(
    ("asked", "clicks"),
    [
        (Rules(6, 0.90), 5),
        (Rules(6, 0.85), 3),
        (Rules(2, 0.90), 2),
        (Rules(6, 0.99), 6),
        (Rules(6, 1.01), 6),
    ],
    ids=str,
)
def test_full_games_answer_shorter_questions(tmp_path: Path, asked: Rules, clicks: int) -> None:
    longer = spec_of(Rules(6, 1.01), "image#0")
    fill(tmp_path, [Game(full("image#0"), ())], longer, seal=True)
    run = store.find_longer_run(tmp_path, replace(longer, rules=asked))
    assert run is not None
    assert run.spec.rules == asked
    assert run.trajectories[0].clicks == full("image#0").clicks[:clicks]
    assert run.trajectories[0].overlap == full("image#0").overlap[:clicks]


@pytest.mark.parametrize(
    "asked",
    [
        {"rules": Rules(7, 1.01)},
        {"rules": Rules(6, 1.01, seed=1)},
        {"rules": Rules(6, 1.01, end_on_perfect=True)},
        {"limit": 1},
        {"fingerprint": "other"},
        {"keys": "other"},
        {"version": "2"},
        {"libraries": {"torch": "3.0"}},
    ],
    ids=str,
)
def test_a_run_answers_no_other_question(tmp_path: Path, asked: dict[str, Any]) -> None:
    spec = spec_of(Rules(6, 1.01), "image#0")
    fill(tmp_path, [Game(full("image#0"), ())], spec, seal=True)
    assert store.find_longer_run(tmp_path, spec) is not None
    assert store.find_longer_run(tmp_path, replace(spec, **asked)) is None


def test_an_early_stopped_run_does_not_answer_for_full_games(tmp_path: Path) -> None:
    fill(tmp_path, GAMES, replace(SPEC, rules=Rules(6, 0.9)), seal=True)
    assert store.find_longer_run(tmp_path, replace(SPEC, rules=Rules(3, 1.01))) is None


def test_find_lists_a_run_once(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    sealed.with_name(sealed.name.removesuffix(".gz")).write_bytes(b"stale")
    open_one = fill(tmp_path, GAMES[:1], replace(SPEC, limit=1))
    assert store.find(tmp_path) == sorted([sealed, open_one])


def test_the_sealed_file_holds_spec_and_trajectories_only(tmp_path: Path) -> None:
    lines = gzip.decompress(fill(tmp_path, GAMES, seal=True).read_bytes()).splitlines()
    assert set(json.loads(lines[0])) == {"isbench", "spec"}
    assert {frozenset(json.loads(line)) for line in lines[1:]} == {
        frozenset({"key", "clicks", "overlap"})
    }


def test_what_a_killed_sealing_leaves_is_deleted_when_the_run_is_asked_for(tmp_path: Path) -> None:
    data, rules = toys.blobs(3), Rules(2, 1.01)
    sealed = run(toys.card, data, rules, out=tmp_path).path
    wanted = {path: path.read_bytes() for path in sealed.parent.iterdir() if path != sealed}
    left = [store.locate_companion(sealed, suffix) for suffix in (store.OPEN, ".lock")]
    for path in left:
        path.write_bytes(b"x\n")
    again = run(toys.card, data, replace(rules, max_clicks=1), out=tmp_path)  # of another run
    assert again.path == sealed
    assert all(path.exists() for path in left)
    assert run(toys.card, data, rules, out=tmp_path).path == sealed
    assert not any(path.exists() for path in left)
    assert wanted.keys() < set(sealed.parent.iterdir())


def test_what_a_killed_sealing_leaves_stays_while_another_process_has_it(tmp_path: Path) -> None:
    sealed = fill(tmp_path, GAMES, seal=True)
    left = store.locate_companion(sealed, store.OPEN)
    left.touch()
    with FileLock(store.locate_companion(sealed, ".lock")):
        run_file.clean_up(tmp_path, SPEC)
        assert left.exists()
    run_file.clean_up(tmp_path, SPEC)
    assert not left.exists()


@pytest.mark.parametrize("part", ["spec", "rules"])
@pytest.mark.parametrize("change", ["lacks", "adds"])
def test_every_field_of_a_record_has_to_be_there_and_known(
    tmp_path: Path, part: str, change: str
) -> None:
    path = fill(tmp_path, GAMES, seal=True)
    first, games = gzip.decompress(path.read_bytes()).split(b"\n", 1)
    names = json.loads(first)["spec"]
    for name in names if part == "spec" else names["rules"]:
        record = json.loads(first)
        fields = record["spec"] if part == "spec" else record["spec"]["rules"]
        if change == "lacks":
            del fields[name]
            said = f"it has no {name}"
        else:
            fields[f"{name}s"] = fields[name]
            said = f"'{name}s' is not known to this isbench"
        path.write_bytes(gzip.compress(json.dumps(record).encode() + b"\n" + games))
        with pytest.raises(IsbenchError, match=said):
            store.read(path)


@pytest.mark.parametrize("name", ["key", "clicks", "overlap"])
def test_a_game_without_a_field_names_it(tmp_path: Path, name: str) -> None:
    path = fill(tmp_path, GAMES)
    first, *games = path.read_text().splitlines()
    game = json.loads(games[0])
    del game[name]
    path.write_text("\n".join([first, json.dumps(game), *games[1:], ""]))
    with pytest.raises(IsbenchError, match=rf"line 2 is damaged \(it has no {name}\)"):
        store.read(path)


@pytest.mark.parametrize("number", [True, 1.0, "1", None, -1, 10**400])
@pytest.mark.parametrize("name", ["clicks", "overlap"])
def test_a_number_of_a_game_is_a_whole_one(tmp_path: Path, name: str, number: object) -> None:
    path = fill(tmp_path, GAMES)
    first, *games = path.read_text().splitlines()
    game = json.loads(games[0])
    game[name][0][0] = number
    path.write_text("\n".join([first, json.dumps(game), *games[1:], ""]))
    with pytest.raises(IsbenchError, match="line 2 is damaged"):
        store.read(path)


@pytest.mark.parametrize("sign", ["x", "猫", "🦊"])
def test_names_of_any_length_are_names_of_folders_and_files(tmp_path: Path, sign: str) -> None:
    for length in (10, 62, 64, 85, 252, 256, 5000):
        spec = replace(SPEC, dataset=f"folder:{sign * length}")
        path = fill(tmp_path, GAMES, spec, seal=True)
        assert store.read(path).spec == spec
        assert fill(tmp_path, GAMES[:1], replace(spec, threads=7)).parent == path.parent
        spec = replace(SPEC, model=f"package:{sign * length}")
        assert store.read(fill(tmp_path, GAMES, spec, seal=True)).spec == spec
