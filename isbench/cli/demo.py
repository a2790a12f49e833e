"""`isbench demo`."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from contextlib import ExitStack
from pathlib import Path

import click

from isbench.cli.networks import (
    NetworkOptions,
    network_options,
    set_options,
    with_network,
    with_photograph_size,
)
from isbench.cli.options import complete_models
from isbench.datasets.image_io import read_image
from isbench.errors import IsbenchError
from isbench.evaluation.replay import open_predictor
from isbench.models.registry import load_model
from isbench.reporting.writer import read_template


@click.command(short_help="Segment images by hand on a local page.")
@click.argument("images", nargs=-1, metavar="[IMAGE]...", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("csfpn-mini",),
    show_default=True,
    shell_complete=complete_models,
    help="Model; repeatable, to switch between.",
)
@network_options
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Option of the models.")
@click.option("--port", type=int, default=8421, show_default=True, help="0 for any that is free.")
@click.option("--no-browser", is_flag=True, help="Only print the page's address.")
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
    """Serve a page to this machine alone, on which IMAGEs or others are segmented by clicks.

    A left click adds, a right click removes. The page's address holds a secret: whoever has it can
    use the page until you press Ctrl-C.

    \b
    Example:
      isbench demo --model csfpn-mini --model grabcut photo.jpg
    """
    try:
        import uvicorn

        from isbench.demo.server import Table, make_application
    except ImportError as error:
        raise IsbenchError(f"demo lacks {error.name}: pip install 'isbench[demo]'") from error
    asked = NetworkOptions(weights, device, precision, threads, backend)
    pictures = [(path.name, read_image(path)) for path in images]
    cards = set_options([load_model(name) for name in dict.fromkeys(models)], settings)
    with ExitStack() as stack:
        table = Table(
            {
                card.name: stack.enter_context(
                    open_predictor(with_photograph_size(with_network(card, asked)))
                )
                for card in cards
            }
        )
        for name, image in pictures:
            table.show(name, image)
        place, token = stack.enter_context(bind_port(port)), secrets.token_urlsafe(24)
        address = f"http://127.0.0.1:{place.getsockname()[1]}/{token}/"
        click.echo(f"{address}\npress Ctrl-C to end")
        if not no_browser:
            webbrowser.open(address)
        app = make_application(table, token, read_template("demo"))
        config = uvicorn.Config(app, log_level="error", access_log=False, ws="none")
        try:
            uvicorn.Server(config).run(sockets=[place])
        except KeyboardInterrupt:
            return


def bind_port(port: int) -> socket.socket:
    """Return a socket of this machine's own; raises IsbenchError for a port that is taken."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
        made.listen()
    except (OSError, OverflowError) as error:
        made.close()
        raise IsbenchError(
            f"port {port} of this machine cannot be had ({error}); name another by --port, or 0 "
            "for any that is free"
        ) from error
    return made
