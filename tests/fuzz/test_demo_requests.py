"""Requests of any kind to the demo: answered in one line with the headers, and never an error."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("starlette")

from isbench.demo.server import DemoState
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from tests.support.demo import ask, encode, find_first_image, make_model, serve
from tests.support.fuzzing import SECONDS
from tests.support.waiting import HUNG

BEGAN: dict[str, float] = {}
SETTINGS = settings(max_examples=max(20, round(100 * SECONDS)), deadline=None)

PHOTO = encode(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
NUMBERS = st.one_of(
    st.integers(-2, 40),
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 1e400, float("nan"), 2**63]),
)
VALUES = st.recursive(
    st.one_of(NUMBERS, st.booleans(), st.none(), st.text(max_size=5), st.just("\ud800")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
CLICK = st.one_of(st.tuples(NUMBERS, NUMBERS, st.one_of(st.booleans(), NUMBERS)), VALUES)
QUESTION = st.fixed_dictionaries(
    {},
    optional={
        "image": st.one_of(st.just("IMAGE"), VALUES),
        "model": st.one_of(st.just("nearest"), VALUES),
        "clicks": st.one_of(st.lists(CLICK, max_size=5), VALUES),
    },
)
BODIES = st.one_of(
    st.one_of(QUESTION, VALUES).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    st.sampled_from([b"[", b'{"a":', b"[{", b'{"clicks":[']).map(lambda part: part * 20_000),
)
LINES = st.sampled_from(
    [
        b"GET TOKEN HTTP/1.1", b"POST TOKENanswers HTTP/1.1", b"POST TOKENimages HTTP/1.1",
        b"HEAD TOKEN HTTP/1.0", b"PUT TOKENdemo.js HTTP/1.1", b"GET TOKENimages/%00 HTTP/1.1",
        b"GET TOKEN../../x HTTP/1.1", b"GET / HTTP/1.1", b"Host: 127.0.0.1", b"Host: evil.example",
        b"Host: localhost:99999", b"Host: [::1]", b"Origin: null", b"Origin: http://evil.example",
        b"Content-Length: 5", b"Content-Length: 99999999999999999999", b"Content-Length: -1",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"5", b"hello", b"0",
        b"Expect: 100-continue", b"Connection: close", b"Connection: upgrade", b"",
        b"Upgrade: websocket", b"Range: bytes=0-1", b"Cookie: isbench-demo=" + b"a" * 99,
        b"Cookie: \xff=\xfe", b"a" * 9999,
    ]
)  # fmt: skip
HTTP = st.one_of(
    st.lists(LINES, max_size=9).map(lambda lines: b"\r\n".join([*lines, b"", b""])),
    st.lists(st.one_of(LINES, st.binary(max_size=20)), max_size=9).map(b"\n".join),
)
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4)


def is_over(test: str) -> bool:
    """Whether a test has had its time: the rest of its examples is not tried."""
    return monotonic() - BEGAN.setdefault(test, monotonic()) > SECONDS / 3


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve one image; nothing may be logged as an error of the server."""
    errors: list[logging.LogRecord] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = errors.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    state = DemoState({"nearest": make_model(build_predictor(load_model("nearest")))})
    state.add_image("a", PHOTO)
    with serve(state) as found:
        for logger in loggers:
            logger.addHandler(handler)
        yield found
    for logger in loggers:
        logger.removeHandler(handler)
    assert [one.getMessage() for one in errors] == []


def check(status: int, body: bytes, headers: Any) -> None:
    assert 200 <= status < 500
    assert "frame-ancestors" in headers["Content-Security-Policy"]
    assert b"Traceback" not in body
    if status >= 400:
        assert b"\n" not in body
        assert 0 < len(body) < 300


@given(BODIES)
@example(b'{"image":"IMAGE","model":"nearest","clicks":[[Infinity,1,true]]}')
@example(b'{"image":"IMAGE","model":"nearest","clicks":[[1e400,1,true]]}')
@example(b'{"image":"IMAGE","model":"\\ud800","clicks":[[1,1,1]]}')
@example(b'{"image":["\\ud800"],"model":"nearest","clicks":[[1,1,1]]}')
@example(b"[" * 50_000 + b"]" * 50_000)
@SETTINGS
def test_any_question_is_answered_or_refused(address: str, body: bytes) -> None:
    if not is_over("question"):
        body = body.replace(b"IMAGE", find_first_image(address).encode())
        for path in ("answers", "preparations"):
            check(*ask(f"{address}{path}", body))


@given(DAMAGE, st.integers(1, len(PHOTO)), st.binary(max_size=9))
@example([], len(PHOTO), b"")
@SETTINGS
def test_any_upload_is_taken_or_refused(
    address: str, damage: list[tuple[float, int]], end: int, more: bytes
) -> None:
    if is_over("upload"):
        return
    data = bytearray(PHOTO[:end] + more)
    for where, byte in damage:
        data[int(where * (len(data) - 1))] = byte
    check(*ask(f"{address}images", bytes(data)))


@given(HTTP)
@example(b"garbage\r\n\r\n")
@example(
    b"POST TOKENimages HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n"
)
@SETTINGS
def test_any_bytes_are_answered_or_dropped(address: str, request_: bytes) -> None:
    if is_over("bytes"):
        return
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", address)
    assert found
    with socket.create_connection(("127.0.0.1", int(found[1])), HUNG) as client:
        answered = b""
        try:
            client.sendall(request_.replace(b"TOKEN", found[2].encode()))
            client.shutdown(socket.SHUT_WR)
            while block := client.recv(1 << 16):
                answered += block
        except ConnectionError:
            pass
    assert b"Traceback" not in answered
    for head in re.findall(rb"(?s)HTTP/1\.1 [2-5]\d\d.*?\r\n\r\n", answered):
        assert b"frame-ancestors 'none'" in head.replace(b"Content-Security", b"content-security")
        assert not head.startswith(b"HTTP/1.1 5")
