"""`isbench predict`."""

from __future__ import annotations

import re
from pathlib import Path

import click
import numpy as np

from isbench.cli.completion import complete_models
from isbench.cli.networks import (
    NetworkOptions,
    load_models,
    network_options,
    settings_option,
)
from isbench.cli.paths import OUTPUT_FILE, PATH
from isbench.cli.streams import print_note
from isbench.datasets.image_io import read_image
from isbench.errors import IsbenchError
from isbench.evaluation.segmentation import check_clicks, segment
from isbench.files.atomic import write_atomically
from isbench.models.registry import DEFAULT_MODEL
from isbench.storage.masks import encode_mask
from isbench.types import Click

_CLICK = re.compile(r"(\d+),(\d+),([+-])")


@click.command(short_help="Segment an image with given clicks.")
@click.argument("image", type=PATH)
@click.option(
    "--clicks",
    "text",
    required=True,
    metavar='"ROW,COL,+ ROW,COL,-"',
    help="Clicks in order: row and column, 0,0 at the upper left; + on the object, - off it.",
)
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    shell_complete=complete_models,
    help="Name of an installed model, or package.module:card.",
)
@network_options
@settings_option
@click.option(
    "--out",
    type=OUTPUT_FILE,
    help="Mask file: .png, or .json for COCO RLE. [default: NAME.mask.png]",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def predict(
    image: Path,
    text: str,
    model: str,
    weights: str | None,
    device: str,
    precision: str,
    threads: int,
    backend: str,
    settings: tuple[str, ...],
    out: Path | None,
    force: bool,
) -> None:
    """Segment IMAGE with clicks and write the mask.

    The model gets the clicks one at a time, as from a user. A PNG mask is white on the object; a
    JSON mask contains COCO run lengths.

    \b
    Example:
      isbench predict photo.jpg --clicks "120,80,+ 30,40,-" --out mask.png
    """
    target = out or Path(f"{image.stem}.mask.png")
    if target.exists() and not force:
        raise IsbenchError(f"{target} already exists; overwrite it with --force, or choose --out")
    encode_mask(np.zeros((1, 1), bool), target)  # rejects a bad suffix before the work
    pixels = read_image(image)
    if target.exists() and target.samefile(image):
        raise IsbenchError(f"{target} is the image itself; choose another --out", setting="out")
    clicks = parse_clicks(text)
    check_clicks(clicks, pixels)  # before the weights are downloaded
    options = NetworkOptions(weights, device, precision, threads, backend)
    (load,) = load_models([model], settings, options)
    mask = segment(load(), pixels, clicks, note=print_note)
    write_atomically(target, encode_mask(mask, target))
    count, (rows, cols) = int(np.count_nonzero(mask)), pixels.shape[:2]
    click.echo(
        f"{target}: {count} pixels, {count / (rows * cols):.1%} of {rows}x{cols}, after "
        f"{len(clicks)} click{'s' * (len(clicks) > 1)}"
    )


def parse_clicks(text: str) -> list[Click]:
    """Parse clicks; raises IsbenchError for a malformed one."""
    clicks = []
    for word in text.split():
        found = _CLICK.fullmatch(word)
        if found is None:
            raise IsbenchError(
                f"click {word!r}; wanted row,col,+ or row,col,- as in 120,80,+", setting="clicks"
            )
        clicks.append(Click(int(found[1]), int(found[2]), found[3] == "+"))
    return clicks
