"""Selects the weights of a network: by name, from a file, or randomly initialised.

Not here: reading a file into a network (`isbench.nn.runtime.checkpoint`).
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

# called with the file, the bytes so far, and the total or None
Progress = Callable[[File, int, int | None], None]


def load_weights(
    model: Model,
    weights: str | None = None,
    runtime: Runtime = Runtime(),
    progress: Progress = lambda file, done, total: None,
) -> Model:
    """Return the card of a network with its runtime, its weights found or downloaded, and hashed.

    Parameters
    ----------
    model : Model
        A card; one without a network is returned unchanged.
    weights : str or None
        A bundled or published name, one or several comma-separated files, or `random`. None selects
        the first bundled weights, or the published ones if there is only one set.
    runtime : Runtime
        How the network is computed.
    progress : callable
        Called during a download.

    Returns
    -------
    Model
        The card with `runtime.weights` and `runtime.digest` set.

    Raises
    ------
    IsbenchError
        For weights that do not exist; the message lists those that do.
    """
    if model.network is None:
        return model
    if weights == RANDOM:
        return replace(model, runtime=replace(runtime, weights=(), digest=RANDOM))
    if weights is None:
        weights = _default_weights(model)
    if weights in model.bundled:
        paths = [model.bundled[weights]]
    elif weights in model.weights:
        file = model.weights[weights]
        on_progress = partial(progress, file)
        paths = [fetch(file, weights_folder(), on_progress, "pass a file with --weights FILE")]
    elif Path(weights).is_file():
        paths = [Path(weights)]
    else:
        paths = [_find_file(model, name) for name in weights.split(",")]
    digest = "+".join(map(digest_file, paths))
    return replace(model, runtime=replace(runtime, weights=tuple(paths), digest=digest))


def weight_names(model: Model) -> tuple[str, ...]:
    """Return the names of a model's weights."""
    return (*model.bundled, *model.weights, RANDOM)


def weights_folder() -> Path:
    """Return the folder of downloaded weights."""
    return user_data_path("isbench", appauthor=False) / "weights"


def _default_weights(model: Model) -> str:
    if model.bundled or len(model.weights) == 1:
        return next(iter((*model.bundled, *model.weights)))
    if model.weights:
        raise IsbenchError(
            f"model {model.name} has the weights {', '.join(model.weights)}: choose one with "
            "--weights NAME, or pass a file with --weights FILE"
        )
    reason = model.unreleased or "its weights were never released"
    hint = f"train it with `isbench train {model.name} --data PATH`, then " if model.recipe else ""
    raise IsbenchError(
        f"model {model.name} needs weights: {reason}; {hint}pass a file with --weights FILE, or "
        f"use an untrained network with --weights {RANDOM}"
    )


def _find_file(model: Model, name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix or path.parent != Path():
        raise IsbenchError(
            f"there are no weights {name}; wanted a file, or one of {_list_names(model)}"
        )
    raise unknown(f"weights of {model.name}", name, weight_names(model))


def _list_names(model: Model) -> str:
    return ", ".join(weight_names(model))
