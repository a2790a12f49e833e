"""The model that plays for a table row on this machine: its card and the weights that count.

Not here: playing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from isbench.datasets.registry import load_dataset_card
from isbench.errors import IsbenchError
from isbench.evaluation.spec import fill_options, record_options
from isbench.models.known_weights import Weights, list_weights
from isbench.models.registry import (
    describe_missing_library,
    list_model_names,
    load_card,
    parse_options,
)
from isbench.models.weights import (
    NO_WEIGHTS,
    describe_manual_download,
    find_weights_folder,
    suggest_download,
)
from isbench.papers.register import NO_REGISTER, Register, TrainedWeights
from isbench.papers.rows import Row
from isbench.types import ModelCard, Scalar


@dataclass(frozen=True)
class Candidate:
    """A card and a row's options, and the weights whose runs count for the row."""

    card: ModelCard
    options: Mapping[str, Scalar] = field(default_factory=dict)  # all of them
    weights: tuple[Weights, ...] = ()
    any_trained: bool = False  # no weights are named: runs with any weights but random ones count
    why_not: str = field(default="", compare=False)  # the reason if it cannot be played here

    def list_options(self, dataset: str) -> Mapping[str, Scalar]:
        """Return the options as a run on the data set records them."""
        filled = fill_options(self.options, load_dataset_card(dataset))
        return record_options(self.card, filled)


def find_candidate(row: Row, register: Register = NO_REGISTER) -> Candidate | None:
    """Return the candidate of a row, None if isbench has no such model.

    The register names weights that do not come with isbench.

    Raises IsbenchError for a model that cannot be imported, and for weights that are damaged.
    """
    if row.model not in list_model_names():
        return None
    return make_candidate(load_card(row.model), row, register)


def explain_no_model(row: Row) -> str:
    """Return why a row has no candidate."""
    if not row.model:
        return "the paper does not say which network this is"
    return f"isbench has no model named {row.model}"


def make_candidate(card: ModelCard, row: Row, register: Register = NO_REGISTER) -> Candidate:
    """Return the row's candidate with this card."""
    options, missing = parse_options(card, dict(row.options)), describe_missing_library(card)
    if card.networks is None:
        return Candidate(card, options, why_not=missing)
    known = {weights.name: weights for weights in list_weights(card)}
    if row.weights:
        trained = register.find_weights(card.name, row.weights)
        if trained is not None:  # weights that come with isbench count before the register
            known.setdefault(row.weights, Weights(row.weights, trained.digest, None))
        matching = tuple(known[name] for name in (row.weights,) if name in known)
        why_not = "" if _has_file(matching) else _explain_missing(card, row, trained)
        return Candidate(card, options, matching, why_not=missing or why_not)
    matching = (known[card.default_weights],) if card.bundled and card.default_weights else ()
    why_not = missing or ("" if matching else "its weights do not come with isbench")
    return Candidate(card, options, matching, any_trained=not matching, why_not=why_not)


class Candidates(NamedTuple):
    """The candidate of each row, None without one, and why the models of some are unusable."""

    found: Mapping[Row, Candidate | None]
    faults: Mapping[Row, str]


def find_candidates(rows: Sequence[Row], register: Register = NO_REGISTER) -> Candidates:
    """Return the candidate of each row: a model that is unusable costs its own row only."""
    found: dict[Row, Candidate | None] = {}
    faults: dict[Row, str] = {}
    for row in rows:
        try:
            found[row] = find_candidate(row, register)
        except IsbenchError as error:  # a package that is broken, or damaged weights
            found[row], faults[row] = None, str(error)
    return Candidates(found, faults)


def _explain_missing(card: ModelCard, row: Row, trained: TrainedWeights | None) -> str:
    """Return why the weights that a row names are not available."""
    if row.weights in card.weights:
        file = card.weights[row.weights]
        if not file.urls:
            return f"{describe_manual_download(file)} and save it in {find_weights_folder()}"
        return f"{suggest_download(card, row.weights)} downloads its weights"
    if trained is not None:
        return f"weights {row.weights} do not come with isbench; `{trained.command}` trains them"
    if not row.system:
        return f"weights {row.weights} do not come with isbench"
    return card.unreleased or NO_WEIGHTS


def _has_file(weights: Sequence[Weights]) -> bool:
    return any(one.path is not None for one in weights)
