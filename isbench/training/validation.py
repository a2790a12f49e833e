"""How good a network is by now: a real run of it on a few held-out objects, by the engine."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from isbench.engine import play
from isbench.metrics import clicks_to, curves
from isbench.nn.predictor import Passing, View, mask_guided
from isbench.nn.zoom import Zoom
from isbench.training.recipe import Checks
from isbench.types import Dataset, Rules, Runtime

TARGETS = (0.80, 0.85, 0.90)
SHOWN = (1, 2, 3, 5, 10, 20)  # clicks after which the mean IoU is told
_THRESHOLD = 0.49


class Scores(NamedTuple):
    """What a validation found."""

    noc: tuple[float, ...]  # mean clicks to each of TARGETS
    iou: tuple[float, ...]  # mean after each of SHOWN clicks, games ending at 0.90
    objects: int
    seconds: float

    def figures(self) -> dict[str, float]:
        """Return the figures by name."""
        nocs = {f"noc{100 * t:.0f}": noc for t, noc in zip(TARGETS, self.noc, strict=True)}
        return nocs | {f"iou{k}": iou for k, iou in zip(SHOWN, self.iou, strict=True)}


def validate(network: nn.Module, dataset: Dataset, checks: Checks, device: torch.device) -> Scores:
    """Play the data set's objects and return the scores; the network is left in eval mode."""
    runtime = Runtime(device=str(device), threads=torch.get_num_threads())
    view = View(Zoom(dataset.zoom_target), checks.flip, _THRESHOLD, runtime=runtime)
    predictor = Passing(view, partial(mask_guided, network.eval()))
    started = perf_counter()
    rules = Rules(max_clicks=checks.clicks, stop_iou=max(TARGETS))
    games = play(predictor, map(dataset.load, dataset.keys), rules)
    iou = curves([game.trajectory for game in games], checks.clicks)
    iou = iou[~np.isnan(iou).any(axis=1)]  # an empty object has no IoU
    return Scores(
        tuple(float(clicks_to(iou, target).mean()) for target in TARGETS),
        tuple(float(iou[:, min(k, checks.clicks) - 1].mean()) for k in SHOWN),
        len(iou),
        perf_counter() - started,
    )
