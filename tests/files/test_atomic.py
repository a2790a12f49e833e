"""A file is there as it was, or whole as it was meant; a full disk is one line."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from isbench.errors import IsbenchError, Remedy
from isbench.files.atomic import open_atomically, write_atomically


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_is_written_whole_into_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert read_files(path.parent) == {"file.txt": b"two"}


def test_the_old_file_is_read_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with open_atomically(path) as file:
        file.write(b"half")
        assert path.read_bytes() == b"old"
        file.write(b" and half")
    assert read_files(tmp_path) == {"file": b"half and half"}


@pytest.mark.parametrize("size", [0, 1, 5_000, 99_999])
def test_a_full_disk_keeps_the_old_file_and_gives_one_line(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with full_disk(size), pytest.raises(IsbenchError) as raised:
        write_atomically(path, bytes(100_000), Remedy("buy a larger disk", "out"))
    assert raised.value.setting == "out"
    assert str(raised.value).startswith(f"cannot write {path}: ")
    assert str(raised.value).endswith("; buy a larger disk")
    assert "\n" not in str(raised.value)
    assert read_files(tmp_path) == {"file": b"old"}


def stop_halfway(path: Path, error: type[BaseException]) -> None:
    with open_atomically(path) as file:
        file.write(b"half")
        raise error("stop")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, IsbenchError])
def test_an_error_of_the_writer_is_passed_on_and_keeps_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(error, match="stop"):
        stop_halfway(path, error)
    assert read_files(tmp_path) == {"file": b"old"}


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    path = tmp_path / "taken" / "file"
    with pytest.raises(IsbenchError, match=r"cannot write .*taken/file: .*; free some space, or"):
        write_atomically(path, b"")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="it is a folder; wanted the name of a file"):
        write_atomically(tmp_path, b"")
    assert [*tmp_path.parent.glob("*.tmp")] == []


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    link.symlink_to(target)
    for data in (b"new", b"newer"):
        write_atomically(link, data)
        assert (link.readlink(), target.read_bytes()) == (target, data)
    assert [*target.parent.iterdir()] == [target]


def test_a_loop_of_links_is_replaced_or_refused_in_one_line(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.symlink_to(other)
    other.symlink_to(one)
    with suppress(IsbenchError):
        write_atomically(one, b"data")
        assert one.read_bytes() == b"data"


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_pipe_is_not_replaced(tmp_path: Path, through_a_link: bool) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    with pytest.raises(IsbenchError, match="it is a pipe or a device; wanted the name of a file"):
        write_atomically(link if through_a_link else pipe, b"data")
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [link, pipe]
