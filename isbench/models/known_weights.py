"""Weight files on this machine with a known sha256: bundled, downloaded, or published with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from isbench.errors import IsbenchError
from isbench.files.digests import describe_mismatch, digest_file
from isbench.models.registry import describe_missing_library, list_model_names, load_card
from isbench.models.weights import (
    NO_WEIGHTS,
    RANDOM,
    describe_manual_download,
    find_weights_folder,
    make_mismatch_error,
)
from isbench.types import File, ModelCard


class Weights(NamedTuple):
    """Named weights: their sha256, and the file if it is available."""

    name: str
    digest: str
    path: Path | None


def list_weights(card: ModelCard) -> tuple[Weights, ...]:
    """Return the weights of a card with a known sha256: bundled, downloaded, or published with one.

    Raises IsbenchError for a bundled file that cannot be read, and for a downloaded file that
    differs from the published one.
    """
    bundled = (Weights(name, _digest(path), path) for name, path in card.bundled.items())
    published = []
    for name, file in card.weights.items():
        path = find_weights_folder() / file.name
        if path.is_file():
            published.append(Weights(name, _digest_fetched(card, name), path))
        elif file.sha256:
            published.append(Weights(name, file.sha256, None))
    return (*bundled, *published)


def describe_readiness(card: ModelCard) -> str:
    """Return "ready", or what a model needs before it plays with its default options.

    Raises IsbenchError like `list_weights`.
    """
    if missing := describe_missing_library(card):
        return missing
    if card.networks is None:
        return "ready"
    here = [weights.name for weights in list_weights(card) if weights.path is not None]
    if card.bundled:
        return "ready"
    if card.weights:
        return _describe_published(card, here)
    reason = card.unreleased or NO_WEIGHTS
    return f"no weights: {reason}; it needs `--weights FILE`, or `--weights {RANDOM}` for a trial"


def _describe_published(card: ModelCard, here: Sequence[str]) -> str:
    """Return whether the published weights are on this machine, and how to choose or get them."""
    absent = [name for name in card.weights if name not in here]
    if not absent and len(here) == 1:
        return "ready"
    states = [f"ready with {_join_options(here, {})}"] if here else []
    if mirrored := [name for name in absent if card.weights[name].urls]:
        states.append(f"needs a download, with {_join_options(mirrored, card.weights)}")
    states += [
        f"for `--weights {name}` {describe_manual_download(card.weights[name])}"
        for name in absent
        if not card.weights[name].urls
    ]
    return "; ".join(states)


def _join_options(names: Sequence[str], files: Mapping[str, File]) -> str:
    """Return the options that choose weights, each with the size of its file if that is known."""
    sizes = {name: file.size for name, file in files.items() if file.size is not None}
    return " or ".join(
        f"`--weights {name}`" + (f" ({sizes[name] / 1e6:.0f} MB)" if name in sizes else "")
        for name in names
    )


def find_weights(card: ModelCard, digest: str) -> tuple[Path, ...]:
    """Return the weight files with these sha256, joined by "+"; raises IsbenchError if missing.

    Files of other cards with the same digest count too.
    """
    files, fault = _find_files(card)
    for other in filter(None, map(_load_or_none, list_model_names())):
        files |= _find_files(other)[0]  # a damaged file of another model costs this one nothing
    wanted = digest.split("+")
    missing = [part[:12] for part in wanted if part not in files]
    if missing and fault is not None:
        raise fault
    if missing:
        raise IsbenchError(
            f"weights {', '.join(missing)} of {card.name} are not available; wanted a bundled or "
            f"downloaded file: `isbench models {card.name}` says where published ones are"
        )
    return tuple(files[part] for part in wanted)


def _find_files(card: ModelCard) -> tuple[dict[str, Path], IsbenchError | None]:
    """Return the weight files of a card by sha256, or none and why they cannot be listed."""
    try:
        return {w.digest: w.path for w in list_weights(card) if w.path is not None}, None
    except IsbenchError as error:
        return {}, error


def list_bundling_models() -> tuple[str, ...]:
    """Return the installed models that come with weights."""
    return tuple(
        card.name for card in map(_load_or_none, list_model_names()) if card and card.bundled
    )


def _load_or_none(name: str) -> ModelCard | None:
    try:
        return load_card(name)
    except IsbenchError:  # a third-party card that cannot be imported has no row
        return None


def _digest_fetched(card: ModelCard, name: str) -> str:
    """Return the sha256 of downloaded weights; raises IsbenchError if they are not as published."""
    file = card.weights[name]
    path = find_weights_folder() / file.name
    digest = _digest(path)
    if differs := _differs(file, path, *_read_stat(path)):
        raise make_mismatch_error(card, name, differs)
    return digest


def _digest(path: Path) -> str:
    return _hash(path, *_read_stat(path))


def _read_stat(path: Path) -> tuple[int, int]:
    """Return a file's size and modification time."""
    try:
        stat = path.stat()
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    return stat.st_size, stat.st_mtime_ns


# cached as long as a file is unchanged


@cache
def _hash(path: Path, size: int, changed: int) -> str:
    return digest_file(path)


@cache
def _differs(file: File, path: Path, size: int, changed: int) -> str:
    return describe_mismatch(file, path)
