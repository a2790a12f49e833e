"""Data sets from folders and archives: whole or not at all, and never outside the data folder."""

from __future__ import annotations

import io
import os
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pytest
from filelock import FileLock

from isbench.datasets.catalogue import CATALOGUE, DatasetCard
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.installation import install
from isbench.errors import IsbenchError
from isbench.files.archives import Unusable
from isbench.files.digests import digest_file
from isbench.types import Dataset, File
from tests.support.archives import PACKS, make_tar, make_zip
from tests.support.layouts import LAYOUTS, grabcut

GRABCUT = CATALOGUE["grabcut"]


@cache
def content(name: str = "grabcut") -> dict[str, bytes]:
    """Return the files of a small set by name."""
    with TemporaryDirectory() as scratch:
        root = LAYOUTS[name][1](Path(scratch, "set"))
        files = (path for path in sorted(root.rglob("*")) if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def wrap(files: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    return {f"{folder}{name}": data for name, data in files.items()}


def read_files(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def refused(tmp_path: Path, data: Path) -> Callable[..., str]:
    """Return a function that imports bytes, expects a refusal and returns its words."""

    def refuse(archive: bytes, card: DatasetCard = GRABCUT) -> str:
        path = tmp_path / "set.zip"
        path.write_bytes(archive)
        with pytest.raises(IsbenchError) as raised:
            install("grabcut", card, path, data)
        assert list(data.iterdir() if data.is_dir() else ()) == []
        assert str(path) in str(raised.value)
        assert ".incoming" not in str(raised.value)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    return refuse


def fail_to_read(name: str, root: Path) -> Dataset:
    raise ZeroDivisionError("third-party")


def test_an_error_of_a_package_s_reader_is_one_line(refused: Callable[..., str]) -> None:
    said = refused(make_zip(content()), replace(GRABCUT, read=fail_to_read))
    assert "ZeroDivisionError: third-party" in said


@pytest.mark.parametrize("folder", ["", "GrabCut/", "./a/GrabCut/", "a/b/c/"])
@pytest.mark.parametrize("kind", PACKS)
def test_an_archive_is_imported_however_deep_the_set_lies(
    tmp_path: Path, data: Path, kind: str, folder: str
) -> None:
    archive = tmp_path / "anything"
    archive.write_bytes(PACKS[kind](wrap(content(), folder)))
    target = install("grabcut", GRABCUT, archive, data)
    assert target == data / "GrabCut"
    assert read_files(data) == wrap(content(), "GrabCut/")


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_set_comes_through_a_folder_and_an_archive_unchanged(
    tmp_path: Path, name: str
) -> None:
    folder, write = LAYOUTS[name]
    card = replace(CATALOGUE[name], archive=None)
    source = write(tmp_path / "wrapped" / "set")
    archive = tmp_path / "set.tar.gz"
    archive.write_bytes(make_tar(wrap(content(name), "x/"), "gz"))
    places = [
        install(name, card, tmp_path / "wrapped", tmp_path / "a"),
        install(name, card, source, tmp_path / "b"),
        install(name, card, archive, tmp_path / "c"),
    ]
    assert {place.name for place in places} == {folder}
    prints = {fingerprint(card.read(name, place)) for place in (source, *places)}
    assert len(prints) == 1


def test_sbd_and_voc_are_found_where_their_official_archives_have_them(tmp_path: Path) -> None:
    for name, inside in (("sbd", "benchmark_RELEASE/dataset/"), ("voc-val", "VOCdevkit/VOC2012/")):
        card = replace(CATALOGUE[name], archive=None)
        archive = tmp_path / name
        archive.write_bytes(make_tar(wrap(content(name), inside)))
        assert read_files(install(name, card, archive, tmp_path / "data")) == content(name)


def test_an_archive_made_on_macos_or_windows_is_imported(tmp_path: Path, data: Path) -> None:
    shadow = {f"__MACOSX/set/{PurePosixPath(n).parent}/._x.jpg": b"?" for n in content()}
    windows = {f"set\\{name}".replace("/", "\\"): data for name, data in content().items()}
    archive = tmp_path / "set.zip"
    archive.write_bytes(make_zip({"set\\": b"", "set\\data_GT\\": b"", **windows, **shadow}))
    assert read_files(install("grabcut", GRABCUT, archive, data)) == content()


def test_what_is_imported_can_be_read_by_others_and_taken_away_by_its_owner(
    tmp_path: Path,
) -> None:
    usual = tmp_path / "usual"
    usual.mkdir()
    archive = tmp_path / "set.zip"
    archive.write_bytes(make_zip(content()))
    source = grabcut(tmp_path / "source")
    for folder in (source / "data_GT", source / "boundary_GT", source):
        folder.chmod(0o555)
    from_archive = install("grabcut", GRABCUT, archive, tmp_path / "a")
    assert from_archive.stat().st_mode == usual.stat().st_mode
    from_folder = install("grabcut", GRABCUT, source, tmp_path / "b")
    folders = [path for path in (from_folder, *from_folder.rglob("*")) if path.is_dir()]
    assert all(path.stat().st_mode & stat.S_IRWXU == stat.S_IRWXU for path in folders)
    source.chmod(0o755)
    (source / "data_GT").chmod(0o755)
    (source / "boundary_GT").chmod(0o755)


def test_a_folder_that_holds_the_data_folder_is_imported_once(tmp_path: Path) -> None:
    source = grabcut(tmp_path / "source")
    target = install("grabcut", GRABCUT, source, source / "sets")
    assert read_files(target) == content()


ESCAPES = [
    "../evil",
    "a/../../evil",
    "/tmp/evil",
    "//server/evil",
    "..\\evil",
    "a\\..\\..\\evil",
    "\\evil",
    "C:\\evil",
    "C:evil",
    "c:/evil",
    "\\\\server\\share\\evil",
    "..",
]


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_path_that_leads_out_of_the_archive_is_refused(
    refused: Callable[..., str], kind: str, escape: str
) -> None:
    assert "leads out of it" in refused(PACKS[kind]({**content(), escape: b"evil"}))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_of_a_tar_are_refused(tmp_path: Path, data: Path, kind: bytes) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tmp_path / "set.tar"
    with tarfile.open(archive, "w") as tar:
        for name, target in (("data_GT", str(outside)), ("secret.bmp", "../../../etc/passwd")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            tar.addfile(link)
        for name, blob in content().items():
            member = tarfile.TarInfo(name)
            member.size = len(blob)
            tar.addfile(member, io.BytesIO(blob))
    with pytest.raises(Unusable, match=r"contains 'data_GT', a .*wanted files and folders only"):
        install("grabcut", GRABCUT, archive, data)
    assert read_files(data) == {}
    assert read_files(outside) == {}


def test_links_of_a_zip_are_refused(tmp_path: Path, data: Path) -> None:
    archive = tmp_path / "set.zip"
    archive.write_bytes(make_zip(content()))
    link = zipfile.ZipInfo("data_GT/other.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(link, "../../outside")
    with pytest.raises(Unusable, match=r"contains 'data_GT/other\.jpg', a symbolic link"):
        install("grabcut", GRABCUT, archive, data)
    assert read_files(data) == {}


def test_a_tar_with_a_broken_header_is_not_taken_for_a_shorter_one(
    refused: Callable[..., str],
) -> None:
    whole = bytearray(make_tar(content()))
    second = whole.index(b"data_GT/thing0.jpg")
    whole[second + 3] ^= 1
    assert "damaged" in refused(bytes(whole))


def encrypt() -> bytes:
    whole = bytearray(make_zip(content()))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = whole.find(signature)
        while start >= 0:
            whole[start + offset] |= 1
            start = whole.find(signature, start + 1)
    return bytes(whole)


def of_unknown_compression() -> bytes:
    whole = bytearray(make_zip(content()))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = whole.find(signature)
        while start >= 0:
            struct.pack_into("<H", whole, start + offset, 9)
            start = whole.find(signature, start + 1)
    return bytes(whole)


@pytest.mark.parametrize(
    "archive",
    [b"", b"<html>not found</html>", b"\x1f\x8b", b"PK\x03\x04", encrypt, of_unknown_compression],
)
def test_what_is_no_archive_to_be_read_here_is_refused(
    refused: Callable[..., str], archive: bytes | Callable[[], bytes]
) -> None:
    said = refused(archive if isinstance(archive, bytes) else archive())
    assert "damaged or of an unsupported type" in said


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_something_else_is_refused(refused: Callable[..., str], kind: str) -> None:
    said = refused(PACKS[kind](wrap(content("davis"), "DAVIS/")))
    assert "no folder data_GT" in said
    assert "wanted the layout of GrabCut" in said
    assert "no folder data_GT" in refused(PACKS[kind]({}))
    assert "no folder data_GT" in refused(PACKS[kind](wrap(content(), "1/2/3/4/5/")))


def test_an_archive_whose_set_is_not_whole_is_refused(refused: Callable[..., str]) -> None:
    files = dict(content())
    del files["boundary_GT/thing1.bmp"]
    assert "has no mask" in refused(make_zip(files))


def test_an_archive_with_another_digest_than_the_published_one_is_refused(
    refused: Callable[..., str], tmp_path: Path, data: Path
) -> None:
    published = tmp_path / "published.zip"
    published.write_bytes(make_zip(content()))
    digest = digest_file(published)
    card = replace(GRABCUT, archive=File("set.zip", (), sha256=digest))
    assert f"the published archive {digest}" in refused(make_tar(content()), card)
    assert read_files(install("grabcut", card, published, data)) == content()


def test_a_set_that_is_there_is_never_replaced(tmp_path: Path, data: Path) -> None:
    (data / "GrabCut").mkdir(parents=True)
    (data / "GrabCut" / "mine").write_text("mine")
    with pytest.raises(IsbenchError, match="already exists; remove it"):
        install("grabcut", GRABCUT, grabcut(tmp_path / "source"), data)
    assert read_files(data) == {"GrabCut/mine": b"mine"}


def test_a_path_that_is_not_there_is_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(IsbenchError, match=r"GrabCut\.zip does not exist; wanted a folder, zip or"):
        install("grabcut", GRABCUT, tmp_path / "GrabCut.zip", data)
    assert not data.exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("nowhere"), "is a dangling link; remove it"),
        (lambda path: path.symlink_to("."), "is a link to a folder that contains it"),
        (lambda path: path.symlink_to(path.parents[1]), "is a link to a folder that contains it"),
        (os.mkfifo, "is neither a file nor a folder"),
    ],
)
def test_an_entry_that_cannot_be_copied_is_named(
    tmp_path: Path, data: Path, make: Callable[[Path], object], said: str
) -> None:
    source = LAYOUTS["davis"][1](tmp_path / "set")
    make(source / "img" / "odd")
    with pytest.raises(IsbenchError) as raised:
        install("davis", CATALOGUE["davis"], source, data)
    assert f"{source / 'img' / 'odd'} {said}" in str(raised.value)
    assert not [*data.iterdir()]


def test_a_folder_without_the_layout_is_refused(tmp_path: Path, data: Path) -> None:
    (tmp_path / "source" / "img").mkdir(parents=True)
    with pytest.raises(IsbenchError, match=r"no folder data_GT in .*source; wanted the layout"):
        install("grabcut", GRABCUT, tmp_path / "source", data)
    assert list(data.iterdir()) == []


def test_a_data_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(IsbenchError, match=r"cannot import .* into .*taken"):
        install("grabcut", GRABCUT, grabcut(tmp_path / "source"), tmp_path / "taken")


def test_what_a_killed_import_left_is_removed_by_the_next(tmp_path: Path, data: Path) -> None:
    archive = tmp_path / "set.zip"
    archive.write_bytes(make_zip(content()))
    code = (
        "import os, signal, sys; from pathlib import Path; from isbench.files import archives\n"
        "from isbench.datasets import installation\n"
        "from isbench.datasets.catalogue import CATALOGUE\n"
        "write = archives._write\n"
        "def write_and_die(*given):\n"
        "    write(*given); os.kill(os.getpid(), signal.SIGKILL)\n"
        "archives._write = write_and_die\n"
        "archive, data = map(Path, sys.argv[1:])\n"
        "installation.install('grabcut', CATALOGUE['grabcut'], archive, data)"
    )
    command = [sys.executable, "-c", code, str(archive), str(data)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert read_files(data) != {}
    assert read_files(install("grabcut", GRABCUT, archive, data)) == content()
    assert [path.name for path in data.iterdir()] == ["GrabCut"]


def test_two_imports_of_one_set_do_not_meet(tmp_path: Path, data: Path) -> None:
    data.mkdir(exist_ok=True)
    archive = tmp_path / "set.zip"
    archive.write_bytes(make_zip(content()))
    with (
        FileLock(data / ".incoming-GrabCut.lock"),
        pytest.raises(IsbenchError, match="another process is importing GrabCut"),
    ):
        install("grabcut", GRABCUT, archive, data)
