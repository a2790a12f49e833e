"""Archives: unpacked whole or refused, and never outside the target folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.files.archives import unpack
from tests.support.archives import PACKS


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
        with suppress(IsbenchError, OSError):  # a name may be a folder and a file at once
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
