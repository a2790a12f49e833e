"""The server of a local page for interactive segmentation: images and clicks in, masks out.

It uses Starlette: the page is three small files and the server has few routes, while a widget
framework would be larger than isbench and has no right click. The server answers only this machine,
at an address with a secret token. Images are kept in memory, and a request cannot name a path.
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from threading import Lock
from time import perf_counter
from typing import Any

import cv2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from isbench.datasets.image_io import decode_image, describe_image
from isbench.errors import IsbenchError
from isbench.evaluation.session import ObjectTurn, PredictorSession
from isbench.storage.masks import encode_rle
from isbench.types import Click, Image, Mask, State, Turn

HOSTS = ["127.0.0.1", "localhost"]  # other host names may be an attack (DNS rebinding)
UPLOAD = 30_000_000  # most bytes of an image file
PIXELS = 50_000_000  # most pixels of an image
KINDS = {"JPEG", "PNG", "WEBP", "BMP"}
CLICKS = 500  # most clicks of a request
_KEY = "of the demo"  # named in errors
_MOST_IMAGES = 8  # kept with their games; the least recently used are dropped
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
    """A request is refused; the text says why."""

    def __init__(self, reason: str, status: int = 400) -> None:
        """Set the reason and the HTTP status."""
        super().__init__(reason)
        self.status = status


@dataclass
class Game:
    """A model's answers on an image, after each of the clicks."""

    states: list[State]  # before the first click, after the first click, ...
    clicks: list[Click] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)

    def cut_to(self, clicks: Sequence[Click]) -> None:
        """Drop the answers from the first click that is another one; keep those to undo."""
        shared = 0
        while shared < min(len(clicks), len(self.clicks)) and clicks[shared] == self.clicks[shared]:
            shared += 1
        if shared < len(clicks):
            del self.clicks[shared:], self.masks[shared:], self.states[shared + 1 :]


@dataclass
class DemoState:
    """The models, images and games of the server; it computes one answer at a time."""

    models: Mapping[str, PredictorSession]
    images: OrderedDict[str, tuple[str, Image]] = field(default_factory=OrderedDict)  # id -> name
    games: dict[tuple[str, str], Game] = field(default_factory=dict)  # (image id, model) -> game
    lock: Lock = field(default_factory=Lock)

    def add_image(self, name: str, image: Image) -> str:
        """Add an image and return its id; the least recently used image may be dropped."""
        identity = secrets.token_hex(8)
        with self.lock:
            self.images[identity] = name, image
            while len(self.images) > _MOST_IMAGES:
                old, _ = self.images.popitem(last=False)
                for key in [key for key in self.games if key[0] == old]:
                    del self.games[key]
        return identity

    def find_image(self, identity: str) -> Image:
        """Return an image; raises Refused for an unknown or dropped one."""
        if identity not in self.images:
            raise Refused("this image is no longer loaded: open it again", 404)
        return self.images[identity][1]

    def answer(
        self, identity: str, model: str, clicks: Sequence[Click]
    ) -> tuple[Mask, float | None]:
        """Return the (H, W) mask after the clicks, and the seconds of the last; None if cached.

        Raises Refused for an unknown image, PredictorError if the model breaks its contract.
        """
        with self.lock:
            image, session = self.find_image(identity), self.models[model]
            self.images.move_to_end(identity)
            game = self.games.get((identity, model))
            if game is None:
                game = Game([session.start(_KEY, image)])
                self.games[identity, model] = game
            game.cut_to(clicks)
            seconds = None
            for count in range(len(game.clicks) + 1, len(clicks) + 1):
                started = perf_counter()
                turn = Turn(game.states[-1], tuple(clicks[:count]))
                (answer,) = session.predict([ObjectTurn(_KEY, image.shape[:2], turn)])
                seconds = perf_counter() - started
                game.clicks.append(clicks[count - 1])
                game.masks.append(answer.mask)
                game.states.append(answer.state)
            return game.masks[len(clicks) - 1], seconds


def make_application(state: DemoState, token: str, template: Mapping[str, str]) -> Starlette:
    """Return the server; every path starts with the token, and only local host names are served."""

    def page(request: Request) -> Response:
        body = Template(template["html"]).substitute(
            models=json.dumps(list(state.models)).replace("<", "\\u003c"),
            images=json.dumps(_list_images(state)).replace("<", "\\u003c"),
        )
        return HTMLResponse(body)

    def style(request: Request) -> Response:
        return Response(template["css"], media_type="text/css")

    def script(request: Request) -> Response:
        return Response(template["js"], media_type="text/javascript")

    async def upload(request: Request) -> Response:
        data = await _read_body(request, UPLOAD)
        image = await run_in_threadpool(open_images, data)
        identity = state.add_image("", image)
        return JSONResponse({"id": identity, "rows": image.shape[0], "cols": image.shape[1]})

    def picture(request: Request) -> Response:
        image = state.find_image(request.path_params["identity"])
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        return Response(bytes(data), media_type="image/jpeg")

    async def answer(request: Request) -> Response:
        question = _parse_question(await _read_body(request, 100_000), state)
        mask, seconds = await run_in_threadpool(state.answer, *question)
        return JSONResponse({"mask": encode_rle(mask), "seconds": seconds})

    routes = [
        Route(f"/{token}/", page),
        Route(f"/{token}/demo.css", style),
        Route(f"/{token}/demo.js", script),
        Route(f"/{token}/images", upload, methods=["POST"]),
        Route(f"/{token}/images/{{identity}}", picture),
        Route(f"/{token}/answers", answer, methods=["POST"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=_add_headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        ],
        exception_handlers={Refused: _answer_error, IsbenchError: _answer_error},
    )


def open_images(data: bytes) -> Image:
    """Return the image in an uploaded file; raises Refused if it is not one, or is too large."""
    header = describe_image(data)
    if header is None or header[0] not in KINDS:
        raise Refused(f"this file is not a supported image; wanted {', '.join(sorted(KINDS))}", 415)
    if header[1] > PIXELS:
        raise Refused(f"{header[1]} pixels are too many; wanted at most {PIXELS}", 413)
    image = decode_image(data)
    if isinstance(image, str):
        raise Refused(f"the image {image}", 415)
    return image


def _parse_question(data: bytes, state: DemoState) -> tuple[str, str, list[Click]]:
    """Return the image, model and clicks of a request; raises Refused for an invalid one."""
    try:
        question = json.loads(data)
        identity, model = str(question["image"]), str(question["model"])
        clicks = [Click(int(row), int(col), bool(sign)) for row, col, sign in question["clicks"]]
    except (ValueError, KeyError, TypeError):
        raise Refused("wanted image, model and clicks") from None
    if model not in state.models:
        raise Refused(f"no model named {model}", 404)
    rows, cols = state.find_image(identity).shape[:2]
    if not 1 <= len(clicks) <= CLICKS:
        raise Refused(f"{len(clicks)} clicks; wanted 1 to {CLICKS}")
    if not all(0 <= click.row < rows and 0 <= click.col < cols for click in clicks):
        raise Refused("a click is outside the image")
    return identity, model, clicks


async def _read_body(request: Request, most: int) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise Refused(f"the file is larger than {most // 1_000_000 or 1} MB", 413)
    return bytes(data)


def _list_images(state: DemoState) -> list[dict[str, Any]]:
    return [
        {"id": identity, "name": name, "rows": image.shape[0], "cols": image.shape[1]}
        for identity, (name, image) in state.images.items()
    ]


def _answer_error(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refused) else 500
    return PlainTextResponse(str(error), status)


async def _add_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response
