"""A local page to segment images by hand: pictures in, clicks in, masks out.

Starlette, since the page is three small files and the server four answers: a framework of widgets
would be larger than isbench, and knows no right click. Only this machine is answered, at an address
that nobody else knows; pictures are held in memory, and no path is ever taken from a request.
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
from isbench.evaluation.engine import check_answers
from isbench.storage.masks import encode_rle
from isbench.types import Click, Image, Mask, Predictor, Turn

HOSTS = ["127.0.0.1", "localhost"]  # another name for this machine may be somebody's trick
UPLOAD = 30_000_000  # bytes of a picture's file
PIXELS = 50_000_000
KINDS = {"JPEG", "PNG", "WEBP", "BMP"}
CLICKS = 500
_KEPT = 8  # pictures, and what models made of them; the least recently used go
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(self, why: str, status: int = 400) -> None:
        """Say why, and by which status of HTTP."""
        super().__init__(why)
        self.status = status


@dataclass
class Game:
    """A model at an image: what it answered to each beginning of the clicks."""

    encoded: Any
    states: list[Any]  # before the first click, after it, ...
    clicks: list[Click] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)


@dataclass
class Table:
    """The models, the pictures, and the games; one answer is computed at a time."""

    models: Mapping[str, Predictor]
    images: OrderedDict[str, tuple[str, Image]] = field(default_factory=OrderedDict)  # id -> name
    games: dict[tuple[str, str], Game] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def show(self, name: str, image: Image) -> str:
        """Put a picture on the table and return its id."""
        place = secrets.token_hex(8)
        with self.lock:
            self.images[place] = name, image
            while len(self.images) > _KEPT:
                old, _ = self.images.popitem(last=False)
                for key in [key for key in self.games if key[0] == old]:
                    del self.games[key]
        return place

    def answer(self, place: str, model: str, clicks: Sequence[Click]) -> tuple[Mask, float | None]:
        """Return the mask after the clicks, and the seconds the last took; None if it was known."""
        with self.lock:
            image = self.image(place)
            self.images.move_to_end(place)
            predictor = self.models[model]
            game = self.games.get((place, model))
            if game is None:
                encoded = predictor.begin(image)
                game = Game(encoded, [predictor.start(encoded, None)])
                self.games[place, model] = game
            known = 0
            while known < min(len(clicks), len(game.clicks)) and (
                clicks[known] == game.clicks[known]
            ):
                known += 1
            seconds = None
            if known < len(clicks):  # from here on it was another game
                del game.clicks[known:], game.masks[known:], game.states[known + 1 :]
            for click in clicks[known:]:
                game.clicks.append(click)
                started = perf_counter()
                answers = predictor.predict([Turn(game.states[-1], tuple(game.clicks))])
                seconds = perf_counter() - started
                check_answers(answers, [("of the demo", image.shape[:2])])
                game.masks.append(answers[0].mask)
                game.states.append(answers[0].state)
            return game.masks[len(clicks) - 1], seconds

    def image(self, place: str) -> Image:
        """Return a picture; raises Refused for one that is not there."""
        if place not in self.images:
            raise Refused("this picture is no longer here: open it again", 404)
        return self.images[place][1]


def make_application(table: Table, token: str, template: Mapping[str, str]) -> Starlette:
    """Return the server; every address begins with the token, and only this machine's are."""

    def page(request: Request) -> Response:
        body = Template(template["html"]).substitute(
            models=json.dumps(list(table.models)).replace("<", "\\u003c"),
            images=json.dumps(_listed(table)).replace("<", "\\u003c"),
        )
        return HTMLResponse(body)

    def style(request: Request) -> Response:
        return Response(template["css"], media_type="text/css")

    def script(request: Request) -> Response:
        return Response(template["js"], media_type="text/javascript")

    async def upload(request: Request) -> Response:
        data = await _body(request, UPLOAD)
        image = await run_in_threadpool(open_images, data)
        place = table.show("", image)
        return JSONResponse({"id": place, "rows": image.shape[0], "cols": image.shape[1]})

    def picture(request: Request) -> Response:
        image = table.image(request.path_params["place"])
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        return Response(bytes(data), media_type="image/jpeg")

    async def answer(request: Request) -> Response:
        asked = _asked(await _body(request, 100_000), table)
        mask, seconds = await run_in_threadpool(table.answer, *asked)
        return JSONResponse({"mask": encode_rle(mask), "seconds": seconds})

    routes = [
        Route(f"/{token}/", page),
        Route(f"/{token}/demo.css", style),
        Route(f"/{token}/demo.js", script),
        Route(f"/{token}/images", upload, methods=["POST"]),
        Route(f"/{token}/images/{{place}}", picture),
        Route(f"/{token}/answers", answer, methods=["POST"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=_headed),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        ],
        exception_handlers={Refused: _refused, IsbenchError: _refused},
    )


def open_images(data: bytes) -> Image:
    """Return the image of an uploaded file; raises Refused for what is none, or is too large."""
    found = describe_image(data)
    if found is None or found[0] not in KINDS:
        raise Refused(
            f"this is no picture that can be read; wanted {', '.join(sorted(KINDS))}", 415
        )
    if found[1] > PIXELS:
        raise Refused(f"{found[1]} pixels are too many; wanted {PIXELS} at most", 413)
    image = decode_image(data)
    if isinstance(image, str):
        raise Refused(f"the picture {image}", 415)
    return image


def _asked(data: bytes, table: Table) -> tuple[str, str, list[Click]]:
    """Return picture, model and clicks of a request; raises Refused for others."""
    try:
        asked = json.loads(data)
        place, model = str(asked["image"]), str(asked["model"])
        clicks = [Click(int(row), int(col), bool(sign)) for row, col, sign in asked["clicks"]]
    except (ValueError, KeyError, TypeError):
        raise Refused("wanted image, model and clicks") from None
    if model not in table.models:
        raise Refused(f"no model named {model}", 404)
    rows, cols = table.image(place).shape[:2]
    if not 1 <= len(clicks) <= CLICKS:
        raise Refused(f"{len(clicks)} clicks; wanted 1 to {CLICKS}")
    if not all(0 <= click.row < rows and 0 <= click.col < cols for click in clicks):
        raise Refused("a click is outside the picture")
    return place, model, clicks


async def _body(request: Request, most: int) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise Refused(f"the file is larger than {most // 1_000_000 or 1} MB", 413)
    return bytes(data)


def _listed(table: Table) -> list[dict[str, Any]]:
    return [
        {"id": place, "name": name, "rows": image.shape[0], "cols": image.shape[1]}
        for place, (name, image) in table.images.items()
    ]


def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refused) else 500
    return PlainTextResponse(str(error), status)


async def _headed(request: Request, answered: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answered(request)
    response.headers.update(_HEADERS)
    return response
