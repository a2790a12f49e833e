"""Recorded runs for tests of what is made of them and checked against them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from isbench.datasets import load_dataset
from isbench.datasets.registry import BUILT_IN
from isbench.evaluation import runner
from isbench.evaluation.spec import make_spec
from isbench.models.registry import load_card
from isbench.storage import run_file, store
from isbench.types import Game, LoadedModel, ModelCard, Rules, Runtime, Scalar
from tests.support import toys
from tests.support.networks import eager


def read_sealed(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.find(folder)}


def small_card(folder: Path) -> ModelCard:
    """Return ritm-mini with weights that come with it, cheap to play."""
    card = load_card("ritm-mini")
    options = {**card.options, "flip": False, "longest_side": 64}
    return replace(card, options=options, bundled={"pack": save_random_weights(folder)})


def save_random_weights(folder: Path) -> Path:
    """Write the random weights of ritm-mini as a card could bundle them."""
    from isbench.nn.runtime.compute import load_networks

    card, path = load_card("ritm-mini"), folder / "ritm-mini.safetensors"
    assert card.networks is not None
    networks = load_networks(partial(card.networks, **card.options), Runtime())
    state = networks["network"].state_dict()
    save_file({key: value.contiguous().clone() for key, value in state.items()}, path)
    return path


def record_network_run(folder: Path) -> store.Run:
    """Return a short run of a small network with random weights on the sample."""
    model = eager("ritm-mini", flip="off", longest_side="64")
    return runner.run(model, load_dataset("sample", limit=2), Rules(2, 1.01), out=folder)


def with_weights(
    card: ModelCard, digest: str, options: Mapping[str, Scalar] | None = None
) -> LoadedModel:
    """Return a model whose weights have this digest, without the weights."""
    return LoadedModel(card, options or card.options, Runtime(digest=digest))


def record_on_davis(
    folder: Path, model: LoadedModel, rules: Rules = Rules(20, 1.01), **changes: Any
) -> store.Run:
    """Return a whole run on DAVIS's name and fingerprint, its games made up."""
    on = replace(toys.blobs(4), name="davis", limit=changes.pop("limit", None))
    (content,) = BUILT_IN["davis"].fingerprints
    left = {"zoom_target": (0, 600), "longest_side": (-1, 0)}  # what DAVIS says where it is asked
    asked = {key: said for key, (ask, said) in left.items() if model.options.get(key) == ask}
    options = {**model.options, **asked, **changes.pop("options", {})}
    options = {key: value for key, value in options.items() if key in model.options}
    content, ious = changes.pop("content", content), changes.pop("ious", [0.5, 0.95])
    model = replace(model, options=options, **changes)
    spec = make_spec(model, on, rules, content)
    with run_file.open_run(folder, spec) as file:
        assert file is not None
        for key in on.keys:
            length = rules.max_clicks if rules.stop_iou > 1 else len(ious)
            game = [*ious, *[ious[-1]] * (length - len(ious))]
            file.append(Game(toys.trajectory(key, game), ()))
        return store.read(file.seal())


def rewrite(run: store.Run, change: Callable[[Any], None]) -> store.Run:
    """Change the records of a sealed run's games in its file, and return it as it is then."""
    spec, *games = gzip.decompress(run.path.read_bytes()).splitlines()
    records = [json.loads(game) for game in games]
    for record in records:
        change(record)
    lines = [spec, *(json.dumps(record).encode() for record in records), b""]
    run.path.write_bytes(gzip.compress(b"\n".join(lines)))
    return store.read(run.path)
