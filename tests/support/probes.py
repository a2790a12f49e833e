"""Masks of every installed model on one picture, under synthetic weights.

    python -m tests.support.probes  # bring the golden file up to date

A golden mask belongs to a model's name and version, so that other masks need another version.
Synthetic weights blow the rounding of a processor up from click to click, so the mask on record is
that after the last click up to which disturbed weights answer alike.
"""

from __future__ import annotations

import json
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from isbench.errors import IsbenchError
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import list_model_names, load_card, parse_options
from isbench.storage import masks
from isbench.types import Click, Image, LoadedModel, Mask, Scalar, Turn
from tests.support.models import HUGE
from tests.support.networks import SMALL, eager
from tests.support.synthetic import fill_state

GOLDEN = Path(__file__).parents[1] / "golden" / "probes.json"
CHOSEN = {
    # diffusion takes the fourth power of it
    **{f"cdnet-{trunk}": {"size": "96"} for trunk in ("r34", "r50")},
    # the size that its card has is chosen by games, and is no part of its behaviour
    "focuscut-lite": {"view_size": "96"},
    # a box that follows blown up rounding would follow the processor
    "csfpn-hrnet18": {"zoom": "off"},
    # each evaluation of a search blows rounding up
    **{f"fbrs-{trunk}": {"maxfun": "1"} for trunk in ("r34", "r50", "r101", "hrnet18", "hrnet32")},
}
DISTURBANCE = 1e-6  # of weights, relative: more than rounding differs between processors
# of the pixels of a network's mask: ALIKE when it is recorded, ROUNDING on any processor
ALIKE, ROUNDING = 0.02, 0.05
CLICKS = (Click(30, 40, True), Click(10, 70, False), Click(45, 50, True))


def draw_picture() -> Image:
    """Return a (64, 80, 3) image with a bright disk on two gradients."""
    rows, cols = np.mgrid[:64, :80]
    disk = 60 + 120 * ((rows - 30) ** 2 + (cols - 40) ** 2 < 400)
    return np.stack([(3 * rows + cols) % 256, rows * cols // 7 % 256, disk], -1).astype(np.uint8)


def load_synthetic(
    name: str, folder: Path, threshold: float | None = None, disturbance: float = 0
) -> LoadedModel:
    """Return a model with small crops and synthetic weights, ready to be built."""
    card = load_card(name)
    if card.networks is None:
        return load_model(card)
    options: dict[str, Scalar] = {key: value for key, value in SMALL.items() if key in card.options}
    options |= CHOSEN.get(name, {})
    if threshold is not None:
        options["threshold"] = threshold
    networks = card.networks(**parse_options(card, options)).values()
    state = {key: value for one in networks for key, value in one.state_dict().items()}
    constants = {key: value for key, value in state.items() if key.startswith("PDM.")}
    state = {**_disturb(fill_state(state), disturbance), **constants}
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous().clone() for key, value in state.items()}, path)
    return eager(card, str(path), **options)


def _disturb(state: dict[str, Tensor], disturbance: float) -> dict[str, Tensor]:
    """Return normally distributed relative changes of the given deviation, the same each time."""
    if not disturbance:
        return state
    noise = torch.Generator().manual_seed(0)
    return {
        key: value * (1 + disturbance * torch.randn(value.shape, generator=noise))
        if value.is_floating_point()
        else value
        for key, value in state.items()
    }


class Answer(NamedTuple):
    """What a model answers to a click."""

    mask: Mask
    state: Any


def answer_clicks(model: LoadedModel, count: int = len(CLICKS)) -> list[Answer]:
    """Return the answers to the first clicks."""
    predictor = build_predictor(model)
    state = predictor.start(predictor.begin(draw_picture()), None)
    answers: list[Answer] = []
    for last in range(1, count + 1):
        mask, state = predictor.predict([Turn(state, CLICKS[:last])])[0]
        answers.append(Answer(mask, state))
    return answers


def compare_masks(first: Mask, second: Mask) -> float:
    """Return the share of the pixels that differ."""
    return np.count_nonzero(first ^ second) / first.size


def find_probability(state: Any) -> NDArray[np.float32]:
    """Return the probabilities that a state keeps, or those of its logits."""
    kept = getattr(getattr(state, "last", state), "probability", None)
    return np.asarray(torch.sigmoid(state.answer) if kept is None else kept)


def count_alike(first: list[Answer], second: list[Answer]) -> int:
    """Return up to which click two models answer alike."""
    shares = [compare_masks(one.mask, other.mask) for one, other in zip(first, second, strict=True)]
    return len([*takewhile(lambda share: share <= ALIKE, shares)])


def make_entry(name: str, folder: Path) -> dict[str, Any]:
    """Return the golden entry of a model; its threshold is one that splits the first answer."""
    model, threshold = load_synthetic(name, folder), None
    if model.runtime is not None:
        state = answer_clicks(model, 1)[0].state
        threshold = round(float(np.median(find_probability(state))), 3)
        model = load_synthetic(name, folder, threshold)
    answers, count = answer_clicks(model), len(CLICKS)
    if model.runtime is not None:
        disturbed = load_synthetic(name, folder, threshold, DISTURBANCE)
        count = count_alike(answers, answer_clicks(disturbed))
    if not count:
        raise ValueError(f"{name}: rounding changes the first mask; choose other options")
    return {
        "version": model.card.version,
        "threshold": threshold,
        "clicks": count,
        "mask": masks.encode_rle(answers[count - 1].mask)["counts"],
    }


def main() -> None:
    from tempfile import TemporaryDirectory

    names = sorted({*list_model_names()} - {*HUGE})
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    golden = {name: entry for name, entry in known.items() if name in names}
    with TemporaryDirectory() as folder:
        for name in names:
            try:
                version = load_card(name).version
            except IsbenchError as error:
                print(f"left out: {error}")
                continue
            if golden.get(name, {}).get("version") != version:
                golden[name] = make_entry(name, Path(folder))
                _write(golden)  # each one, since a later model may be refused
                print(name)
    _write(golden)


def _write(golden: dict[str, Any]) -> None:
    GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
