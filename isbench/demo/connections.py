"""The connections of the demo: bounded in number and in the time that each may wait.

uvicorn limits neither the time until a request is complete, nor that until an answer is read, and
a request that is not HTTP is answered without the headers of the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from isbench.demo.guard import HEADERS

CONNECTIONS = 64  # most at a time; for a new one the one that has waited longest is closed
# the time for a request's first lines, for its body, for what nobody reads of it, and for reading
# the answer
SECONDS = {"head": 5.0, "body": 60.0, "rest": 5.0, "read": 30.0}


class Connection(H11Protocol):
    """A connection that is closed when its client is too slow."""

    phase = ""  # what the client is awaited for: head, body or rest; answer: it waits for us
    began = 0.0
    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first request."""
        full = len(self.connections) >= CONNECTIONS
        waiting = find_longest_waiting(self.connections) if full else None
        super().connection_made(transport)
        if waiting is not None:
            waiting.transport.abort()
        elif full:  # all are computed for
            transport.abort()
        self._follow()

    def data_received(self, data: bytes) -> None:
        """Pass data on, and follow what is awaited."""
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        """Start the time of the next request."""
        super().on_response_complete()
        self.phase = ""
        self._follow()

    def pause_writing(self) -> None:
        """Start the time until the client has read the answer."""
        super().pause_writing()
        self._reading = self.loop.call_later(SECONDS["read"], self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time until the client has read the answer."""
        _cancel(self._reading)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all times."""
        _cancel(self._timer)
        _cancel(self._reading)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, with the headers of every answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # its request broke off: it must not answer as well
            self.cycle.message_event.set()
        kind = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
        length = {"Content-Length": str(len(msg))}
        try:
            for event in (
                h11.Response(
                    status_code=400,
                    headers=list({**HEADERS, **kind, **length}.items()),
                    reason=b"Bad Request",
                ),
                h11.Data(data=msg.encode("ascii")),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # in the middle of another answer
            self.transport.abort()
        else:
            self.transport.close()

    def _follow(self) -> None:
        """Start the time of what is awaited now, unless it was awaited before."""
        phase = self._find_phase()
        if phase != self.phase:
            _cancel(self._timer)
            self.phase, self.began, self._timer = phase, self.loop.time(), None
            if phase in SECONDS:
                self._timer = self.loop.call_later(SECONDS[phase], self.transport.abort)

    def _find_phase(self) -> str:
        answered = self.cycle is not None and self.cycle.response_complete
        if self.transport.is_closing():
            return "rest"
        if self.conn.their_state is h11.SEND_BODY:
            return "rest" if answered else "body"
        return "head" if self.conn.their_state is h11.IDLE else "answer"


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Return the server of an application; its connections are bounded."""
    config = uvicorn.Config(
        app, http=Connection, ws="none", log_level="error", access_log=False,
        server_header=False, proxy_headers=False,
    )  # fmt: skip
    return uvicorn.Server(config)


def find_longest_waiting(connections: Iterable[object]) -> Connection | None:
    """Return the connection that has waited longest for its client, None if none waits."""
    waiting = [one for one in connections if isinstance(one, Connection) and one.phase in SECONDS]
    return min(waiting, key=lambda one: one.began, default=None)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
