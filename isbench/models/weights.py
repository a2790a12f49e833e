"""Which weights a network is played with: by name from their publisher, from a file, or by lot.

Not here: what is in a file (`nn.checkpoint`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from platformdirs import user_data_path

from isbench.datasets.fingerprints import digest_file
from isbench.errors import IsbenchError, unknown
from isbench.files.download import fetch
from isbench.types import File, Model, Runtime

RANDOM = "random"

# told which file and (bytes so far, bytes in all or None)
Progress = Callable[[File, int, int | None], None]


def load_weights(
    model: Model,
    weights: str | None = None,
    runtime: Runtime = Runtime(),
    progress: Progress = lambda file, done, total: None,
) -> Model:
    """Return the card of a network with its runtime: weights found, or fetched, and hashed.

    `weights` is a bundled or published name, one file or several joined by commas, or `random`;
    None takes the first bundled ones, else the only published ones. A model without a network is
    returned as it is. Raises IsbenchError for weights that are not there, saying what there is.
    """
    if model.network is None:
        return model
    if weights == RANDOM:
        return replace(model, runtime=replace(runtime, weights=(), digest=RANDOM))
    if weights is None:
        weights = _only(model)
    if weights in model.bundled:
        paths = [model.bundled[weights]]
    elif weights in model.weights:
        file = model.weights[weights]
        told = partial(progress, file)
        paths = [fetch(file, weights_folder(), told, "pass a file by --weights FILE")]
    elif Path(weights).is_file():
        paths = [Path(weights)]
    else:
        paths = [_path(model, name) for name in weights.split(",")]
    digest = "+".join(map(digest_file, paths))
    return replace(model, runtime=replace(runtime, weights=tuple(paths), digest=digest))


def weight_names(model: Model) -> tuple[str, ...]:
    """Return the names that a model's weights go by."""
    return (*model.bundled, *model.weights, RANDOM)


def weights_folder() -> Path:
    """Return where published weights are kept on this machine."""
    return user_data_path("isbench", appauthor=False) / "weights"


def _only(model: Model) -> str:
    if model.bundled or len(model.weights) == 1:
        return next(iter((*model.bundled, *model.weights)))
    if model.weights:
        raise IsbenchError(
            f"model {model.name} has the weights {', '.join(model.weights)}: choose by --weights "
            "NAME, or pass a file by --weights FILE"
        )
    why = model.unreleased or "no weights of it were ever released"
    trained = f"train it by `isbench train {model.name} --data PATH`, then " if model.recipe else ""
    raise IsbenchError(
        f"model {model.name} needs weights: {why}; {trained}pass a file by --weights FILE, or play "
        f"an untrained network by --weights {RANDOM}"
    )


def _path(model: Model, name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix or path.parent != Path():
        raise IsbenchError(f"there are no weights {name}; wanted a file, or one of {_known(model)}")
    raise unknown(f"weights of {model.name}", name, weight_names(model))


def _known(model: Model) -> str:
    return ", ".join(weight_names(model))
