"""Masks of every installed model on one picture, under synthetic weights.

    python -m tests.support.probes  # add models and versions that the golden file lacks

A golden mask belongs to a model's name and version, so that other masks need another version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from isbench.errors import IsbenchError
from isbench.evaluation.job import build_predictor
from isbench.models.registry import load_model, model_names, with_options
from isbench.models.weights import load_weights
from isbench.storage import masks
from isbench.types import Click, Image, Mask, Model, Turn
from tests.support.networks import SMALL
from tests.support.synthetic import filled

GOLDEN = Path(__file__).parents[1] / "golden" / "probes.json"
# synthetic weights blow its rounding up, and a box that follows it would follow the processor
STEADY = {"csfpn-hrnet18": {"zoom": "off"}}
CLICKS = (Click(30, 40, True), Click(10, 70, False), Click(45, 50, True))


def picture() -> Image:
    """Return a (64, 80, 3) image with a bright disk on two gradients."""
    rows, cols = np.mgrid[:64, :80]
    disk = 60 + 120 * ((rows - 30) ** 2 + (cols - 40) ** 2 < 400)
    return np.stack([(3 * rows + cols) % 256, rows * cols // 7 % 256, disk], -1).astype(np.uint8)


def loaded(name: str, folder: Path, threshold: float | None = None) -> Model:
    """Return a model with small crops and synthetic weights, ready to be built."""
    card = load_model(name)
    if card.network is None:
        return card
    options = {key: value for key, value in SMALL.items() if key in card.options}
    options |= STEADY.get(name, {})
    if threshold is not None:
        options["threshold"] = str(threshold)
    card = with_options(card, options)
    assert card.network is not None
    state = filled(card.network(**card.options).state_dict())
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous().clone() for key, value in state.items()}, path)
    return load_weights(card, str(path))


def answered(card: Model) -> tuple[Mask, Any]:
    """Return the mask after all clicks and the state after the first."""
    predictor = build_predictor(card)
    state, states = predictor.start(predictor.begin(picture()), None), []
    for count in range(1, len(CLICKS) + 1):
        mask, state = predictor.predict([Turn(state, CLICKS[:count])])[0]
        states.append(state)
    return mask, states[0]


def probed(name: str, folder: Path) -> dict[str, Any]:
    """Return the golden entry of a model; its threshold is one that splits the first answer."""
    threshold = None
    card = loaded(name, folder)
    if card.network is not None:
        state = answered(card)[1]
        threshold = round(float(np.median(state.probability.cpu().numpy())), 3)
        card = loaded(name, folder, threshold)
    mask = answered(card)[0]
    return {
        "version": card.version,
        "threshold": threshold,
        "mask": masks.encode_rle(mask)["counts"],
    }


def main() -> None:
    from tempfile import TemporaryDirectory

    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    with TemporaryDirectory() as folder:
        for name in model_names():
            try:
                known = golden.get(name, {}).get("version") == load_model(name).version
            except IsbenchError as error:
                print(f"left out: {error}")
                continue
            if not known:
                golden[name] = probed(name, Path(folder))
                print(name)
    GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
