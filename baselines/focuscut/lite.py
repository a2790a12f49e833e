"""FocusCut's inference with RITM's network on EfficientNet-Lite0: `focuscut-lite`, a model of ours.

The network is that of `ritm-lite`, parameter by parameter, for the whole object and for focus
views. FocusCut's own (`network`) sees clicks as Gaussians and enters them with the colours; this
one sees them as disks. What they share is the predictor and the rules of focus views. Not here: the
training on focus views, which is a matter of the recipe (`cards`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from baselines import ritm
from baselines.focuscut.predictor import FocusCut, View
from baselines.views import stack_images, stack_maps
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.backbones.sizes import LITE_VIEW
from isbench.nn.clickmaps import encode_points
from isbench.nn.runtime.compute import build_networks
from isbench.types import Runtime

make_networks = partial(ritm.make_networks, LiteTrunk, previous_mask=True)


def make_point_inputs(views: Sequence[View], device: str) -> tuple[Tensor, ...]:
    """Return the inputs of `baselines.ritm.Ritm` for views of one size."""
    images = stack_images([view.image for view in views], device)
    masks = stack_maps([view.mask for view in views], device)
    places = max(_count_places(view) for view in views)
    # on a GPU passes of equal shape are stacked, so the number of places takes few values
    points = [encode_points(view.clicks, device != "cpu", places) for view in views]
    return torch.cat([images, masks], dim=1), torch.cat(points).to(device)


def _count_places(view: View) -> int:
    positive = sum(click.positive for click in view.clicks)
    return max(1, positive, len(view.clicks) - positive)


def build_predictor(*, runtime: Runtime, view_size: int, rounds: int, threshold: float) -> FocusCut:
    """Return the predictor of the card; raises IsbenchError for options out of range."""
    network = build_networks(make_networks, runtime)["network"]
    size = view_size or LITE_VIEW
    return FocusCut(network, runtime, size, rounds, threshold, make_point_inputs)
