"""The model that plays for a table row on this machine: its card and the weights that count.

Not here: playing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from isbench.datasets import ENTRIES
from isbench.datasets.fingerprints import digest_file
from isbench.errors import IsbenchError
from isbench.evaluation.spec import LEFT_TO_DATA
from isbench.files.download import describe_mismatch
from isbench.models.registry import load_model, model_names, with_options
from isbench.models.weights import weights_folder
from isbench.papers.rows import Row
from isbench.types import File, Model, Scalar


class Weights(NamedTuple):
    """Named weights: their sha256, and the file if it is available."""

    name: str
    digest: str
    path: Path | None


@dataclass(frozen=True)
class Candidate:
    """A card with a row's options, and the weights whose runs count for the row."""

    card: Model
    weights: tuple[Weights, ...] = ()
    any_trained: bool = False  # no weights are named: runs with any weights but random ones count
    why_not: str = field(default="", compare=False)  # the reason if it cannot be played here

    def options_on(self, dataset: str) -> Mapping[str, Scalar]:
        """Return the options as a run on the data set records them."""
        left = {
            name: getattr(ENTRIES[dataset], name, 0)  # no catalogued data set downscales its images
            for name, value in LEFT_TO_DATA.items()
            if self.card.options.get(name) == value
        }
        return {**self.card.options, **left}


def find_candidate(row: Row) -> Candidate | None:
    """Return the candidate of a row, None if isbench has no such model."""
    if row.model not in model_names():
        return None
    return make_candidate(with_options(load_model(row.model), dict(row.options)), row)


def make_candidate(card: Model, row: Row) -> Candidate:
    """Return the row's candidate with this card."""
    if card.network is None:
        return Candidate(card)
    known = {weights.name: weights for weights in list_weights(card)}
    if row.weights:
        matching = tuple(known[name] for name in (row.weights,) if name in known)
        why_not = "" if _has_file(matching) else _explain_missing(card, row)
        return Candidate(card, matching, why_not=why_not)
    matching = tuple(known[name] for name in list(card.bundled)[:1])
    why_not = "" if matching else "its weights do not come with isbench"
    return Candidate(card, matching, any_trained=not matching, why_not=why_not)


def list_weights(card: Model) -> tuple[Weights, ...]:
    """Return the weights of a card with a known sha256: bundled, downloaded, or published with one.

    Raises IsbenchError for a bundled file that cannot be read, and for a downloaded file that
    differs from the published one.
    """
    bundled = (Weights(name, _digest(path), path) for name, path in card.bundled.items())
    published = []
    for name, file in card.weights.items():
        path = weights_folder() / file.name
        if path.is_file():
            published.append(Weights(name, _digest_fetched(card, name), path))
        elif file.sha256:
            published.append(Weights(name, file.sha256, None))
    return (*bundled, *published)


def find_weights(card: Model, digest: str) -> tuple[Path, ...]:
    """Return the weight files with these sha256, joined by "+"; raises IsbenchError if missing.

    Files of other cards with the same digest count too.
    """
    cards = [card, *filter(None, map(_load_or_none, model_names()))]
    files = {w.digest: w.path for one in cards for w in list_weights(one) if w.path is not None}
    wanted = digest.split("+")
    missing = [part[:12] for part in wanted if part not in files]
    if missing:
        raise IsbenchError(
            f"weights {', '.join(missing)} of {card.name} are not available; wanted a bundled or "
            "downloaded file: `isbench run --weights NAME` downloads published ones"
        )
    return tuple(files[part] for part in wanted)


def list_bundling_models() -> tuple[str, ...]:
    """Return the installed models that come with weights."""
    return tuple(card.name for card in map(_load_or_none, model_names()) if card and card.bundled)


def find_candidates(rows: Sequence[Row]) -> Mapping[Row, Candidate | None]:
    """Return the candidate of each row."""
    return {row: find_candidate(row) for row in rows}


def _load_or_none(name: str) -> Model | None:
    try:
        return load_model(name)
    except IsbenchError:  # a third-party card that cannot be imported has no row
        return None


def _explain_missing(card: Model, row: Row) -> str:
    """Return why the weights that a row names are not available."""
    if row.weights in card.weights:
        return f"`isbench run --model {card.name} --weights {row.weights}` downloads its weights"
    if not row.system:
        return f"weights {row.weights} do not come with isbench"
    return card.unreleased or "its weights were never released"


def _has_file(weights: Sequence[Weights]) -> bool:
    return any(one.path is not None for one in weights)


def _digest_fetched(card: Model, name: str) -> str:
    """Return the sha256 of downloaded weights; raises IsbenchError if they are not as published."""
    file = card.weights[name]
    path = weights_folder() / file.name
    digest = _digest(path)
    differs = _differs(file, path, *_stat(path))
    if differs:
        raise IsbenchError(
            f"weights {name} of {card.name} in {path} are not as published: {differs}; delete the "
            f"file and download it again with `isbench run --model {card.name} --weights {name}`"
        )
    return digest


def _digest(path: Path) -> str:
    return _hash(path, *_stat(path))


def _stat(path: Path) -> tuple[int, int]:
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
