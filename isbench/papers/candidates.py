"""Who plays for a row on this machine: its card, and the files of weights that count.

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
    """Weights that go by a name: their sha256, and the file where it is at hand."""

    name: str
    digest: str
    path: Path | None


@dataclass(frozen=True)
class Candidate:
    """A card with a row's options, and the weights whose runs count for the row."""

    card: Model
    weights: tuple[Weights, ...] = ()
    any_trained: bool = False  # no weights are named: runs of whatever weights count, but random
    why_not: str = field(default="", compare=False)  # it cannot be played here

    def options_on(self, dataset: str) -> Mapping[str, Scalar]:
        """Return the options as a run on the data set records them."""
        left = {
            name: getattr(ENTRIES[dataset], name, 0)  # no named set scales its images down
            for name, value in LEFT_TO_DATA.items()
            if self.card.options.get(name) == value
        }
        return {**self.card.options, **left}


def find_candidate(row: Row) -> Candidate | None:
    """Return who plays for a row; None where isbench has no such model."""
    if row.model not in model_names():
        return None
    return make_candidate(with_options(load_model(row.model), dict(row.options)), row)


def make_candidate(card: Model, row: Row) -> Candidate:
    """Return a card as the row's entrant."""
    if card.network is None:
        return Candidate(card)
    known = {weights.name: weights for weights in list_weights(card)}
    if row.weights:
        counting = tuple(known[name] for name in (row.weights,) if name in known)
        why_not = "" if _playable(counting) else _lacking(card, row)
        return Candidate(card, counting, why_not=why_not)
    counting = tuple(known[name] for name in list(card.bundled)[:1])
    why_not = "" if counting else "no weights of it come with isbench"
    return Candidate(card, counting, any_trained=not counting, why_not=why_not)


def list_weights(card: Model) -> tuple[Weights, ...]:
    """Return the weights of a card whose sha256 is known: bundled, fetched, or published with it.

    Raises IsbenchError for a bundled file that cannot be read, and for a fetched one that is not
    what was published.
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
    """Return the files of a card's weights with these sha256, joined by "+"; IsbenchError if not.

    What goes by the digest of another card of the same network counts too.
    """
    cards = [card, *filter(None, map(_load, model_names()))]
    files = {w.digest: w.path for one in cards for w in list_weights(one) if w.path is not None}
    wanted = digest.split("+")
    lacking = [part[:12] for part in wanted if part not in files]
    if lacking:
        raise IsbenchError(
            f"weights {', '.join(lacking)} of {card.name} are not at hand; wanted a file that "
            "comes with isbench or was fetched: `isbench run --weights NAME` fetches published ones"
        )
    return tuple(files[part] for part in wanted)


def list_bundling_models() -> tuple[str, ...]:
    """Return the installed models that come with weights."""
    return tuple(card.name for card in map(_load, model_names()) if card and card.bundled)


def find_candidates(rows: Sequence[Row]) -> Mapping[Row, Candidate | None]:
    """Return who plays for each row."""
    return {row: find_candidate(row) for row in rows}


def _load(name: str) -> Model | None:
    try:
        return load_model(name)
    except IsbenchError:  # a stranger's card that cannot be imported is no row of ours
        return None


def _lacking(card: Model, row: Row) -> str:
    """Return why a row cannot be played without the weights that it names."""
    if row.weights in card.weights:
        return f"`isbench run --model {card.name} --weights {row.weights}` fetches its weights"
    if not row.system:
        return f"no weights {row.weights} come with isbench"
    return card.unreleased or "no weights of it were ever released"


def _playable(weights: Sequence[Weights]) -> bool:
    return any(one.path is not None for one in weights)


def _digest_fetched(card: Model, name: str) -> str:
    """Return the sha256 of fetched weights; raises IsbenchError unless they are the published."""
    file = card.weights[name]
    path = weights_folder() / file.name
    found = _digest(path)
    differs = _differs(file, path, *_as_it_is(path))
    if differs:
        raise IsbenchError(
            f"weights {name} of {card.name} in {path} are not those published: {differs}; delete "
            f"the file, and `isbench run --model {card.name} --weights {name}` fetches it anew"
        )
    return found


def _digest(path: Path) -> str:
    return _hash(path, *_as_it_is(path))


def _as_it_is(path: Path) -> tuple[int, int]:
    """Return a file's size and when it last changed."""
    try:
        stat = path.stat()
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    return stat.st_size, stat.st_mtime_ns


# read once for as long as a file stays as it is


@cache
def _hash(path: Path, size: int, changed: int) -> str:
    return digest_file(path)


@cache
def _differs(file: File, path: Path, size: int, changed: int) -> str:
    return describe_mismatch(file, path)
