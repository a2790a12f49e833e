"""Validation during training: games of the card with the current weights, as in `isbench run`."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from isbench.errors import IsbenchError
from isbench.evaluation.engine import play
from isbench.evaluation.job import check_model
from isbench.evaluation.spec import with_dataset_defaults
from isbench.metrics import USUAL_TARGETS, clicks_to, curves
from isbench.models.predictor import build_model, build_predictor
from isbench.models.weights import load_weights
from isbench.training.weights import save_weights
from isbench.types import LoadedModel, Rules, Runtime, Trajectory

if TYPE_CHECKING:
    from isbench.training.training_run import TrainingRun

TARGETS = USUAL_TARGETS
SHOWN = (1, 2, 3, 5, 10, 20)  # clicks after which the mean IoU is reported


class Scores(NamedTuple):
    """The scores of a validation."""

    noc: tuple[float, ...]  # mean NoC at each of TARGETS
    iou: tuple[float, ...]  # mean IoU after each of SHOWN clicks, nan after more than were played
    objects: int
    seconds: float

    def figures(self) -> dict[str, float]:
        """Return the scores by name, nan for an IoU after more clicks than were played."""
        nocs = {f"noc{100 * t:.0f}": noc for t, noc in zip(TARGETS, self.noc, strict=True)}
        return nocs | {f"iou{k}": iou for k, iou in zip(SHOWN, self.iou, strict=True)}


def is_wanted(run: TrainingRun) -> bool:
    """Return whether the recipe asks for validations."""
    return bool(run.recipe.checks.validation and run.recipe.checks.objects)


def check_playable(run: TrainingRun) -> None:
    """Raise IsbenchError unless the card's predictor, with these weights, answers a click."""
    with _provide_mean_model(run) as model:
        try:
            check_model(build_model(model))
        except IsbenchError as error:
            raise IsbenchError(
                f"validation cannot play {model.name}: {error}; or train without validation, with "
                "checks.validation=0"
            ) from error


def play_games(run: TrainingRun) -> Generator[Trajectory, None, None]:
    """Play the held-out objects with the running mean of a run; yield the games as they finish."""
    with _provide_mean_model(run) as model:
        predictor = build_predictor(model)
    rules = Rules(max_clicks=run.recipe.checks.clicks, stop_iou=max(TARGETS))
    objects = run.validation_objects
    for game in play(predictor, map(objects.load, objects.keys), rules):
        yield game.trajectory


def score_games(run: TrainingRun, games: Sequence[Trajectory], seconds: float) -> Scores:
    """Return the scores of all games of a validation, which took `seconds`.

    Raises IsbenchError if every object is empty.
    """
    checks = run.recipe.checks
    iou = curves(games, checks.clicks)
    iou = iou[~np.isnan(iou).any(axis=1)]  # an empty object has no IoU
    if not len(iou):
        raise IsbenchError(
            "all held-out objects of the validation are empty; set checks.validation=0, or use "
            "other data",
            setting="settings",
        )
    return Scores(
        tuple(float(clicks_to(iou, target).mean()) for target in TARGETS),
        tuple(float(iou[:, k - 1].mean()) if k <= checks.clicks else math.nan for k in SHOWN),
        len(iou),
        seconds,
    )


@contextmanager
def _provide_mean_model(run: TrainingRun) -> Iterator[LoadedModel]:
    """Yield the model with the running mean as its weights, saved to a file as for release."""
    runtime = Runtime(
        device=str(run.processes.device),
        threads=torch.get_num_threads(),
        gradients=run.model.card.gradients,
    )
    with TemporaryDirectory(prefix=".validation-", dir=run.out) as folder:
        path = Path(folder) / "mean.safetensors"
        save_weights(run.mean, path, {})
        runtime = load_weights(run.model.card, str(path), runtime)
        yield with_dataset_defaults(replace(run.model, runtime=runtime), run.validation_objects)
