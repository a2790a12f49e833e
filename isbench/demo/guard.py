"""What surrounds every request to the demo: security headers, and no requests of other pages.

Answers that are given before a request is understood get the same headers in `connections`.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def guard(app: ASGIApp) -> ASGIApp:
    """Return the application with security headers on each of its answers, errors included.

    A request that a page of another origin makes is refused, even if it has the token.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] != "http":
            await app(scope, receive, send)
        elif _is_foreign(Headers(scope=scope)):
            response = say("requests of other pages are refused", 403)
            await response(scope, receive, send_with_headers)
        else:
            await app(scope, receive, send_with_headers)

    return answer


def say(text: str, status: int) -> Response:
    """Return an answer of one line of text; what UTF-8 cannot hold is escaped."""
    line = " ".join(text.split()).encode("utf-8", "backslashreplace")
    return PlainTextResponse(line, status)


def _is_foreign(headers: Headers) -> bool:
    """Whether a request names another origin than the address it is sent to."""
    own = f"http://{headers.get('host', '')}".lower()
    return any(origin.lower() != own for origin in headers.getlist("origin"))
