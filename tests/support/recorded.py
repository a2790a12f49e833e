"""Recorded runs for tests of what is made of them and checked against them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from isbench.datasets import load_dataset
from isbench.evaluation import runner
from isbench.models.registry import load_card
from isbench.storage import store
from isbench.types import ModelCard, Rules, Runtime
from tests.support.networks import eager


def sealed(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.find(folder)}


def small_card(folder: Path) -> ModelCard:
    """Return ritm-mini with weights that come with it, cheap to play."""
    card = load_card("ritm-mini")
    options = {**card.options, "flip": False, "longest_side": 64}
    return replace(card, options=options, bundled={"pack": weights_file(folder)})


def weights_file(folder: Path) -> Path:
    """Write the drawn weights of ritm-mini as a card could bundle them."""
    from isbench.nn.runtime.compute import load_networks

    card, path = load_card("ritm-mini"), folder / "ritm-mini.safetensors"
    assert card.networks is not None
    networks = load_networks(partial(card.networks, **card.options), Runtime())
    state = networks["network"].state_dict()
    save_file({key: value.contiguous().clone() for key, value in state.items()}, path)
    return path


def networked(folder: Path) -> store.Run:
    """Return a short run of a small network with drawn weights on the sample."""
    model = eager("ritm-mini", flip="off", longest_side="64")
    return runner.run(model, load_dataset("sample", limit=2), Rules(2, 1.01), out=folder)


def rewritten(run: store.Run, change: Callable[[Any], None]) -> store.Run:
    """Change the records of a sealed run's games in its file, and return it as it is then."""
    spec, *games = gzip.decompress(run.path.read_bytes()).splitlines()
    records = [json.loads(game) for game in games]
    for record in records:
        change(record)
    lines = [spec, *(json.dumps(record).encode() for record in records), b""]
    run.path.write_bytes(gzip.compress(b"\n".join(lines)))
    return store.read(run.path)
