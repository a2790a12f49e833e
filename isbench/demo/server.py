"""The server of a local page for interactive segmentation: images and clicks in, masks out.

It uses Starlette: the page is three small files and the server has few routes, while a widget
framework would be larger than isbench and has no right click. The server answers only this machine,
at an address with a secret token, and a request cannot name a path. Not here: how images and games
are kept (`images`, `games`), and what holds for every request (`guard`, `connections`).
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import cv2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from isbench.demo.games import Answer, GameCache
from isbench.demo.guard import guard, say
from isbench.demo.images import (
    EVERYONE,
    UPLOAD,
    ImageStore,
    Refused,
    count_pixels,
    open_image,
)
from isbench.demo.models import DemoModel
from isbench.errors import IsbenchError
from isbench.storage.masks import encode_rle
from isbench.types import Click

T = TypeVar("T")

HOSTS = ["127.0.0.1", "localhost"]  # other host names may be an attack (DNS rebinding)
CLICKS = 500  # most clicks of a request
_QUESTION = 100_000  # most bytes of a question
_COOKIE = "isbench-demo"  # names the session
_UPLOADS = 4  # read at a time; the others wait


@dataclass
class DemoState:
    """The models, images and games of the server; it computes one answer at a time."""

    models: Mapping[str, DemoModel]
    images: ImageStore = field(default_factory=ImageStore)
    games: GameCache = field(default_factory=GameCache)
    lock: Lock = field(default_factory=Lock)
    _compiled: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)  # models and shapes

    def add_image(self, name: str, data: bytes, session: str = EVERYONE) -> str:
        """Add an image from the bytes of its file, and return its id.

        Raises Refused for what is not an image, one that is too large, and one too many.
        """
        return self.images.add(name, open_image(data), lambda: data, len(data), session)

    def prepare(self, identity: str, model: str) -> None:
        """Encode an image and compile for its shape, so that the first click does not.

        Waits until the model is built. Raises Refused for an unknown image, PredictorError if the
        model breaks its contract. An adaptive model learns from what it is asked: it is only built.
        """
        found = self.models[model]
        session = found.session.result()
        if found.adaptive:
            return
        with self.lock:
            image = self.images.decode(identity)
            self.games.prepare((identity, model), session, image)
            if found.compiles and (model, image.shape) not in self._compiled:
                session.try_click("of the demo", image)
                self._compiled.add((model, image.shape))

    def answer(self, identity: str, model: str, clicks: Sequence[Click]) -> Answer:
        """Return the (H, W) mask after the clicks, and the seconds of the last; None if kept.

        Waits until the model is built. Raises Refused for an unknown image, PredictorError if the
        model breaks its contract.
        """
        session = self.models[model].session.result()
        with self.lock:
            image = self.images.decode(identity)
            return self.games.answer((identity, model), session, image, clicks)


def make_application(state: DemoState, token: str, template: Mapping[str, str]) -> ASGIApp:
    """Return the server; every path starts with the token, and only local host names are served."""
    reading = asyncio.Semaphore(_UPLOADS)
    decoding, computing = asyncio.Lock(), asyncio.Lock()  # one image, one answer at a time

    async def upload(request: Request) -> Response:
        session = _find_session(request) or secrets.token_urlsafe(16)
        name = request.query_params.get("name", "")[:200]  # shown on the page, nothing else
        async with reading:
            data = await _read_body(request, UPLOAD)
            count_pixels(data)
            async with decoding:
                identity = await run_in_threadpool(state.add_image, name, data, session)
        stored = state.images.find(identity)
        return JSONResponse({"id": identity, "rows": stored.rows, "cols": stored.cols})

    async def send_picture(request: Request) -> Response:
        async with decoding:
            data = await run_in_threadpool(_encode_jpeg, state, request.path_params["identity"])
        return Response(data, media_type="image/jpeg")

    async def compute(request: Request, model: str, function: Callable[[], T]) -> T:
        """Call a function in a thread, once the model is built and nothing else is computed.

        Raises ClientDisconnect if the page no longer waits: it was closed, or asks something else.
        """
        await asyncio.shield(asyncio.wrap_future(state.models[model].session))  # holds no thread
        async with computing:
            if await request.is_disconnected():
                raise ClientDisconnect
            return await run_in_threadpool(function)

    async def prepare(request: Request) -> Response:
        question = _parse_question(await _read_body(request, _QUESTION), state)
        identity, model = question.identity, question.model
        await compute(request, model, lambda: state.prepare(identity, model))
        return Response(status_code=204)

    async def answer(request: Request) -> Response:
        question = _parse_question(await _read_body(request, _QUESTION), state)
        if not question.clicks:
            raise Refused(f"0 clicks; wanted 1 to {CLICKS}")
        found = await compute(request, question.model, lambda: _answer(state, question))
        return JSONResponse(found)

    routes = [
        *_route_page(state, token, template),
        Route(f"/{token}/images", upload, methods=["POST"]),
        Route(f"/{token}/images/{{identity}}", send_picture),
        Route(f"/{token}/preparations", prepare, methods=["POST"]),
        Route(f"/{token}/answers", answer, methods=["POST"]),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    handlers = {
        Refused: _answer_error,
        IsbenchError: _answer_error,
        ClientDisconnect: _answer_error,
    }
    return guard(Starlette(routes=routes, middleware=[hosts], exception_handlers=handlers))


def _route_page(state: DemoState, token: str, template: Mapping[str, str]) -> list[Route]:
    """Return the routes of the page, its style and its script."""

    def send_page(request: Request) -> Response:
        session = _find_session(request) or secrets.token_urlsafe(16)
        body = Template(template["html"]).substitute(
            models=_to_script(list(state.models)),
            images=_to_script(_list_images(state, session)),
        )
        response = HTMLResponse(body)
        response.set_cookie(_COOKIE, session, path=f"/{token}/", httponly=True, samesite="strict")
        return response

    def send_style(request: Request) -> Response:
        return Response(template["css"], media_type="text/css")

    def send_script(request: Request) -> Response:
        return Response(template["js"], media_type="text/javascript")

    return [
        Route(f"/{token}/", send_page),
        Route(f"/{token}/demo.css", send_style),
        Route(f"/{token}/demo.js", send_script),
    ]


class _Question(NamedTuple):
    """What a page asks: an image, a model and the clicks so far, none to prepare for the first."""

    identity: str
    model: str
    clicks: tuple[Click, ...]


def _parse_question(data: bytes, state: DemoState) -> _Question:
    """Return what a request asks; raises Refused for an invalid one."""
    try:
        question = json.loads(data)
        identity, model = _parse_text(question["image"]), _parse_text(question["model"])
        clicks = tuple(_parse_click(*click) for click in question["clicks"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused(
            "wanted image, model and clicks, each click as [row, column, 0 or 1]"
        ) from None
    if model not in state.models:
        raise Refused(f"no model named {model[:80]}", 404)
    stored = state.images.find(identity)
    if len(clicks) > CLICKS:
        raise Refused(f"{len(clicks)} clicks; wanted 1 to {CLICKS}")
    if not all(0 <= row < stored.rows and 0 <= col < stored.cols for row, col, _ in clicks):
        raise Refused("a click is outside the image")
    return _Question(identity, model, clicks)


def _parse_text(text: object) -> str:
    """Return a text; raises TypeError for another type, ValueError for a lone surrogate."""
    if not isinstance(text, str):
        raise TypeError
    text.encode()
    return text


def _parse_click(row: object, col: object, sign: object) -> Click:
    """Return a click; raises TypeError unless it is two whole numbers and 0, 1 or a bool."""
    if type(row) is not int or type(col) is not int or sign not in (0, 1):
        raise TypeError
    return Click(row, col, bool(sign))


def _answer(state: DemoState, question: _Question) -> dict[str, object]:
    mask, seconds = state.answer(*question)
    return {"mask": encode_rle(mask), "seconds": seconds}


def _encode_jpeg(state: DemoState, identity: str) -> bytes:
    image = state.images.decode(identity)
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return bytes(data)


async def _read_body(request: Request, most: int) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            size = f"{most // 1_000_000} MB" if most >= 1_000_000 else f"{most // 1000} kB"
            raise Refused(f"the request is larger than {size}", 413)
    return bytes(data)


def _find_session(request: Request) -> str | None:
    """Return the session that the browser names, None for the first request of one."""
    named = request.cookies.get(_COOKIE, "")
    return named if re.fullmatch(r"[\w-]{16,64}", named, re.ASCII) else None


def _list_images(state: DemoState, session: str) -> list[dict[str, Any]]:
    return [
        {"id": identity, "name": stored.name, "rows": stored.rows, "cols": stored.cols}
        for identity, stored in state.images.list(session)
    ]


def _to_script(value: object) -> str:
    """Return JSON that can stand in a script element."""
    return json.dumps(value).replace("<", "\\u003c")


def _answer_error(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refused) else 500
    return say(str(error), status)
