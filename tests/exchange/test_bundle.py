"""A bundle is accepted as it was written, and whatever is changed in it is named."""

from __future__ import annotations

import csv
import gzip
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from isbench.errors import IsbenchError
from isbench.exchange.bundle import MANIFEST, TABLE, write_bundle
from isbench.exchange.bundle_check import BundleCheck, Finding, verify_bundle
from isbench.exchange.click_frame import make_click_frame
from isbench.storage import run_file, store
from isbench.storage.records import Trajectories
from isbench.storage.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bundle(played: Run, tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle.zip", [played])


def read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, change: Callable[[dict[str, bytes]], Any], renew: bool = False) -> Path:
    """Change the members of a bundle; with `renew` a forger also corrects the checksums."""
    members = read_members(path)
    change(members)
    if renew:
        manifest = json.loads(members[MANIFEST])
        manifest["files"] = {
            name: {"sha256": sha256(data).hexdigest(), "size": len(data)}
            for name, data in members.items()
            if name != MANIFEST
        }
        members[MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def kinds(check: BundleCheck) -> list[str]:
    return [finding.kind for finding in check.findings]


def find_record(members: dict[str, bytes]) -> str:
    (name,) = (name for name in members if name.endswith(store.SEALED))
    return name


def change_game(members: dict[str, bytes]) -> None:
    """Improve the last overlap of every game."""
    name = find_record(members)
    spec, *games = gzip.decompress(members[name]).splitlines()
    records = [json.loads(game) for game in games]
    for record in records:
        record["overlap"][-1] = [record["overlap"][-1][1]] * 2
    lines = [spec, *(json.dumps(record).encode() for record in records), b""]
    members[name] = gzip.compress(b"\n".join(lines))


def test_a_bundle_is_accepted_and_its_games_are_equal(bundle: Path, isbench: Command) -> None:
    code, printed, said = isbench("verify", bundle)
    assert code == 0, said
    assert "replayed: nearest on sample" in printed
    assert "2 of 2 games are equal to the record" in printed
    assert f"{bundle} is accepted: 1 run" in printed


def test_the_same_runs_give_the_same_bytes(played: Run, bundle: Path, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "again.zip", [played, played])
    assert other.read_bytes() == bundle.read_bytes()


def test_the_name_of_a_run_s_file_does_not_matter(
    played: Run, bundle: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "base.jsonl.gz"
    renamed.write_bytes(played.path.read_bytes())
    meta = store.locate_meta(played.path)
    store.locate_meta(renamed).write_bytes(meta.read_bytes())
    other = write_bundle(tmp_path / "renamed.zip", [store.read(renamed)])
    assert other.read_bytes() == bundle.read_bytes()
    assert {*make_click_frame([store.read(renamed)])["run"]} == {store.digest_spec(played.spec)}


def test_a_bundle_has_the_record_byte_for_byte_and_no_host_or_folder(
    played: Run, bundle: Path
) -> None:
    members = read_members(bundle)
    assert members[find_record(members)] == played.path.read_bytes()
    (run,) = json.loads(members[MANIFEST])["runs"]
    assert run["digest"] == store.digest_spec(played.spec)
    assert run["sessions"][0].keys() <= {"machine", "processor", "python", "versions", "sources"}
    assert str(played.path.parents[2]) not in members[MANIFEST].decode()
    assert played.meta[0]["host"] not in (members[MANIFEST] + members[TABLE]).decode()


def test_games_and_time_decide_how_much_is_replayed(bundle: Path) -> None:
    assert kinds(verify_bundle(bundle, games=0)) == []
    (short,) = verify_bundle(bundle, games=100, seconds=1e-9).findings
    (whole,) = verify_bundle(bundle, games=100).findings
    assert short.text == "1 of 1 games are equal to the record"
    assert whole.text == "4 of 4 games are equal to the record"


def test_a_changed_byte_is_named(bundle: Path) -> None:
    rewrite(bundle, lambda members: members.update({TABLE: members[TABLE] + b"\n"}))
    check = verify_bundle(bundle, games=0)
    assert not check.is_accepted
    assert check.findings[0] == Finding("differs", TABLE, "its bytes are not those of its checksum")


def test_a_game_that_was_improved_is_found_by_the_table_and_by_its_replay(bundle: Path) -> None:
    rewrite(bundle, change_game, renew=True)
    check = verify_bundle(bundle, games=0)
    assert {finding.what for finding in check.findings} == {TABLE}
    assert any("iou@3" in finding.text for finding in check.findings)
    replayed = [one for one in verify_bundle(bundle, games=1).findings if one.what != TABLE]
    assert [one.kind for one in replayed] == ["differs"]
    assert "after click 3 IoU was" in replayed[0].text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header, row: [header, row.replace(b"0.", b"1."), row], "it has a run twice"),
        (lambda header, row: [header + b",noc@90", row + b",1.00"], "it has a column twice"),
        (lambda header, row: [header, row + b",1.00"], "another number of cells"),
        (lambda header, row: [header.replace(b",run,", b",Run,"), row], "or no column run"),
        (lambda header, row: [], "or no column run"),
    ],
)
def test_a_table_that_can_be_read_in_two_ways_differs(
    change: Callable[[bytes, bytes], list[bytes]], words: str, bundle: Path
) -> None:
    def forge(members: dict[str, bytes]) -> None:
        lines = change(*members[TABLE].splitlines())
        members[TABLE] = b"".join(line + b"\n" for line in lines)

    check = verify_bundle(rewrite(bundle, forge, renew=True), games=0)
    assert not check.is_accepted
    assert words in check.findings[0].text


