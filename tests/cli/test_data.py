"""`isbench data`: what it prints, what it leaves behind and how it says no."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import chain, repeat
from pathlib import Path

import pytest

from isbench.datasets import load_dataset
from isbench.datasets.catalogue import CATALOGUE
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.registry import BUILT_IN
from isbench.types import File
from tests.conftest import write_folder_set
from tests.support.layouts import LAYOUTS, box, grabcut, sbd, write
from tests.support.serving import Page, Server, break_after, serve

Isbench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data folder, named by the variable and not made yet."""
    monkeypatch.setenv("ISBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("isbench.files.download._PAUSE", 0.0)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with serve() as running:
        yield running


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that moves a set's published archive to other addresses."""

    def publish(name: str, *urls: str, digest: str | None = None) -> None:
        archive = File(f"{name}.zip", urls, digest)
        moved = replace(CATALOGUE[name], archive=archive)
        monkeypatch.setitem(BUILT_IN, name, moved)  # type: ignore[arg-type]

    return publish


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """Return GrabCut as a zip."""
    return pack(grabcut(tmp_path / "made" / "GrabCut"))


def pack(root: Path) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as into:
        for path in sorted(root.rglob("*")):
            into.write(path, path.relative_to(root.parent))
    return whole.getvalue()


def list_files(folder: Path) -> list[str]:
    """Return the files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def refusal(answer: tuple[int, str, str]) -> str:
    """Return the one line of a command that refused bad input."""
    code, printed, said = answer
    assert code == 2
    assert printed == ""
    assert said.startswith("isbench: ")
    assert said.count("\n") == 1
    return said


def test_list_says_where_each_set_is_or_that_it_is_missing(isbench: Isbench, data: Path) -> None:
    sbd(data / "benchmark_RELEASE" / "dataset")
    code, printed, said = isbench("data", "list")
    assert (code, said) == (0, "")
    rows = {words[0]: words[-1] for line in printed.splitlines() if (words := line.split())}
    assert printed.splitlines()[0] == f"data folder: {data}"
    assert set(BUILT_IN) <= rows.keys()
    assert rows["grabcut"] == "missing"
    assert rows["sbd"] == rows["sbd-train"] == str(data / "benchmark_RELEASE" / "dataset")
    assert rows["sample"].endswith("sample")


def test_an_option_names_another_data_folder(isbench: Isbench, data: Path, tmp_path: Path) -> None:
    grabcut(tmp_path / "other" / "GrabCut")
    _, printed, _ = isbench("data", "list", "--data", tmp_path / "other")
    assert str(tmp_path / "other" / "GrabCut") in printed
    assert str(data) not in printed


def test_path_prints_a_folder_and_nothing_else(isbench: Isbench, data: Path) -> None:
    grabcut(data / "GrabCut")
    assert isbench("data", "path") == (0, f"{data}\n", "")
    assert isbench("data", "path", "grabcut") == (0, f"{data / 'GrabCut'}\n", "")


@pytest.mark.parametrize("command", ["path", "import", "get", "verify"])
def test_an_unknown_set_gets_the_nearest_name(
    isbench: Isbench, data: Path, command: str, tmp_path: Path
) -> None:
    source = [tmp_path] if command == "import" else []
    said = refusal(isbench("data", command, "grabcat", *source))
    assert said == "isbench: no data set named 'grabcat'; did you mean grabcut?\n"


@pytest.mark.parametrize("command", ["path", "verify"])
def test_a_missing_set_gets_the_command_that_fetches_it(
    isbench: Isbench, data: Path, command: str
) -> None:
    said = refusal(isbench("data", command, "davis"))
    assert f"data set davis is not in {data}" in said
    assert "`isbench data get" in said


def test_verify_prints_counts_fingerprint_and_whether_it_is_known(
    isbench: Isbench, data: Path, folder_set: Path
) -> None:
    name = f"folder:{folder_set}"
    code, printed, said = isbench("data", "verify", name, "sample")
    assert (code, said) == (0, "")
    assert printed.splitlines() == [
        f"{name}: 4/6 images/objects",
        f"  fingerprint {fingerprint(load_dataset(name))}",
        "  no known fingerprint of this data set to compare with",
        "sample: 7/16 images/objects",
        f"  fingerprint {fingerprint(load_dataset('sample'))}",
        "  known: the files of isbench 0.1",
    ]


def test_verify_warns_of_other_counts_and_another_fingerprint(isbench: Isbench, data: Path) -> None:
    grabcut(data / "GrabCut")
    code, printed, _ = isbench("data", "verify", "grabcut")
    assert code == 0
    assert "  warning: not one of the 1 known fingerprints\n" in printed
    assert "  warning: wanted 50/50 images/objects\n" in printed


def test_verify_without_a_name_looks_at_every_set_that_is_there(
    isbench: Isbench, data: Path
) -> None:
    for folder, make in LAYOUTS.values():
        make(data / folder)
    code, printed, _ = isbench("data", "verify")
    heads = [line.partition(":")[0] for line in printed.splitlines() if line[0] != " "]
    assert (code, heads) == (0, list(BUILT_IN))


def test_verify_lists_every_faulty_file_and_ends_with_2(isbench: Isbench, data: Path) -> None:
    root = grabcut(data / "GrabCut")
    (root / "data_GT" / "thing0.jpg").write_text("no picture")
    write(root / "boundary_GT" / "thing1.bmp", box(255, 1, 1)[:5])
    code, printed, said = isbench("data", "verify", "grabcut", "sample")
    assert code == 2
    assert f"  image {root}/data_GT/thing0.jpg cannot be read" in printed
    assert f"  mask {root}/boundary_GT/thing1.bmp is 16x5 pixels" in printed
    assert "sample: 7/16" in printed
    assert said == "isbench: objects of grabcut cannot be read; they are listed above\n"


def test_verify_counts_objects_that_no_click_can_score(isbench: Isbench, data: Path) -> None:
    root = grabcut(data / "GrabCut")
    write(root / "boundary_GT" / "thing1.bmp", box(128, 1, 1))
    code, printed, _ = isbench("data", "verify", "grabcut")
    assert code == 0
    assert "  1 objects have no scored pixel\n" in printed


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_import_copies_a_set_that_verify_then_takes(
    isbench: Isbench, data: Path, tmp_path: Path, archive: bytes, kind: str
) -> None:
    source = {"folder": tmp_path / "made", "zip": tmp_path / "a.zip", "tar": tmp_path / "a.tar"}
    source["zip"].write_bytes(archive)
    with tarfile.open(source["tar"], "w") as into:
        into.add(tmp_path / "made" / "GrabCut", "wrapped")
    answer = isbench("data", "import", "grabcut", source[kind])
    assert answer == (0, f"grabcut is in {data / 'GrabCut'}\n", "")
    assert list_files(data / "GrabCut") == list_files(tmp_path / "made" / "GrabCut")
    assert isbench("data", "verify", "grabcut")[0] == 0


@pytest.mark.parametrize("content", [b"", b"<html>", "wrong", "half", "escape", None])
def test_import_refuses_in_one_line_and_leaves_nothing(
    isbench: Isbench, data: Path, tmp_path: Path, archive: bytes, content: bytes | str | None
) -> None:
    source = tmp_path / "set.zip"
    if content == "escape":
        source.write_bytes(archive)
        with zipfile.ZipFile(source, "a") as more:
            more.writestr("../evil", "evil")
    elif content is not None:
        kinds = {"wrong": pack(sbd(tmp_path / "SBD")), "half": archive[: len(archive) // 2]}
        source.write_bytes(content if isinstance(content, bytes) else kinds[content])
    assert str(source) in refusal(isbench("data", "import", "grabcut", source))
    assert not data.exists() or list(data.iterdir()) == []


def test_import_never_replaces_a_set(isbench: Isbench, data: Path, tmp_path: Path) -> None:
    grabcut(data / "GrabCut")
    said = refusal(isbench("data", "import", "grabcut", grabcut(tmp_path / "made")))
    assert f"{data / 'GrabCut'} already exists" in said


@pytest.mark.parametrize("command", [("import", "sample", "."), ("get", "sample")])
def test_the_sample_is_never_fetched(
    isbench: Isbench, data: Path, command: tuple[str, ...]
) -> None:
    assert "comes with isbench" in refusal(isbench("data", *command))


def test_get_downloads_unpacks_and_clears_up(
    isbench: Isbench, data: Path, server: Server, archive: bytes
) -> None:
    url = server.add("/GrabCut.zip", Page(archive, cuts=break_after(500, 800)))
    answer = isbench("data", "get", "grabcut", "--url", url)
    assert answer == (0, f"grabcut is in {data / 'GrabCut'}\n", "")
    assert {path.parts[0] for path in map(Path, list_files(data))} == {"GrabCut"}
    assert isbench("data", "verify", "grabcut")[0] == 0
    again = isbench("data", "get", "grabcut", "--url", url)
    assert again == (0, f"grabcut is already in {data / 'GrabCut'}\n", "")
    assert [first for _, first in server.asked] == [0, 500, 1300]


def test_get_asks_the_given_address_first_and_the_published_ones_then(
    isbench: Isbench,
    data: Path,
    server: Server,
    archive: bytes,
    published: Callable[..., None],
) -> None:
    published("grabcut", server.add("/published", Page(archive)))
    page = Page(b"<html>", headers={"Content-Type": "text/html"})
    code, _, _ = isbench("data", "get", "grabcut", "--url", server.add("/given", page))
    assert code == 0
    assert [path for path, _ in server.asked] == ["/given", "/published"]
    assert (data / "GrabCut").is_dir()


def test_get_refuses_another_archive_than_the_published_one(
    isbench: Isbench,
    data: Path,
    server: Server,
    archive: bytes,
    published: Callable[..., None],
) -> None:
    url = server.add("/a", Page(archive))
    published("grabcut", url, digest="0" * 64)
    assert f"wanted {'0' * 64}" in refusal(isbench("data", "get", "grabcut"))
    assert list_files(data) == []
    published("grabcut", url, digest=sha256(archive).hexdigest())
    assert isbench("data", "get", "grabcut")[0] == 0


def test_get_throws_a_useless_archive_away_and_fetches_it_again(
    isbench: Isbench,
    data: Path,
    server: Server,
    archive: bytes,
    published: Callable[..., None],
) -> None:
    published("grabcut", server.add("/a", Page(archive[:-100])))
    assert "damaged" in refusal(isbench("data", "get", "grabcut"))
    assert list_files(data) == []
    published("grabcut", server.add("/a", Page(archive)))
    assert isbench("data", "get", "grabcut")[0] == 0


def test_get_goes_on_after_an_interrupted_command(
    isbench: Isbench,
    data: Path,
    server: Server,
    archive: bytes,
    published: Callable[..., None],
) -> None:
    statuses = chain([200, 404], repeat(200))
    published("grabcut", server.add("/a", Page(archive, cuts=break_after(900), statuses=statuses)))
    assert "HTTP 404" in refusal(isbench("data", "get", "grabcut"))
    assert isbench("data", "get", "grabcut")[0] == 0
    assert server.sent == len(archive)


def test_get_sees_a_folder_in_the_way_before_it_downloads(
    isbench: Isbench, data: Path, server: Server, archive: bytes
) -> None:
    (data / "GrabCut").mkdir(parents=True)
    url = server.add("/a", Page(archive))
    said = refusal(isbench("data", "get", "grabcut", "--url", url))
    assert f"{data / 'GrabCut'} already exists" in said
    assert server.asked == []


def test_get_keeps_the_archive_when_the_disk_is_at_fault(
    isbench: Isbench,
    data: Path,
    server: Server,
    archive: bytes,
    published: Callable[..., None],
) -> None:
    published("grabcut", server.add("/a", Page(archive)))
    data.mkdir()
    (data / "GrabCut").symlink_to(data / "gone")  # a place that the set cannot be moved to
    assert "cannot import" in refusal(isbench("data", "get", "grabcut"))
    (data / "GrabCut").unlink()
    assert isbench("data", "get", "grabcut")[0] == 0
    assert len(server.asked) == 1


def test_names_of_own_sets_have_a_path_and_say_what_they_replace(
    isbench: Isbench, data: Path, tmp_path: Path
) -> None:
    first, second = (write_folder_set(tmp_path / name, objects=2) for name in ("one", "two"))
    assert isbench("data", "add", "desk", f"folder:{first}?labels=void")[0] == 0
    assert isbench("data", "path", "desk")[:2] == (0, f"{first}\n")
    code, printed, _ = isbench("data", "add", "desk", f"folder:{second}")
    assert code == 0
    assert printed.startswith(f"desk: folder:{second}, in place of folder:{first}?labels=void\n")
    code, printed, _ = isbench("data", "remove", "desk")
    assert (code, printed) == (0, f"desk is removed; its files are kept: folder:{second}\n")
    assert isbench("data", "path", "desk")[0] == 2
    place = write_folder_set(tmp_path / "my, set", objects=2)
    assert isbench("data", "add", "desk", f"folder:{place}")[0] == 0
    assert isbench("data", "path", "desk")[:2] == (0, f"{place}\n")
    place.rename(tmp_path / "moved")
    code, _, said = isbench("data", "path", "desk")
    assert (code, said.count("\n")) == (2, 1)
    assert f"{place} is not a folder any more" in said
