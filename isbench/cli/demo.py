"""`isbench demo`."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isbench.cli.completion import complete_models
from isbench.cli.networks import (
    NetworkOptions,
    load_models,
    network_options,
    settings_option,
)
from isbench.cli.paths import PATH
from isbench.cli.streams import print_note
from isbench.cli.usage import refuse_lists
from isbench.datasets.catalogue import list_sample_images
from isbench.errors import IsbenchError
from isbench.evaluation.job import opencv_threads
from isbench.evaluation.segmentation import with_photograph_defaults
from isbench.evaluation.session import PredictorSession
from isbench.extras import describe_missing
from isbench.models.registry import DEFAULT_MODEL
from isbench.reporting.templates import read_template

if TYPE_CHECKING:
    from uvicorn import Server


@click.command(short_help="Segment images interactively on a local page.")
@click.argument("images", nargs=-1, metavar="[IMAGE]...", type=PATH)
@click.option(
    "--model",
    "models",
    multiple=True,
    default=(DEFAULT_MODEL,),
    callback=refuse_lists,
    show_default=True,
    shell_complete=complete_models,
    help="Model to serve. Repeatable: the page switches between them.",
)
@network_options
@settings_option
@click.option("--port", type=int, default=8421, show_default=True, help="Port; 0: any free port.")
@click.option(
    "--no-browser", is_flag=True, help="Print the page's address without opening a browser."
)
def demo(
    images: tuple[Path, ...],
    models: tuple[str, ...],
    weights: str | None,
    device: str,
    precision: str,
    threads: int,
    backend: str,
    settings: tuple[str, ...],
    port: int,
    no_browser: bool,
) -> None:
    """Serve a local page for segmenting images with clicks.

    The page shows IMAGEs, or the bundled sample's photographs, and can open others. A left click
    adds, a right click removes. Only this machine is served, and the page's address contains a
    secret token: anyone who has it can use the page until you press Ctrl-C.

    \b
    Example:
      isbench demo --model csfpn-lite --model grabcut photo.jpg
    """
    try:
        from isbench.demo.connections import make_server
        from isbench.demo.images import ImageStore
        from isbench.demo.models import build_models
        from isbench.demo.server import DemoState, make_application
    except ImportError as error:
        raise IsbenchError(f"demo needs {describe_missing(str(error.name))}") from error
    options = NetworkOptions(weights, device, precision, threads, backend)
    loaded = [with_photograph_defaults(load()) for load in load_models(models, settings, options)]
    store = ImageStore()
    for path in images or list_sample_images():
        store.add_file(path)
    with bind_port(port) as listener, opencv_threads(), ThreadPoolExecutor(1) as builder:
        state = DemoState(build_models(loaded, builder, print_note), store)
        token = secrets.token_urlsafe(24)
        server = make_server(make_application(state, token, read_template("demo")))
        built = [model.session for model in state.models.values()]
        for session in built:
            session.add_done_callback(partial(_stop_if_failed, server))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/{token}/"
        click.echo(f"{address}\npress Ctrl-C to stop")
        if not no_browser:
            webbrowser.open(address)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            return
        finally:
            builder.shutdown(cancel_futures=True)
        for session in built:
            session.result()  # raises the error that stopped the server


def _stop_if_failed(server: Server, session: Future[PredictorSession]) -> None:
    if not session.cancelled() and session.exception() is not None:
        server.should_exit = True


def bind_port(port: int) -> socket.socket:
    """Return a socket that listens on localhost; raises IsbenchError for a port that is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise IsbenchError(
            f"cannot listen on port {port} ({error}); choose another with --port, or 0 for any "
            "free port"
        ) from error
    return listener
