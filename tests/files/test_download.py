"""Downloads from a server that behaves, and from ones that do not."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from hashlib import md5, sha256
from itertools import chain, cycle, repeat
from pathlib import Path

import numpy as np
import pytest

from isbench.errors import IsbenchError
from isbench.files import download
from isbench.files.download import fetch
from isbench.types import File
from tests.support.serving import Page, Server, break_after, dead_address, serve

BODY = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
OTHER = BODY[::-1]
DIGEST = sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isbench.files.download._PAUSE", 0.0)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def file(*urls: str, sha256: str | None = None, size: int | None = None) -> File:
    return File("set.zip", urls, sha256, size)


def list_requests(server: Server) -> list[int]:
    return [first for _, first in server.asked]


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("known", [(None, None), (DIGEST, None), (None, len(BODY))])
@pytest.mark.parametrize("page", [Page(BODY), Page(BODY, ranges=False), Page(BODY, length=False)])
def test_a_file_arrives_whole_and_alone(
    server: Server, tmp_path: Path, page: Page, known: tuple[str | None, int | None]
) -> None:
    path = fetch(file(server.add("/a", page), sha256=known[0], size=known[1]), tmp_path / "new")
    assert path.read_bytes() == BODY
    assert list_names(tmp_path / "new") == ["set.zip"]
    assert list_requests(server) == [0]


def test_progress_rises_to_the_size_of_the_file(server: Server, tmp_path: Path) -> None:
    reported: list[tuple[int, int | None]] = []
    url = server.add("/a", Page(BODY, cuts=break_after(70_000)))
    fetch(file(url), tmp_path, lambda done, total: reported.append((done, total)))
    assert {total for _, total in reported} == {len(BODY)}
    assert [done for done, _ in reported] == sorted({done for done, _ in reported})
    assert reported[-1] == (len(BODY), len(BODY))


@pytest.mark.parametrize("known", [None, DIGEST])
def test_a_file_that_is_there_is_not_asked_for(
    server: Server, tmp_path: Path, known: str | None
) -> None:
    wanted = file(server.add("/a", Page(BODY)), sha256=known)
    fetch(wanted, tmp_path)
    assert fetch(wanted, tmp_path).read_bytes() == BODY
    assert list_requests(server) == [0]


@pytest.mark.parametrize("known", [(DIGEST, None), (None, len(BODY))])
def test_a_copy_that_is_not_the_known_file_is_fetched_again(
    server: Server, tmp_path: Path, known: tuple[str | None, int | None]
) -> None:
    (tmp_path / "set.zip").write_bytes(BODY[:-1])
    wanted = file(server.add("/a", Page(BODY)), sha256=known[0], size=known[1])
    assert fetch(wanted, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    "cuts", [(1,), (100, 1, 2000), (65_536,), (199_999,), (10,) * 30, (0, 0, 7, 0, 0, 0, 0, 90_000)]
)
def test_a_broken_transfer_goes_on_and_no_byte_is_sent_twice(
    server: Server, tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    url = server.add("/a", Page(BODY, cuts=break_after(*cuts)))
    assert fetch(file(url), tmp_path).read_bytes() == BODY
    assert list_requests(server) == [0, *np.cumsum(cuts)]
    assert server.sent == len(BODY)


def test_a_server_that_hands_ranges_out_in_pieces_is_asked_for_the_rest(
    server: Server, tmp_path: Path
) -> None:
    url = server.add("/a", Page(BODY, most=60_000, cuts=break_after(100)))
    assert fetch(file(url), tmp_path).read_bytes() == BODY
    assert list_requests(server) == [0, 100, 60_100, 120_100, 180_100]


def test_a_transfer_that_breaks_at_its_very_end_needs_no_byte_more(
    server: Server, tmp_path: Path
) -> None:
    url = server.add("/a", Page(BODY, overstated=10))
    assert fetch(file(url), tmp_path).read_bytes() == BODY
    assert server.sent == len(BODY)


def test_a_server_without_ranges_is_asked_again_for_the_whole(
    server: Server, tmp_path: Path
) -> None:
    url = server.add("/a", Page(BODY, ranges=False, cuts=break_after(100, 50, 70_000)))
    assert fetch(file(url), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    "page",
    [
        Page(BODY, cuts=repeat(0)),
        Page(BODY, ranges=False, cuts=cycle([500, 100, 300])),
        Page(BODY, ranges=False, overstated=10),
        Page(BODY, total=False, overstated=10),
        Page(BODY, statuses=repeat(503)),
    ],
    ids=["nothing", "never further", "too long", "too long, refusing ranges", "503"],
)
def test_a_mirror_that_brings_nothing_new_is_given_up(
    server: Server, tmp_path: Path, page: Page
) -> None:
    with pytest.raises(IsbenchError, match=r"set\.zip could not be downloaded .*/a: "):
        fetch(file(server.add("/a", page)), tmp_path)
    assert len(server.asked) <= 20
    assert not (tmp_path / "set.zip").exists()


def test_a_range_that_begins_elsewhere_is_not_joined_on(server: Server, tmp_path: Path) -> None:
    url = server.add("/a", Page(BODY, shift=10, cuts=break_after(100)))
    assert fetch(file(url), tmp_path).read_bytes() == BODY


def test_an_interrupted_download_is_gone_on_with_by_the_next_command(
    server: Server, tmp_path: Path
) -> None:
    statuses = chain([200, 404], repeat(200))
    url = server.add("/a", Page(BODY, cuts=break_after(70_000), statuses=statuses))
    with pytest.raises(IsbenchError, match="HTTP 404"):
        fetch(file(url), tmp_path)
    assert not (tmp_path / "set.zip").exists()
    assert fetch(file(url), tmp_path).read_bytes() == BODY
    assert list_requests(server) == [0, 70_000, 70_000]
    assert list_names(tmp_path) == ["set.zip"]


def test_what_one_mirror_left_is_never_joined_to_another_edition(
    server: Server, tmp_path: Path
) -> None:
    first = server.add("/a", Page(BODY, cuts=break_after(300), statuses=chain([200], repeat(404))))
    second = server.add("/b", Page(OTHER))
    assert fetch(file(first, second), tmp_path).read_bytes() == OTHER


@pytest.mark.parametrize(
    ("page", "known", "said"),
    [
        (Page(OTHER), (DIGEST, None), f"not the published file: its sha256 is .*, wanted {DIGEST}"),
        (
            Page(BODY[:-1]),
            (DIGEST, None),
            f"not the published file: its sha256 is .*, wanted {DIGEST}",
        ),
        (
            Page(BODY, overstated=-10),
            (DIGEST, None),
            f"not the published file: its sha256 is .*, wanted {DIGEST}",
        ),
        (Page(BODY, overstated=-10), (None, 200_000), "it has 199990 bytes, wanted 200000"),
        (Page(BODY + b"x"), (None, 200_000), "it has 200001 bytes, wanted 200000"),
        (Page(b""), (None, 200_000), "it has 0 bytes, wanted 200000"),
        (Page(BODY, statuses=repeat(404)), (None, None), "HTTP 404"),
        (Page(b"<p>", headers={"Content-Type": "text/HTML; charset=x"}), (None, None), "web page"),
    ],
    ids=["corrupt", "truncated", "cut", "short", "long", "empty", "404", "page"],
)
def test_what_is_not_the_file_is_refused_and_nothing_is_left(
    server: Server, tmp_path: Path, page: Page, known: tuple[str | None, int | None], said: str
) -> None:
    url = server.add("/a", page)
    with pytest.raises(IsbenchError, match=said) as raised:
        fetch(file(url, sha256=known[0], size=known[1]), tmp_path)
    assert url in str(raised.value)
    assert raised.value.setting == "urls"
    assert list_names(tmp_path) == []
    assert list_requests(server) == [0]


def test_a_server_that_is_busy_is_asked_again(server: Server, tmp_path: Path) -> None:
    url = server.add("/a", Page(BODY, statuses=chain([503, 502], repeat(200))))
    assert fetch(file(url), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("bad", ["dead", "corrupt", "gone", "no address"])
def test_the_next_mirror_is_asked_when_one_fails(server: Server, tmp_path: Path, bad: str) -> None:
    first = {
        "dead": dead_address(),
        "corrupt": server.add("/corrupt", Page(OTHER)),
        "gone": server.add("/gone", Page(BODY, statuses=repeat(410))),
        "no address": "mirror.example",
    }[bad]
    good = server.add("/good", Page(BODY))
    assert fetch(file(first, good, sha256=DIGEST), tmp_path).read_bytes() == BODY
    assert list_names(tmp_path) == ["set.zip"]


def test_the_error_says_what_each_mirror_answered(server: Server, tmp_path: Path) -> None:
    urls = dead_address(), server.add("/gone", Page(BODY, statuses=repeat(404)))
    with pytest.raises(IsbenchError) as raised:
        fetch(file(*urls), tmp_path)
    assert f"{urls[0]}: no connection; {urls[1]}: HTTP 404" in str(raised.value)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_a_compressed_archive_is_kept_as_it_was_published(
    server: Server, tmp_path: Path, encoding: str
) -> None:
    body = gzip.compress(b"a tar" * 50_000)
    url = server.add("/a", Page(body, headers={"Content-Encoding": encoding}))
    path = fetch(file(url, sha256=sha256(body).hexdigest()), tmp_path)
    assert path.read_bytes() == body


def test_a_folder_that_cannot_be_written_is_an_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(IsbenchError, match=r"set\.zip could not be downloaded"):
        fetch(file(server.add("/a", Page(BODY))), tmp_path / "taken")


def test_a_published_md5_is_checked(server: Server, tmp_path: Path) -> None:
    published = File("set.zip", (server.add("/a", Page(OTHER)),), md5=md5(BODY).hexdigest())
    with pytest.raises(IsbenchError, match=r"its md5 is .*, wanted"):
        fetch(published, tmp_path)
    assert not (tmp_path / "set.zip").exists()
    right = File("set.zip", (server.add("/b", Page(BODY)),), md5=md5(BODY).hexdigest())
    assert fetch(right, tmp_path).read_bytes() == BODY


def test_a_file_that_changed_between_two_tries_is_never_joined(
    server: Server, tmp_path: Path
) -> None:
    tags = [{"ETag": '"1"'}, {"ETag": '"2"'}, {"ETag": '"2"'}]
    for ranges_heed_versions in (True, False):
        url = server.add(f"/{ranges_heed_versions}", Page(BODY, cuts=break_after(70_000)))
        page = server.pages[f"/{ranges_heed_versions}"]
        page.headers, page.if_range = tags[0], ranges_heed_versions
        page.then = Page(OTHER, headers=tags[1], if_range=ranges_heed_versions)
        folder = tmp_path / str(ranges_heed_versions)
        assert fetch(file(url), folder).read_bytes() == OTHER
        assert list_names(folder) == ["set.zip"]


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"ETag": '"abc"'}, '"abc"'),
        ({"ETag": '"abc"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, '"abc"'),
        ({"ETag": 'W/"abc"'}, None),  # a weak one does not promise the same bytes
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({}, None),
    ],
)
def test_a_resumed_download_says_which_version_it_began(
    server: Server, tmp_path: Path, headers: dict[str, str], sent: str | None
) -> None:
    statuses = chain([200, 404], repeat(200))
    url = server.add("/a", Page(BODY, cuts=break_after(99), statuses=statuses, headers=headers))
    with pytest.raises(IsbenchError, match="HTTP 404"):
        fetch(file(url), tmp_path)
    assert fetch(file(url), tmp_path).read_bytes() == BODY  # as another process would
    assert server.versions == [None, sent, sent]


@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("size", [None, 100_000])
def test_an_endless_body_is_cut_off(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, length: bool
) -> None:
    monkeypatch.setattr(download, "_MOST_UNSTATED", 300_000)
    headers = {"Content-Length": str(1 << 60)} if length else {}
    url = server.add("/a", Page(bytes(5_000_000), length=False, headers=headers))
    with pytest.raises(
        IsbenchError, match=r"sent more than|are free on the disk|it has 1\d* bytes"
    ):
        fetch(file(url, size=size), tmp_path)
    assert list_names(tmp_path) == []
    assert len(server.asked) == 1


KILLED = """
import sys
from pathlib import Path
from isbench.files import download
from isbench.files.download import fetch
from isbench.types import File
file = File("set.zip", (sys.argv[1],))
fetch(file, Path(sys.argv[2]), lambda done, total: print(done, flush=True))
"""


def test_a_download_that_was_killed_leaves_its_part_only_and_is_resumed(
    server: Server, tmp_path: Path
) -> None:
    url = server.add("/a", Page(BODY, pause=0.3, headers={"ETag": '"1"'}))
    command = [sys.executable, "-c", KILLED, url, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()  # the first bytes are written
    process.kill()
    process.wait()
    process.stdout.close()
    part, version = list_names(tmp_path)
    assert part.endswith(".part")
    assert version == f"{part}-version"
    server.pages["/a"].pause = 0
    assert fetch(file(url), tmp_path).read_bytes() == BODY
    assert server.versions[-1] == '"1"'
    assert list_names(tmp_path) == ["set.zip"]
