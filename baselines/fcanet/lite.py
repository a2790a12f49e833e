"""FCA-Net's branch for the first click on a light network of the RITM family.

The idea is the paper's (Lin et al., CVPR 2020): the first click, a wide Gaussian, goes with early
features through six convolutions to the decoder, with a prediction of its own in training, and
errors near clicks cost more. Everything else is RITM's network on EfficientNet-Lite, whose keys it
has, and RITM's inference. The authors never released their training code: docs/models.md says what
is known of it and what is this project's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from baselines.distance_maps import make_gaussian
from baselines.fcanet.network import FIRST_SPREAD, FirstClick, make_prediction
from baselines.regions import keep_regions
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.inference.passes import Passes
from isbench.nn.inference.predictor import (
    CropPredictor,
    Picture,
    State,
    answer_mask_guided,
    make_config,
)
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.losses import binary_cross_entropy
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.nn.stem import ZeroConv2d, conv1s, normalize, resize_bilinear
from isbench.nn.trunk import CHECKPOINT_CONFIG, compute_logits, guidance_maps, make_head
from isbench.types import Image, Mask, Prediction, Runtime, Turn

# channels and strides of the branch, in the proportions of the original
_BRANCH = ((48, 2), (48, 1), (48, 1), (96, 2), (96, 1), (96, 1))
_HEAD = 48  # channels of the branch's own prediction
_FAR = 1e4  # pixels: the distance to a click that does not exist
_REACH = 64.0  # pixels from a click within which errors cost more
_GAIN = 2.0  # how much more at the click itself; the weight falls linearly to 1
_FIRST_WEIGHT = 0.4  # of the loss of the branch's prediction, as of other auxiliary predictions


class FcaLogits(NamedTuple):
    """The outputs in training; all maps are (B, 1, H, W)."""

    main: Tensor
    aux: None
    first: Tensor  # logits of the branch
    first_proximity: Tensor  # 1 at the first click, 0 from `_REACH` pixels on and without one
    proximity: Tensor  # the same for the nearest of all clicks


class FcaLite(nn.Module):
    """(B, 4, H, W) inputs and (B, 2K, 5) points to logits.

    The first click is the positive one of order 0. Points without one have no first click: games
    that start with a negative click, and training samples whose clicks have no order.
    """

    def __init__(self, trunk: LiteTrunk) -> None:
        super().__init__()
        self.checkpoint_config = {**CHECKPOINT_CONFIG, "with_prev_mask": True}
        self.maps_transform = conv1s(3, min(64, trunk.low_channels))
        self.feature_extractor = trunk
        self.head = make_head(trunk)
        width = _BRANCH[-1][0]
        self.first_conv = FirstClick(trunk.backbone.widths[0], _BRANCH)
        self.first_join = ZeroConv2d(width, trunk.channels, 1)
        self.first_pred_decoder = make_prediction(width, _HEAD)  # used in training only

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the logits (B, 1, H, W)."""
        return (self._compute(inputs, clicks)[0],)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> FcaLogits:
        """Return both logits at the inputs' size, and where errors cost more."""
        main, branch = self._compute(inputs, clicks)
        size = inputs.shape[-2], inputs.shape[-1]
        first = resize_bilinear(self.first_pred_decoder(branch), size)
        cells = -(-size[0] // 4), -(-size[1] // 4)  # proximity is smooth, so a coarse map will do
        distances = measure_distances(clicks, size, cells)
        proximity = [
            resize_bilinear(_find_proximity(distances, chosen), size)
            for chosen in (_find_first(clicks), clicks[..., 2] >= 0)
        ]
        return FcaLogits(main, None, first, *proximity)

    def _compute(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits at the inputs' size and the branch's features (B, C, H/16, W/16)."""
        trunk, size = self.feature_extractor, (inputs.shape[-2], inputs.shape[-1])
        extra = self.maps_transform(guidance_maps(inputs, clicks, previous_mask=True))
        scales = trunk.backbone(trunk.stem(normalize(inputs[:, :3]), extra))
        early = scales[0]  # (B, 24, H/4, W/4)
        distances = measure_distances(clicks, size, (early.shape[-2], early.shape[-1]))
        first = make_gaussian(_find_nearest(distances, _find_first(clicks)), FIRST_SPREAD)
        branch = self.first_conv(early, first)

        def join(x: Tensor) -> Tensor:
            # a 1x1 convolution of both maps, concatenated, would be this sum as well
            return x + resize_bilinear(self.first_join(branch), x.shape[-2:])

        features = trunk.decoder(scales, join)  # (B, 64, H/4, W/4); joined at H/8
        return compute_logits(trunk, self.head, features, None, size).main, branch

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size), example_points(size, points)

    def extra_loss(
        self,
        outputs: FcaLogits,
        target: Tensor,
        mask_loss: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Return the loss of the branch and of errors near clicks, (B,).

        See `isbench.training.step.compute_loss`. The weight of a pixel is 1 + `_GAIN` times its
        proximity: to the first click for the branch, to any click for the mask. For the mask, the
        part of 1 is the recipe's loss, which all networks on this trunk share.
        """
        weight = 1 + _GAIN * outputs.first_proximity
        branch = binary_cross_entropy(outputs.first, target, weight)
        near = binary_cross_entropy(outputs.main, target, _GAIN * outputs.proximity)
        return _FIRST_WEIGHT * branch + near


def measure_distances(clicks: Tensor, input_size: tuple[int, int], size: Sequence[int]) -> Tensor:
    """Return the distances of cells to points in pixels of an input, (B, 2K, *size).

    Clicks are (B, 2K, 5) points on an input of `input_size`; the corner cells are its corner
    pixels, as for `resize_bilinear`.
    """
    rows, cols = (
        _place_cells(torch.arange(pixels, device=clicks.device, dtype=clicks.dtype), cells)
        for pixels, cells in zip(input_size, size, strict=True)
    )
    down = (rows - clicks[..., 0, None]) ** 2  # (B, 2K, h)
    right = (cols - clicks[..., 1, None]) ** 2  # (B, 2K, w)
    return torch.sqrt(down[..., :, None] + right[..., None, :])


def _place_cells(pixels: Tensor, cells: int) -> Tensor:
    """Return the coordinates (cells,) of cells along a side whose pixels have the given ones."""
    return resize_bilinear(pixels[None, None, :, None], (cells, 1)).flatten()


def _find_first(clicks: Tensor) -> Tensor:
    """Return which points are the first click, (B, 2K): a positive one of order 0, or none."""
    places = torch.arange(clicks.shape[1], device=clicks.device)
    return (clicks[..., 2] == 0) & (places < clicks.shape[1] // 2)


def _find_nearest(distances: Tensor, chosen: Tensor) -> Tensor:
    """Return the distance to the nearest chosen point, (B, 1, h, w); `_FAR` without any."""
    return torch.where(chosen[..., None, None], distances, _FAR).amin(dim=1, keepdim=True)


def _find_proximity(distances: Tensor, chosen: Tensor) -> Tensor:
    return (1 - _find_nearest(distances, chosen) / _REACH).clamp(min=0)


def make_networks(**options: Any) -> dict[str, nn.Module]:
    """Return the network of the card."""
    return {"network": FcaLite(LiteTrunk())}


@dataclass(frozen=True)
class SisPredictor:
    """Structural integrity: keeps the parts of another predictor's masks with a positive click.

    States keep the whole answer, which is the next pass's previous mask. A mask without any
    positive click, such as one that was there before the first click, is kept as it is.
    """

    predictor: CropPredictor

    def begin(self, image: Image) -> Picture:
        """Return the image as networks see it."""
        return self.predictor.begin(image)

    def start(self, encoded: Picture, initial: Mask | None) -> State:
        """Return the state before the first click."""
        return self.predictor.start(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.predictor.config.compute([self._passes(turn) for turn in turns])

    def _passes(self, turn: Turn) -> Passes:
        prediction = yield from self.predictor.passes(turn)
        points = [(click.row, click.col) for click in turn.clicks if click.positive]
        if not points:
            return prediction
        return prediction._replace(mask=keep_regions(np.ascontiguousarray(prediction.mask), points))


def build_predictor(*, runtime: Runtime, **options: Any) -> CropPredictor | SisPredictor:
    """Return the predictor of the card: RITM's, with `sis` followed by structural integrity."""
    networks = build_networks(partial(make_networks, **options), runtime)
    config = make_config(options, Zoom(), runtime)
    predictor = CropPredictor(config, partial(answer_mask_guided, networks["network"]))
    return SisPredictor(predictor) if options["sis"] else predictor
