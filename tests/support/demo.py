"""Demo servers for tests: of the command, and in a thread of the test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import Any

import cv2

from isbench.cli.demo import bind_port
from isbench.demo.connections import make_server
from isbench.demo.models import DemoModel
from isbench.demo.server import DemoState, make_application
from isbench.evaluation.session import PredictorSession
from isbench.reporting.templates import read_template
from isbench.types import Predictor
from tests.support.waiting import HUNG, wait_until


@contextmanager
def demo(*words: str) -> Iterator[str]:
    """Serve the demo and lend its address."""
    command = [sys.executable, "-m", "isbench", "demo", "--port", "0", "--no-browser", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.send_signal(signal.SIGINT)
        code = server.wait(HUNG)
        assert server.stdout is not None
        server.stdout.close()
    assert code == 0


def make_model(predictor: Predictor, adaptive: bool = False, compiles: bool = False) -> DemoModel:
    """Return a model of the demo that has been built."""
    session: Future[PredictorSession] = Future()
    session.set_result(PredictorSession(predictor))
    return DemoModel(session, adaptive, compiles)


@contextmanager
def serve(state: DemoState) -> Iterator[str]:
    """Serve a state from a thread and lend the address."""
    server = make_server(make_application(state, "token", read_template("demo")))
    with bind_port(0) as listener:
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/token/"
        finally:
            server.should_exit = True
            thread.join(HUNG)
            assert not thread.is_alive()


def encode(image: Any) -> bytes:
    """Return an image as the bytes of a PNG."""
    return bytes(cv2.imencode(".png", image[..., ::-1])[1])


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes, Any]:
    """Return the status, body and headers of an answer, as soon as the server is up."""
    request = urllib.request.Request(url, data, headers)
    began = time.monotonic()
    while time.monotonic() - began < HUNG:
        try:
            with urllib.request.urlopen(request, timeout=HUNG) as response:
                return response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers
        except urllib.error.URLError:  # the server is not up yet
            time.sleep(0.1)
    raise TimeoutError(url)


def list_images(address: str) -> list[dict[str, Any]]:
    """Return the images that the page of an address lists."""
    _, page, _ = ask(address)
    images = page.decode().partition('id="images">')[2].partition("</script>")[0]
    found: list[dict[str, Any]] = json.loads(images)
    return found


def find_first_image(address: str) -> str:
    """Return the id of the first image that the page of an address lists."""
    return str(list_images(address)[0]["id"])
