r"""Names a trained weight file in results/training/weights.csv, with what its card says.

    python -m benchmarks.register_weights runs/training/bs-s0/weights.safetensors ablation-bs-s0 \
        --also fbrs-lite --also adaptation-lite --device CPU --command "isbench train ritm-lite ..."

Runs with these weights then count for the rows of tables that name them, whether or not the file
is shipped.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from isbench.errors import IsbenchError
from isbench.files.digests import digest_file
from isbench.papers.register import TrainedWeights, add_weights
from isbench.training.weight_card import read_card


def read_weights(
    path: Path, name: str, also: tuple[str, ...], device: str, command: str
) -> TrainedWeights:
    """Return the facts of a weight file of `isbench train`; `also` are further models.

    Raises IsbenchError for a card that lacks one of them.
    """
    card = read_card(path)
    if missing := sorted({"model", "recipe", "samples", "origin", "data", "licence"} - set(card)):
        raise IsbenchError(f"the card of {path} lacks {', '.join(missing)}")
    recipe = json.loads(card["recipe"])
    for key in ("checks", "init"):  # has no effect on the weights; a path, which `base` names
        recipe.pop(key, None)
    base = re.search(r"\b[0-9a-f]{64}\b", card["origin"])  # further ones are the base's own
    return TrainedWeights(
        models=tuple(dict.fromkeys((card["model"], *also))),
        name=name,
        digest=digest_file(path),
        base=base[0] if base else "",
        seed=recipe["seed"],
        samples=int(card["samples"]),
        data=card["data"],
        licence=" ".join(card["licence"].split()),  # one line
        device=device,
        command=command,
        recipe=json.dumps(recipe, sort_keys=True),
    )


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("name")
@click.option("--also", multiple=True, help="Another model that is played with these weights.")
@click.option("--device", required=True, help="What the training ran on.")
@click.option("--command", required=True, help="Command that repeats the training.")
@click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True
)
def main(
    file: Path, name: str, also: tuple[str, ...], device: str, command: str, results: Path
) -> None:
    """Name the weight file FILE as NAME in the register of a results folder."""
    try:
        weights = read_weights(file, name, also, device, command)
        ends = re.search(r"-s(\d+)$", name)
        if ends is not None and int(ends[1]) != weights.seed:
            raise IsbenchError(f"{file} was trained with seed {weights.seed}; wanted {ends[1]}")
        add_weights(results, weights)
    except IsbenchError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{name}: {weights.digest[:12]}, seed {weights.seed}, {weights.samples:,} samples")


if __name__ == "__main__":
    main()
