"""A model's networks as ONNX files, with a card that says what goes in and what comes out.

Only the networks: the card describes what a model does around them (zoom-in, flip, threshold).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from isbench.errors import IsbenchError
from isbench.files.atomic import write_atomically
from isbench.models.option_meanings import LEFT_TO_DATA, find_meaning
from isbench.options import format_option
from isbench.types import LoadedModel

TOLERANCE = 1e-4  # of outputs, relative to the largest if that is above 1
CARD, READABLE = "card.json", "card.md"
_POINT = 5  # numbers of a click; see `isbench.nn.clickmaps.encode_points`
_CLICKS = (
    "clicks, the first half of the places for positive ones, the second for negative ones: row, "
    "column, number of the click from 0, and what rounding took from row and column (0 for whole "
    "numbers); an unused place is -1, -1, -1, 0, 0"
)
_COLOURS = "red, green and blue from 0 to 1"
_IMAGES = {
    3: _COLOURS,
    4: f"{_COLOURS}, and the probability of the object from the previous click, 0 before the first",
}
_LOGITS = "logits; the object is where their sigmoid is above the threshold, usually an option"


def export_model(model: LoadedModel, out: Path | str) -> tuple[Path, ...]:
    """Write each network of a model as ONNX, and a card as JSON and markdown.

    Parameters
    ----------
    model : LoadedModel
        A model with networks; device and backend of its runtime have no effect.
    out : Path or str
        The folder to write to.

    Returns
    -------
    tuple of Path
        The files; the card is written last.

    Raises
    ------
    IsbenchError
        For a model without networks, a missing library (extra `onnx`), a network that cannot be
        exported, and one whose outputs on ONNX Runtime are not those of PyTorch.
    """
    networks = _load_networks(model)
    from isbench.nn.runtime.onnx import OPSET, export_onnx  # import torch
    from isbench.nn.runtime.onnxruntime import CHECK, check_onnx

    files: dict[str, bytes] = {}
    described: dict[str, Any] = {}
    for name, network in networks.items():
        made = export_onnx(network)
        error = check_onnx(network, made, TOLERANCE)
        files[f"{name}.onnx"] = made.data
        described[name] = {
            "file": f"{name}.onnx",
            "sha256": sha256(made.data).hexdigest(),
            "inputs": [_describe_tensor(one, _describe_input(one)) for one in made.inputs],
            "outputs": [_describe_tensor(one, _describe_output(one)) for one in made.outputs],
            "checked": {"sizes": [size for size, _ in CHECK], "largest_difference": error},
        }
    card = {**_describe_model(model), "opset": OPSET, "networks": described}
    files[READABLE] = "\n".join(_list_lines(card)).encode() + b"\n"
    files[CARD] = json.dumps(card, indent=1, ensure_ascii=False).encode() + b"\n"
    for name, data in files.items():
        write_atomically(Path(out) / name, data)
    return tuple(Path(out) / name for name in files)


def _load_networks(model: LoadedModel) -> Mapping[str, Any]:
    card, runtime = model.card, model.runtime
    if card.networks is None or runtime is None:
        raise IsbenchError(f"model {card.name} has no network to export", setting="model")
    from isbench.nn.runtime.compute import load_networks  # imports torch

    return load_networks(partial(card.networks, **model.options), replace(runtime, device="cpu"))


def _describe_model(model: LoadedModel) -> dict[str, Any]:
    card, runtime = model.card, model.runtime
    files = set(runtime.weights) if runtime else set()
    bundled = bool(files) and files <= set(card.bundled.values())
    options = {
        key: {"value": value, "meaning": find_meaning(card, key)}
        for key, value in model.options.items()
    }
    return {
        "model": card.name,
        "version": card.version,
        "summary": card.summary,
        "source": card.source,
        "licence": card.licence,
        "restriction": card.restriction,
        "weights": None if runtime is None else runtime.digest,
        "weights_licence": card.bundled_terms if bundled else "",
        "options": options,
    }


def _describe_tensor(tensor: Any, meaning: str) -> dict[str, Any]:
    return {
        "name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape), "meaning": meaning,
    }  # fmt: skip


def _describe_input(tensor: Any) -> str:
    """Return what an input is, "" for one that only the model's code can explain."""
    shape = tensor.shape
    if len(shape) == 3 and shape[2] == _POINT:
        return _CLICKS
    if len(shape) == 4 and shape[2:] == ("rows", "columns"):
        return _IMAGES.get(shape[1], "")
    return ""


def _describe_output(tensor: Any) -> str:
    shape = tensor.shape
    is_map = tensor.name == "output" and shape[1:] == (1, "rows", "columns")
    return _LOGITS if is_map else ""


def _list_lines(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield the card as markdown."""
    yield f"# {card['model']}"
    yield ""
    summary = f"{card['summary']}. " if card["summary"] else ""
    yield f"{summary}Source: {card['source'] or 'not stated'}."
    yield f"Licence: {card['licence'] or 'not stated'}. {card['restriction']}".rstrip()
    yield f"Weights: sha256 {card['weights']}. ONNX opset {card['opset']}."
    if card["weights_licence"]:
        yield f"Licence of the weights: {card['weights_licence']}."
    for network in card["networks"].values():
        yield from ("", f"## {network['file']}", "")
        yield from _list_tensors(network)
        checked = network["checked"]
        sizes = ", ".join(f"{rows}x{cols}" for rows, cols in checked["sizes"])
        yield ""
        yield (
            f"Outputs on ONNX Runtime differ by at most {checked['largest_difference']:.1e} from "
            f"those of PyTorch (at {sizes})."
        )
    yield from ("", "## Around the networks", "")
    lead = "The files hold the networks only: what the model does around them is not in them"
    if not card["options"]:
        yield f"{lead}."
        return
    yield f"{lead}. It has these options, which an application has to follow to get the same masks:"
    yield ""
    for name, option in card["options"].items():
        meaning = f": {option['meaning']}" if option["meaning"] else ""
        left = " (the data set's)" if LEFT_TO_DATA.get(name) == option["value"] else ""
        yield f"* `{name}={format_option(option['value'])}`{left}{meaning}"


def _list_tensors(network: Mapping[str, Any]) -> Iterator[str]:
    yield "| | name | type | shape | meaning |"
    yield "|---|---|---|---|---|"
    kinds: Sequence[str] = ("inputs", "outputs")
    for kind in kinds:
        for one in network[kind]:
            shape = " x ".join(map(str, one["shape"]))
            yield (
                f"| {kind[:-1]} | `{one['name']}` | {one['dtype']} | {shape} | {one['meaning']} |"
            )
