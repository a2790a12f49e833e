"""Archives: unpacked whole or refused, and never outside the target folder."""

from __future__ import annotations

import os
import tarfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.files import archives
from isbench.files.archives import Unusable, unpack
from tests.support.archives import PACKS, make_tar, make_tar_of, make_zip, make_zip_of


def read_files(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


PARTS = st.sampled_from(["..", ".", "", "a", "b.c", "...", "C:", "é", "~", " ", "\\", "a\\..\\b"])


@given(
    names=st.lists(st.lists(PARTS, min_size=1, max_size=5).map("/".join), min_size=1, max_size=3),
    kind=st.sampled_from(["zip", "tar"]),
)
@settings(max_examples=80)
def test_whatever_names_an_archive_holds_nothing_leaves_the_folder(
    names: list[str], kind: str
) -> None:
    with TemporaryDirectory() as scratch:
        into = Path(scratch, "1", "2", "3", "into")
        into.mkdir(parents=True)
        archive = Path(scratch, "archive")
        archive.write_bytes(PACKS[kind](dict.fromkeys((n for n in names if n), b"evil")))
        with suppress(IsbenchError):
            unpack(archive, into)
        outside = {Path(root, name) for root, _, files in os.walk(scratch) for name in files}
        assert {path for path in outside if into not in path.parents} == {archive}


@pytest.mark.parametrize("kind", PACKS)
def test_an_archive_that_was_cut_short_gives_all_or_nothing(tmp_path: Path, kind: str) -> None:
    files = {"a/1": b"one" * 300, "a/2": bytes(range(256)) * 3, "b/3": b"", "b/4": b"four"}
    whole = PACKS[kind](files)
    archive = tmp_path / "archive"
    places = {*range(0, len(whole), 61), *range(0, len(whole), 512), len(whole) - 1}
    for number, end in enumerate(sorted(places)):
        archive.write_bytes(whole[:end])
        into = tmp_path / str(number)
        with suppress(IsbenchError):
            unpack(archive, into)
            assert read_files(into) == files, f"cut at {end} of {len(whole)}"


@given(
    kind=st.sampled_from(sorted(PACKS)),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
)
@settings(max_examples=120)
def test_whatever_bytes_are_damaged_the_error_is_one_a_person_can_act_on(
    kind: str, damage: list[tuple[float, int]]
) -> None:
    whole = bytearray(PACKS[kind]({"a/1": b"one" * 300, "a/2": bytes(range(256))}))
    for where, byte in damage:
        whole[int(where * (len(whole) - 1))] = byte
    with TemporaryDirectory() as scratch:
        archive = Path(scratch, "archive")
        archive.write_bytes(whole)
        with suppress(IsbenchError):
            unpack(archive, Path(scratch, "into"))


TWICE = [
    ("a/1", "a/1"), ("a/1", "A/1"), ("a/1", "./a/1"), ("a/1", "a//1"), ("a/1", "a/./1"),
    ("a/1", "a\\1"), ("a\u0301", "\u00e1"), ("a", "a/1"), ("a/1", "a"), ("a/1", "A"), ("a", "a/"),
    ("a/", "a"), ("a", "A/b/c"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("names", TWICE, ids=" ".join)
def test_two_members_for_one_file_are_refused_by_name(
    tmp_path: Path, kind: str, names: tuple[str, str]
) -> None:
    archive = tmp_path / "archive"
    members = [("other", b"0"), *((name, b"1") for name in names)]
    if kind == "zip":
        archive.write_bytes(make_zip_of((n, b"" if n.endswith("/") else x) for n, x in members))
    else:
        kinds = {True: tarfile.DIRTYPE, False: tarfile.REGTYPE}
        tarred = ((n.rstrip("/"), kinds[n.endswith("/")], x) for n, x in members)
        archive.write_bytes(make_tar_of(tarred))
    with pytest.raises(Unusable) as raised:
        unpack(archive, tmp_path / "into")
    first, second = (repr(name.rstrip("/") if kind == "tar" else name) for name in names)
    assert f"contains {first} and {second}, two members for one file" in str(raised.value)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_file_managers_add_is_left_out_however_often_it_occurs(
    tmp_path: Path, kind: str
) -> None:
    junk = ["__MACOSX/a/._1", "a/.DS_Store", ".DS_Store", "a/Thumbs.db", "a/._1", "__MACOSX/x"]
    members = [("a/1", b"1"), *((name, b"x") for name in junk * 2)]
    archive = tmp_path / "archive"
    if kind == "zip":
        archive.write_bytes(make_zip_of(members))
    else:
        archive.write_bytes(make_tar_of((name, tarfile.REGTYPE, x) for name, x in members))
    unpack(archive, tmp_path / "into")
    assert read_files(tmp_path / "into") == {"a/1": b"1"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_folder_may_be_listed_twice(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "archive"
    if kind == "zip":
        names = ("a/", "a/1", "a/", "b/c/2", "b/", "b/c/")
        archive.write_bytes(make_zip_of((name, b"") for name in names))
    else:
        of = [("a", tarfile.DIRTYPE), ("a/1", tarfile.REGTYPE), ("./a", tarfile.DIRTYPE)]
        of += [(".", tarfile.DIRTYPE), ("b/c/2", tarfile.REGTYPE), ("b", tarfile.DIRTYPE)]
        archive.write_bytes(make_tar_of((name, one, b"") for name, one in of))
    unpack(archive, tmp_path / "into")
    assert set(read_files(tmp_path / "into")) == {"a/1", "b/c/2"}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.CHRTYPE, "special file"),
        (tarfile.FIFOTYPE, "special file"),
        (b"D", "special file"),
        (b"Z", "special file"),
    ],
)
def test_special_members_are_refused_by_name(tmp_path: Path, kind: bytes, word: str) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make_tar_of([("a/1", tarfile.REGTYPE, b"1"), ("a/2", kind, b"a/1")]))
    with pytest.raises(Unusable, match=f"contains 'a/2', a {word}"):
        unpack(archive, tmp_path / "into")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_an_archive_that_unpacks_to_far_more_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archives, "_ALWAYS", 1_000_000)
    archive = tmp_path / "archive"
    for files in ({"a/1": bytes(9_000_000)}, {f"a/{k}": b"" for k in range(2000)}):
        archive.write_bytes(PACKS[kind](files))
        monkeypatch.setattr(archives, "_RATIO", 0)
        with pytest.raises(Unusable, match=r"contains more than .* times its size, at 'a/"):
            unpack(archive, tmp_path / "into")
        written = read_files(tmp_path / "into")
        assert sum(map(len, written.values())) <= 1_000_000 + archives._BLOCK
        assert len(written) < 500
        monkeypatch.undo()
        unpack(archive, tmp_path / "whole")
        monkeypatch.setattr(archives, "_ALWAYS", 1_000_000)


def test_a_name_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    archive = tmp_path / "archive"
    first = make_tar({"a/1": b""})[:512]
    archive.write_bytes(first + header.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(Unusable, match="a name or header of 1073741824 bytes"):
        unpack(archive, tmp_path / "into")


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make_zip({".": b"1"}))
    with pytest.raises(Unusable, match=r"contains '\.', which names no file"):
        unpack(archive, tmp_path / "into")


@pytest.mark.parametrize("kind", PACKS)
@pytest.mark.parametrize("name", ["a" * 300, "/".join(["b" * 200] * 30)])
def test_a_name_that_no_disk_takes_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / "archive").write_bytes(PACKS[kind]({name: b"x"}))
    with pytest.raises(Unusable, match=r"contains '(aa|bb).*'\.\.\., a name that is too long"):
        unpack(tmp_path / "archive", tmp_path / "into")
