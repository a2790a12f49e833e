"""Clients that are slow, broken or many: each is let go, and the others are answered."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

import numpy as np
import pytest

pytest.importorskip("starlette")

from isbench.demo import connections, images
from isbench.demo.guard import HEADERS
from isbench.demo.server import DemoState
from isbench.types import Prediction, Turn
from tests.support import toys
from tests.support.demo import ask, encode, make_model, serve
from tests.support.waiting import HUNG

HEAD = b"GET /token/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST /token/%b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
def released() -> Iterator[Event]:
    """Yield what the model of `address` waits for at its second click."""
    event = Event()
    yield event
    event.set()


@pytest.fixture
def address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, released: Event
) -> Iterator[str]:
    """Serve two models with short times; nothing may be logged as an error of the server."""

    def answer(turns: Sequence[Turn]) -> list[Prediction]:
        if len(turns[0].clicks) == 2:
            released.wait(HUNG)
        return [Prediction(turn.state[..., 0] > 0, turn.state) for turn in turns]

    for phase in connections.SECONDS:
        monkeypatch.setitem(connections.SECONDS, phase, 0.3)
    state = DemoState({"toy": make_model(toys.Broken(answer))})
    state.add_image("a", encode(np.full((4, 4, 3), 2, np.uint8)))
    with caplog.at_level(logging.WARNING, "uvicorn.error"), serve(state) as found:
        yield found
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def connect(address: str) -> socket.socket:
    found = re.search(r":(\d+)/", address)
    assert found
    return socket.create_connection(("127.0.0.1", int(found[1])), HUNG)


def read_all(client: socket.socket) -> bytes:
    """Return what a server sends until it closes the connection."""
    whole = b""
    try:
        while block := client.recv(1 << 16):
            whole += block
    except ConnectionResetError:
        pass
    return whole


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET",
        HEAD[:-2],
        b"POST /token/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nab",
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        HEAD,  # one request, and no second one
        HEAD + HEAD[:20],
    ],
    ids=["nothing", "verb", "head", "body", "chunk", "idle", "second"],
)
def test_a_connection_that_waits_is_closed(address: str, begun: bytes) -> None:
    with connect(address) as client:
        client.sendall(begun)
        answered = read_all(client)  # ends in time, or the test hangs
    assert answered.count(b"HTTP/1.1 200") == begun.count(HEAD)


def test_single_bytes_gain_no_time(address: str) -> None:
    with connect(address) as client:
        sent = 0
        try:
            for byte in b"GET /" + b"a" * 10_000:
                client.sendall(bytes([byte]))
                sent += 1
                Event().wait(0.02)
        except OSError:
            pass
    assert sent < 200


def test_an_answer_that_nobody_reads_is_dropped(address: str) -> None:
    def flood(client: socket.socket) -> None:
        while True:  # the server stops reading when its answers are not read
            client.sendall(HEAD * 20_000)

    with connect(address) as client, pytest.raises(ConnectionError):
        flood(client)


def test_a_model_may_take_longer_than_a_client(address: str, released: Event) -> None:
    (image,) = re.findall(r'"id": "(\w+)"', ask(address)[1].decode())
    question = b'{"image": "%b", "model": "toy", "clicks": [[0, 0, 1], [1, 1, 1]]}' % image.encode()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, f"{address}answers", question)
        Event().wait(1.0)  # all times are over
        assert ask(address)[0] == 200
        released.set()
        assert answer.result(HUNG)[0] == 200


def test_many_that_wait_do_not_keep_others_out(address: str) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(connect(address)) for _ in range(200)]
        for client in waiting:
            client.sendall(HEAD[:9])
        assert ask(address)[0] == 200
        assert all(read_all(client) == b"" for client in waiting)


def test_the_connection_that_has_waited_longest_makes_room(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 2)
    monkeypatch.setitem(connections.SECONDS, "head", HUNG)
    with connect(address) as first, connect(address) as second:
        first.sendall(b"GET")
        second.sendall(b"GET")
        assert ask(address)[0] == 200
        assert read_all(first) == b""
        second.sendall(HEAD[3:])
        assert second.recv(100).startswith(b"HTTP/1.1 200")


BROKEN = [
    b"garbage\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: b\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"a: b\r\n" * 20_000,
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: magic\r\n\r\n",
    b"POST /token/images HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"TRACE /token/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /%ff%00 HTTP/1.0\r\n\r\n",
    HEAD.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    HEAD.replace(b"\r\n\r\n", b"\r\nCookie: isbench-demo=\xff;;=\r\nOrigin: null\r\n\r\n"),
    HEAD.replace(b"127.0.0.1", b"evil.example"),
    HEAD.replace(b"/token/", b"http://evil.example/token/"),
]


@pytest.mark.parametrize("request_", BROKEN, ids=lambda one: one[:20])
def test_every_answer_has_the_security_headers(address: str, request_: bytes) -> None:
    with connect(address) as client:
        client.sendall(request_)
        answered = read_all(client)
    head = answered.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    assert head.startswith("http/1.1 ")
    assert "frame-ancestors 'none'" in head
    assert all(f"{name}: {value}".lower() in head for name, value in HEADERS.items())
    assert "traceback" not in answered.decode("latin-1").lower()
    assert not head.startswith("http/1.1 500")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", ""])
def test_another_page_is_refused_even_with_the_token(address: str, origin: str) -> None:
    for path in ("", "answers", "images", "demo.js"):
        status, said, headers = ask(f"{address}{path}", origin=origin)
        assert (status, said) == (403, b"requests of other pages are refused")
        assert headers["X-Frame-Options"] == "DENY"
    assert ask(address, origin=address.partition("/token/")[0])[0] == 200


def test_images_are_decoded_one_at_a_time(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, now, most = images.decode_image, [0], [0]

    def decode_slowly(data: bytes) -> images.Image | str:
        now[0] += 1
        most[0] = max(most[0], now[0])
        Event().wait(0.02)
        image = decode(data)
        now[0] -= 1
        return image

    monkeypatch.setattr(images, "decode_image", decode_slowly)
    data = encode(np.zeros((9, 9, 3), np.uint8))
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: ask(f"{address}images", data)[0], range(8)))
    assert (codes, most) == ([200] * 8, [1])


def test_fifty_sessions_keep_their_images(address: str) -> None:
    data = encode(np.full((4, 4, 3), 2, np.uint8))

    def play(_: int) -> list[int]:
        places = [
            re.findall(rb'"id":"(\w+)"', ask(f"{address}images", data)[1])[0] for _ in range(3)
        ]
        question = b'{"image": "%b", "model": "toy", "clicks": [[0, 0, 1]]}'
        return [ask(f"{address}answers", question % place)[0] for place in places]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(play, range(50))) == [[200] * 3] * 50


def test_a_session_sees_its_own_images(address: str) -> None:
    data = encode(np.full((4, 4, 3), 2, np.uint8))
    cookies = [ask(address)[2]["Set-Cookie"].partition(";")[0] for _ in range(2)]
    ask(f"{address}images", data, cookie=cookies[0])

    def count(cookie: str) -> int:
        return len(re.findall(r'"id": "', ask(address, cookie=cookie)[1].decode()))

    assert [count(cookie) for cookie in cookies] == [2, 1]
