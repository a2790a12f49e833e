"""Selects the weights of a network: by name, from a file, or randomly initialised.

Not here: reading a file into a network (`isbench.nn.runtime.checkpoint`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from platformdirs import user_data_path

from isbench.errors import IsbenchError, Remedy, make_unknown_error
from isbench.files.digests import describe_mismatch, digest_file
from isbench.files.home import expand_home
from isbench.types import File, ModelCard, Runtime

RANDOM = "random"
NO_WEIGHTS = "it comes without any"  # of a card that says nothing else
_REMEDY = Remedy("pass a file as `weights`", "weights")

# called with the file, the bytes so far, and the total or None
Progress = Callable[[File, int, int | None], None]


def load_weights(
    card: ModelCard,
    weights: str | None = None,
    runtime: Runtime = Runtime(),
    progress: Progress = lambda file, done, total: None,
) -> Runtime:
    """Return the runtime of a card's networks with its weights found or downloaded, and hashed.

    Parameters
    ----------
    card : ModelCard
        A card with networks.
    weights : str or None
        A bundled or published name, one or several comma-separated files, or `random`. None selects
        the first bundled weights, or the published ones if there is only one set.
    runtime : Runtime
        How the networks are computed.
    progress : callable
        Called during a download.

    Returns
    -------
    Runtime
        With `weights` and `digest` set.

    Raises
    ------
    IsbenchError
        For weights that do not exist; the message lists those that do. For published ones that
        have no mirror and were not saved in `find_weights_folder()`; the message says where they
        are.
    """
    if weights == RANDOM:
        return replace(runtime, weights=(), digest=RANDOM)
    if weights is None:
        weights = _choose_default(card)
    if weights in card.bundled:
        paths = [card.bundled[weights]]
    elif weights in card.weights:
        paths = [_get_published(card, weights, progress)]
    elif expand_home(weights, "weights").is_file():
        paths = [expand_home(weights, "weights")]
    else:
        paths = [_find_file(card, name) for name in weights.split(",")]
    digest = "+".join(map(digest_file, paths))
    return replace(runtime, weights=tuple(paths), digest=digest)


def list_weight_names(card: ModelCard) -> tuple[str, ...]:
    """Return the names of a model's weights."""
    return (*card.bundled, *card.weights, RANDOM)


def find_weights_folder() -> Path:
    """Return the folder of downloaded weights."""
    return user_data_path("isbench", appauthor=False) / "weights"


def describe_manual_download(file: File) -> str:
    """Return which file a person has to download, and where its authors keep it."""
    size = "" if file.size is None else f" ({file.size:,} bytes)"
    return f"download {file.name}{size} by hand from {file.page or 'its authors'}"


def suggest_download(card: ModelCard, name: str) -> str:
    """Return a command that downloads weights, and plays one object with them."""
    return f"`isbench run --model {card.name} --weights {name} --dataset sample --limit 1`"


def make_mismatch_error(card: ModelCard, name: str, mismatch: str) -> IsbenchError:
    """Return the error for a downloaded file that is not the published one."""
    file = card.weights[name]
    remedy = f"{describe_manual_download(file)} again"
    if file.urls:
        remedy = f"download it again with {suggest_download(card, name)}"
    return IsbenchError(
        f"weights {name} of {card.name} in {find_weights_folder() / file.name} are not as "
        f"published: {mismatch}; delete the file and {remedy}"
    )


def _get_published(card: ModelCard, name: str, progress: Progress) -> Path:
    """Return the local copy of published weights, downloaded if they have a mirror."""
    file = card.weights[name]
    path = find_weights_folder() / file.name
    if path.exists() and not path.is_file():
        raise IsbenchError(
            f"{path} is not a file, but the place of weights {name} of {card.name}; remove it, or "
            "pass a file as `weights`",
            setting=_REMEDY.setting,
        )
    if file.urls:
        from isbench.files.download import fetch  # imports requests, which is slow

        return fetch(file, find_weights_folder(), partial(progress, file), _REMEDY)
    if not path.is_file():
        raise IsbenchError(
            f"weights {name} of {card.name} have no mirror: {describe_manual_download(file)}, then "
            f"pass the file as `weights`, or save it as {path} to use it by name",
            setting=_REMEDY.setting,
        )
    if mismatch := describe_mismatch(file, path):
        raise make_mismatch_error(card, name, mismatch)
    return path


def _choose_default(card: ModelCard) -> str:
    if card.default_weights is not None:
        return card.default_weights
    if card.weights:
        raise IsbenchError(
            f"model {card.name} has the weights {', '.join(card.weights)}: choose one, "
            "or pass a file as `weights`",
            setting="weights",
        )
    reason = card.unreleased or NO_WEIGHTS
    hint = f"train it with `isbench train {card.name} --data PATH`, then " if card.recipe else ""
    raise IsbenchError(
        f"model {card.name} needs weights: {reason}; {hint}pass a file as `weights`, or {RANDOM} "
        "for an untrained network",
        setting="weights",
    )


def _find_file(card: ModelCard, name: str) -> Path:
    path = expand_home(name, "weights")
    if path.is_file():
        return path
    if name and path.is_dir():
        raise IsbenchError(
            f"{name} is a folder; wanted a file of weights, such as weights.safetensors in the "
            "folder of a training",
            setting="weights",
        )
    if path.suffix or path.parent != Path():
        raise IsbenchError(
            f"there are no weights {name}; wanted a file, or one of {_list_names(card)}",
            setting="weights",
        )
    raise make_unknown_error(f"weights of {card.name}", name, list_weight_names(card), "weights")


def _list_names(card: ModelCard) -> str:
    return ", ".join(list_weight_names(card))
