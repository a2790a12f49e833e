"""`isbench export-model`."""

from __future__ import annotations

from pathlib import Path

import click

from isbench.cli.completion import complete_models
from isbench.cli.networks import NetworkOptions, load_models, settings_option, weights_option
from isbench.cli.paths import OUTPUT_FOLDER
from isbench.exchange.onnx_model import export_model as write_model


@click.command("export-model", short_help="Write a model's networks as ONNX files.")
@click.argument("model", shell_complete=complete_models)
@weights_option
@settings_option
@click.option(
    "--out", type=OUTPUT_FOLDER, help="Folder to write to. [default: the name of the model]"
)
def export_model(
    model: str, weights: str | None, settings: tuple[str, ...], out: Path | None
) -> None:
    """Write each network of a model as an ONNX file, and a card of what goes in and out.

    Every file takes any batch, image size and number of clicks. Its outputs on ONNX Runtime are
    compared with those of PyTorch first. What the model does around its networks, such as zoom-in,
    is not in the files; the card lists it.

    \b
    Example:
      pip install 'isbench[onnx]'
      isbench export-model csfpn-lite --out csfpn-lite
    """
    (load,) = load_models([model], settings, NetworkOptions(weights, "cpu", backend="eager"))
    loaded = load()
    for path in write_model(loaded, out or Path(loaded.name)):
        click.echo(str(path))
