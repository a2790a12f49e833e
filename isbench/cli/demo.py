"""`isbench demo`."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from contextlib import ExitStack
from pathlib import Path

import click

from isbench.cli.networks import NetworkOptions, load_models, network_options
from isbench.cli.options import complete_models
from isbench.cli.paths import PATH
from isbench.cli.usage import refuse_lists
from isbench.errors import IsbenchError
from isbench.evaluation.replay import open_predictor
from isbench.evaluation.segmentation import with_photograph_defaults
from isbench.evaluation.session import PredictorSession
from isbench.extras import describe_missing
from isbench.reporting.templates import read_template


@click.command(short_help="Segment images interactively on a local page.")
@click.argument("images", nargs=-1, metavar="[IMAGE]...", type=PATH)
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("csfpn-mini",),
    callback=refuse_lists,
    show_default=True,
    shell_complete=complete_models,
    help="Model to serve. Repeatable: the page switches between them.",
)
@network_options
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Model option. Repeatable."
)
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

    The page shows IMAGEs and can open others. A left click adds, a right click removes. Only this
    machine is served, and the page's address contains a secret token: anyone who has it can use the
    page until you press Ctrl-C.

    \b
    Example:
      isbench demo --model csfpn-mini --model grabcut photo.jpg
    """
    try:
        from isbench.demo.connections import make_server
        from isbench.demo.server import DemoState, make_application
    except ImportError as error:
        raise IsbenchError(f"demo needs {describe_missing(str(error.name))}") from error
    options = NetworkOptions(weights, device, precision, threads, backend)
    loaded = [with_photograph_defaults(load()) for load in load_models(models, settings, options)]
    with ExitStack() as stack:
        state = DemoState(
            {
                model.name: PredictorSession(stack.enter_context(open_predictor(model)))
                for model in loaded
            }
        )
        for path in images:
            state.add_file(path)
        listener, token = stack.enter_context(bind_port(port)), secrets.token_urlsafe(24)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/{token}/"
        click.echo(f"{address}\npress Ctrl-C to stop")
        if not no_browser:
            webbrowser.open(address)
        app = make_application(state, token, read_template("demo"))
        try:
            make_server(app).run(sockets=[listener])
        except KeyboardInterrupt:
            return


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
