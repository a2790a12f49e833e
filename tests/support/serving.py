"""A web server on this machine that serves files well or badly, as a test orders."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain, repeat
from time import sleep
from typing import Any


@dataclass
class Page:
    """A file and how it is served; of `statuses` and `cuts` one is used up by each request."""

    body: bytes
    ranges: bool = True  # False: a range that is asked for is not heard
    cuts: Iterator[int | None] = field(default_factory=lambda: repeat(None))  # bytes till it breaks
    statuses: Iterator[int] = field(default_factory=lambda: repeat(200))  # 200: no error
    overstated: int = 0  # added to the true Content-Length
    length: bool = True  # False: no Content-Length at all
    total: bool = True  # False: a refused range does not say how long the file is
    most: int | None = None  # bytes that one range brings at most
    shift: int = 0  # bytes before those asked for that a range begins at
    headers: dict[str, str] = field(default_factory=dict)
    if_range: bool = True  # False: a range of another version is sent all the same
    then: Page | None = None  # takes the place of this page after its first request
    pause: float = 0.0  # seconds before the second half


def break_after(*cuts: int) -> Iterator[int | None]:
    """Return cuts for as many requests, and none for those after."""
    return chain(cuts, repeat(None))


class Server(HTTPServer):
    """Serves `pages` by path, and remembers in `asked` the first byte that each request named."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, int]] = []
        self.versions: list[str | None] = []  # what each request said in If-Range
        self.sent = 0

    def add(self, path: str, page: Page) -> str:
        """Serve a page; return its address."""
        self.pages[path] = page
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client may hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        page = self.server.pages[self.path]
        if page.then is not None:
            self.server.pages[self.path] = page.then
        version = self.headers.get("If-Range")
        self.server.versions.append(version)
        if page.if_range and version not in (None, *page.headers.values()):
            del self.headers["Range"]
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.server.asked.append((self.path, first))
        status, cut = next(page.statuses), next(page.cuts)
        if status != 200:
            self._head(status, {"Content-Length": "0"})
        elif page.ranges and first >= len(page.body) > 0:
            self._head(416, {"Content-Range": f"bytes */{len(page.body)}"} if page.total else {})
        else:
            first = max(0, first - page.shift) if page.ranges else 0
            self._send(page, first, cut)

    def _send(self, page: Page, first: int, cut: int | None) -> None:
        size, ranged = len(page.body), page.ranges and "Range" in self.headers
        rest = page.body[first:][: page.most if ranged else None]
        headers = dict(page.headers)
        if page.length:
            headers["Content-Length"] = str(len(rest) + page.overstated)
        if ranged:
            headers["Content-Range"] = f"bytes {first}-{first + len(rest) - 1}/{size}"
        self._head(206 if "Content-Range" in headers else 200, headers)
        self.server.sent += len(rest[:cut])  # before the client can look
        half = len(rest[:cut]) // 2 if page.pause else 0
        self.wfile.write(rest[:cut][:half])
        sleep(page.pause)
        self.wfile.write(rest[:cut][half:])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serve() -> Iterator[Server]:
    """Run a server in a thread for as long as the context lasts."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def dead_address() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/file"
