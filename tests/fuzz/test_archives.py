"""Archives of any members and bytes: unpacked as they say, or refused in one line."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from hypothesis import example, given, settings
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.files.archives import unpack
from tests.support.archives import make_tar_of, make_zip_of
from tests.support.fuzzing import SECONDS

BEGAN: dict[str, float] = {}

PARTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "a",
        "A",
        "b.c",
        "é",
        "e\u0301",
        "C:",
        "\\",
        "a\\b",
        "x" * 300,
        "\udcff",
        "\n",
        " ",
    ]
)
NAMES = st.one_of(st.lists(PARTS, min_size=1, max_size=4).map("/".join), st.text(max_size=6))
TYPES = st.sampled_from(
    [tarfile.REGTYPE] * 4
    + [tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE]
    + [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, b"D", b"Z"]
)
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4)


def is_over(test: str) -> bool:
    """Whether a test has had its time: the rest of its examples is not tried."""
    return monotonic() - BEGAN.setdefault(test, monotonic()) > SECONDS / 2


def check(archive: bytes) -> None:
    """Unpack an archive; the folder then holds regular files only, and nothing is outside of it."""
    with TemporaryDirectory() as scratch:
        path, into = Path(scratch, "archive"), Path(scratch, "1", "2", "3", "into")
        path.write_bytes(archive)
        into.mkdir(parents=True)
        message = "not refused"
        try:
            unpack(path, into)
        except (IsbenchError, OSError) as error:  # `install` reports a name that the disk refuses
            message = str(error)
        assert message
        assert "\n" not in message
        for root, folders, files in os.walk(scratch):
            for name in (*folders, *files):
                found = Path(root, name)
                assert not found.is_symlink()
                assert found.is_dir() or (found.is_file() and found.stat().st_nlink == 1)
                assert found == path or found.is_relative_to(Path(scratch, "1"))
                assert found.is_dir() or found == path or found.is_relative_to(into)


def damage(whole: bytes, changes: list[tuple[float, int]]) -> bytes:
    changed = bytearray(whole)
    for where, byte in changes:
        changed[int(where * (len(changed) - 1))] = byte
    return bytes(changed)


@given(
    members=st.lists(st.tuples(NAMES, TYPES, NAMES), min_size=1, max_size=5),
    compression=st.sampled_from(["", "gz", "bz2", "xz"]),
    changes=DAMAGE,
)
@example([("a/1", tarfile.REGTYPE, "1"), ("a/2", tarfile.LNKTYPE, "a/1")], "", [])
@example([("a", tarfile.SYMTYPE, "/etc"), ("a/passwd", tarfile.REGTYPE, "1")], "gz", [])
@example([("a", tarfile.REGTYPE, "1"), ("a", tarfile.REGTYPE, "2")], "", [])
@example([("a", tarfile.REGTYPE, "1"), ("a/1", tarfile.REGTYPE, "2")], "", [])
@example([(".", tarfile.REGTYPE, "1")], "", [])
@settings(max_examples=max(20, round(100 * SECONDS)), deadline=None)
def test_any_tar_is_unpacked_inside_or_refused(
    members: list[tuple[str, bytes, str]], compression: str, changes: list[tuple[float, int]]
) -> None:
    if is_over("tar"):
        return
    try:
        whole = make_tar_of(
            ((name, kind, text.encode(errors="replace")) for name, kind, text in members),
            compression,
        )
    except (ValueError, UnicodeError):  # such a member cannot be written
        return
    check(damage(whole, changes))


@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=99)), min_size=1, max_size=5),
    changes=DAMAGE,
)
@example([("a", b"1"), ("./a", b"2")], [])
@example([("../a", b"1")], [])
@example([("a/", b""), ("a", b"1")], [])
@settings(max_examples=max(20, round(100 * SECONDS)), deadline=None)
def test_any_zip_is_unpacked_inside_or_refused(
    members: list[tuple[str, bytes]], changes: list[tuple[float, int]]
) -> None:
    if is_over("zip"):
        return
    try:
        whole = make_zip_of(members)
    except (ValueError, UnicodeError, IndexError):
        return
    check(damage(whole, changes))