def test_columns_that_are_not_compared_are_named(bundle: Path) -> None:
    def forge(members: dict[str, bytes]) -> None:
        (row,) = csv.DictReader(members[TABLE].decode().splitlines())
        members[TABLE] = f"run,NoC@90\n{row['run']},1.00\n".encode()

    check = verify_bundle(rewrite(bundle, forge, renew=True), games=0)
    assert kinds(check) == ["not compared", "not compared"]
    assert check.findings[0].text == "columns that only the bundle has: NoC@90"
    assert "noc@90" in check.findings[1].text


@pytest.mark.parametrize(
    ("key", "value"), [("processor", ["x"]), ("processor", {}), ("processor", 5)]
)
def test_a_session_may_state_anything(key: str, value: Any, bundle: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[MANIFEST])
        manifest["runs"][0]["sessions"] = [{key: value}]
        members[MANIFEST] = json.dumps(manifest).encode()

    assert verify_bundle(rewrite(bundle, change), games=1).is_accepted


@pytest.mark.parametrize(
    ("change", "words"), [(lambda runs: [], "no runs"), (lambda runs: runs * 2, "a run twice")]
)
def test_a_bundle_lists_each_run_once_and_at_least_one(
    change: Callable[[list[Any]], list[Any]], words: str, bundle: Path
) -> None:
    def forge(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[MANIFEST])
        manifest["runs"] = change(manifest["runs"])
        members[MANIFEST] = json.dumps(manifest).encode()

    with pytest.raises(IsbenchError, match=words):
        verify_bundle(rewrite(bundle, forge))


def test_another_spec_than_that_of_the_record_is_named(bundle: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = members[MANIFEST].replace(b'"version": "', b'"version": "9')

    check = verify_bundle(rewrite(bundle, change), games=0)
    assert "another spec" in check.findings[0].text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda members: members.pop(TABLE), "not in the bundle"),
        (lambda members: members.update({"run.py": b"print()"}), "not listed"),
        (lambda members: members.pop(find_record(members)), "not in the bundle"),
    ],
)
def test_a_file_too_many_or_too_few_is_named(
    change: Callable[[dict[str, bytes]], Any], words: str, bundle: Path
) -> None:
    check = verify_bundle(rewrite(bundle, change), games=0)
    assert not check.is_accepted
    assert any(words in finding.text for finding in check.findings)


def test_a_file_that_is_listed_but_belongs_to_no_run_is_named(bundle: Path) -> None:
    rewrite(bundle, lambda members: members.update({"setup.py": b"1"}), renew=True)
    assert verify_bundle(bundle, games=0).findings[0].what == "setup.py"


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "C:\\escaped"])
def test_no_member_leads_out_of_a_bundle(name: str, bundle: Path) -> None:
    rewrite(bundle, lambda members: members.update({name: b"1"}))
    with pytest.raises(IsbenchError, match="leads out of it"):
        verify_bundle(bundle)
    assert not (bundle.parent / "escaped").exists()


@pytest.mark.parametrize(
    "manifest",
    [
        b"{}", b"[]", b"no", b'{"isbench_bundle": 2}', b'{"isbench_bundle": 1}',
        b'{"isbench_bundle": 1, "files": {}, "runs": [3]}',
        b'{"isbench_bundle": 1, "files": {}, "runs": [{"file": []}]}',
        b'{"isbench_bundle": 1, "files": [], "runs": {}}',
    ],
)  # fmt: skip
def test_what_is_not_a_bundle_is_refused(manifest: bytes, bundle: Path) -> None:
    rewrite(bundle, lambda members: members.update({MANIFEST: manifest}))
    with pytest.raises(IsbenchError, match="is not a bundle"):
        verify_bundle(bundle)


@pytest.mark.parametrize("place", ["", "runs", "../x", "/etc/passwd", "runs/\0", "table.csv"])
def test_a_run_elsewhere_is_not_read(place: str, bundle: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[MANIFEST])
        manifest["runs"][0]["file"] = place
        members[MANIFEST] = json.dumps(manifest).encode()

    assert not verify_bundle(rewrite(bundle, change), games=0).is_accepted


def test_a_bundle_that_is_too_large_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 3 * 10**9)  # a hole, which takes no space
    with pytest.raises(IsbenchError, match="at most"):
        verify_bundle(path)
    for other in (tmp_path, tmp_path / "missing.zip"):
        with pytest.raises(IsbenchError, match=r"not a file|cannot read"):
            verify_bundle(other)


@pytest.mark.parametrize("size", [10, 2000])
def test_a_damaged_bundle_is_said_to_be_none(size: int, bundle: Path, isbench: Command) -> None:
    bundle.write_bytes(bundle.read_bytes()[:size])
    code, printed, said = isbench("verify", bundle)
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert f"archive {bundle} is damaged" in said
    assert "wanted a file from `isbench export --format bundle`" in said
    assert "import the folder" not in said


def test_a_model_that_is_not_installed_is_not_imported_and_said(
    played: Run, tmp_path: Path
) -> None:
    spec = replace(played.spec, model="nowhere_to_be_found:card")
    games = played.trajectories
    assert isinstance(games, Trajectories)
    path = store.locate_run(tmp_path / "foreign", spec)
    path.parent.mkdir(parents=True)
    run_file.seal(path, spec, dict(zip(games.keys, games.lines, strict=True)))
    foreign = write_bundle(tmp_path / "foreign.zip", [store.read(path)])
    check = verify_bundle(foreign)
    assert check.is_accepted
    assert [one.kind for one in check.findings] == ["not replayed"]
    assert "not installed" in check.findings[0].text


def test_an_open_run_is_no_part_of_a_bundle(played: Run, tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="is not finished"):
        write_bundle(tmp_path / "b.zip", [replace(played, complete=False)])
