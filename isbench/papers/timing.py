"""How long a model takes for a click on this machine: from recorded runs, or by playing two clicks.

A time that was not measured is None; nothing is derived from costs or from other machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from isbench.datasets import load_dataset
from isbench.datasets.loading import load_sample
from isbench.errors import IsbenchError
from isbench.evaluation import engine
from isbench.evaluation.replay import open_predictor
from isbench.evaluation.spec import with_dataset_defaults
from isbench.models.loading import load_model
from isbench.models.weights import RANDOM
from isbench.papers.candidates import Candidate
from isbench.reporting.machine_load import Load, warn_of_load
from isbench.storage import store
from isbench.storage.environment import LoadMeter, describe_processor
from isbench.storage.processors import find_processor, is_on_processor
from isbench.storage.store import Run, list_seconds
from isbench.types import Rules

_CLICKS = 2  # from the second click on, many models see a crop, as in the rest of a game


class Timing(NamedTuple):
    """Seconds of a click and of an image's encoding, and where they were measured."""

    click: float
    image: float | None  # None in recorded runs, which contain the time of clicks only
    origin: str


def find_timing(runs: Iterable[Run], candidate: Candidate, dataset: str) -> Timing | None:
    """Return the mean seconds of a click in runs of this machine, None without such a run.

    Runs with the candidate's options count that were computed as the command of a row computes
    them, with any weights and any number of objects. Those on the data set come first, and of
    several the one with the most clicks.
    """
    found = [run for run in runs if _is_timed_here(run) and _is_played_by(run, candidate)]
    if not found:
        return None
    run = max(found, key=lambda run: (run.spec.dataset == dataset, len(list_seconds(run))))
    digest = store.parse_digest(run.path)
    origin = f"run {digest} on {run.spec.dataset}, without the encoding of images"
    return Timing(float(np.mean(list_seconds(run))), None, origin)


def measure_timing(candidate: Candidate, note: Callable[[str], None]) -> Timing | None:
    """Play two clicks on an object of the sample and return the seconds of the second one.

    Networks have random weights. Returns None, and calls `note`, for a model that cannot be played.
    """
    card = candidate.card
    weights, backend = (None, "auto") if card.networks is None else (RANDOM, "eager")
    try:
        dataset = load_dataset("sample", limit=1)
        model = load_model(card, candidate.options, weights, backend=backend)
        sample, meter = load_sample(dataset, dataset.keys[0]), LoadMeter()
        with open_predictor(with_dataset_defaults(model, dataset)) as predictor:
            start = perf_counter()
            (game,) = engine.play(predictor, [sample], Rules(_CLICKS, 1.01))
            whole = perf_counter() - start
    except IsbenchError as error:
        note(f"{card.name} is not measured: {error}")
        return None
    rows, columns = sample.truth.shape
    words = "" if card.networks is None else " with random weights"
    load = meter.read()
    caution = warn_of_load(Load(**load) if load else None)  # type: ignore[arg-type]
    parts = (f"click {_CLICKS} on an image of {columns}x{rows}{words}", caution)
    origin = "; ".join(part for part in parts if part)
    return Timing(game.seconds[-1], whole - sum(game.seconds), origin)


def _is_timed_here(run: Run) -> bool:
    """Whether the clicks of a run were timed on this machine's processor."""
    on_processor = run.spec.backend is None or is_on_processor(run)
    return bool(list_seconds(run)) and on_processor and find_processor(run) == describe_processor()


def _is_played_by(run: Run, candidate: Candidate) -> bool:
    """Whether a run played the candidate as the command of its row does."""
    spec = run.spec
    settings = spec.backend is None or (
        spec.backend.startswith("eager-") and (spec.precision, spec.threads) == ("fp32", 1)
    )
    if spec.model != candidate.card.name or not settings:
        return False
    try:
        options = candidate.list_options(run.spec.dataset)
    except IsbenchError:  # a data set of the user
        options = candidate.options
    return dict(run.spec.options) == dict(options)
