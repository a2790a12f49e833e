"""CDNet (Chen et al. 2021): feature diffusion inside the network, pixel diffusion after it.

Written from a description of the paper and its code. The ResNet-34 model, the only one released, is
equal to the official network under synthetic weights (tests/baselines/test_cdnet.py). Attribute
names are the keys of the official checkpoints. The ResNet-50 of Table 1 is the same network on that
trunk.

The losses are those of the released training, in this project's words.

Differs: see `baselines.fdm`; the latent logits, which only training needs, are computed on demand;
the loss of clicks is normalised in each sample, not over the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.fdm import Fdm, FdmOutput, click_proximity
from baselines.pdm import Pdm
from isbench.errors import check_option
from isbench.nn.backbones.deeplab import DeepLab, SeparableHead
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.backbones.mini import Mini
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.options import OPTIONS
from isbench.nn.inference.passes import ForwardRequest, Passes
from isbench.nn.inference.predictor import (
    CropPredictor,
    InferenceConfig,
    State,
    choose_crop,
    conclude,
    crop_inputs,
    forward_logits,
    make_config,
    paste,
)
from isbench.nn.inference.zoom_in import Box, Zoom
from isbench.nn.network import Computed, example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.nn.stem import conv1s, normalize, resize_bilinear
from isbench.nn.trunk import CHECKPOINT_CONFIG, RADIUS, deeplab, guidance_maps
from isbench.types import Click, Runtime

# the box is recomputed at every click, and its content is resized to a square
ZOOM = Zoom(after=1, least=10, keep_iou=2.0, threshold=0.49)
_LARGEST = 4096  # pixels, of the square's side
GATE_WEIGHT = 0.4  # of the gate's loss relative to the mask's
LATENTS = 4  # answers of which only the best one has to be right
_CLICKED, _ELSEWHERE = 1.0, 0.01  # weights of pixels in the loss of clicks


class CdnetOutput(NamedTuple):
    """The outputs that training compares with the truth, at the inputs' size.

    Main logits (B, 1, H, W), the gate's probabilities (B, 1, H, W), four latent logits
    (B, 4, H, W), and disks of clicks of either sign (B, 1, H, W).
    """

    main: Tensor
    gate: Tensor
    latents: Tensor
    clicked: Tensor
    aux: None = None  # no auxiliary logits


class CDNet(nn.Module):
    """(B, 3, H, W) images and (B, 2K, 5) points to logits, which `Refinement` refines."""

    checkpoint_config = CHECKPOINT_CONFIG

    def __init__(self, trunk: DeepLab) -> None:
        super().__init__()
        self.maps_transform = conv1s(2)
        self.feature_extractor = trunk
        trunk.FDM = Fdm(trunk.channels)
        self.head = SeparableHead(trunk.channels)
        self.latent_head = SeparableHead(trunk.channels, outputs=LATENTS)
        self.PDM = Pdm()

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the logits (B, 1, H, W), not refined."""
        features = self._compute_features(inputs, clicks).features
        return (resize_bilinear(self.head(features), inputs.shape[-2:]),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size, 3), example_points(size, points)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> CdnetOutput:
        """Return all outputs that CDNet's losses need."""
        features, gate = self._compute_features(inputs, clicks)
        assert gate is not None
        size = inputs.shape[-2], inputs.shape[-1]
        main, gate, latents = (
            resize_bilinear(x, size)
            for x in (self.head(features), gate, self.latent_head(features))
        )
        return CdnetOutput(main, gate, latents, join_disks(draw_disks(clicks, size, RADIUS)))

    def extra_loss(
        self, outputs: CdnetOutput, target: Tensor, mask_loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the loss of the gate and of the latent logits, (B,)."""
        return compute_extra_loss(outputs, target, mask_loss)

    def _compute_features(self, inputs: Tensor, clicks: Tensor) -> FdmOutput:
        trunk, size = self.feature_extractor, (inputs.shape[-2], inputs.shape[-1])
        extra = self.maps_transform(guidance_maps(inputs, clicks, previous_mask=False))
        return diffuse_features(trunk, trunk.stem(normalize(inputs[:, :3]), extra), clicks, size)


def diffuse_features(
    trunk: DeepLab | LiteTrunk | Mini, low: Tensor, clicks: Tensor, size: tuple[int, int]
) -> FdmOutput:
    """Return the trunk's features (B, C, H/4, W/4) of a stem and the gate (B, 1, H/8, W/8).

    Features diffuse at stride 8, by the trunk's submodule `FDM`. `size` is that of the inputs.
    """
    fdm = trunk.get_submodule("FDM")
    gates = []

    def diffuse(x: Tensor) -> Tensor:
        diffused: FdmOutput = fdm(x, click_proximity(clicks, size, x.shape[-2:]))
        gates.append(diffused.gate)
        return diffused.features

    features = trunk.body(low, diffuse)
    return FdmOutput(features, gates[0])


def join_disks(disks: Tensor) -> Tensor:
    """Return (B, 1, H, W): disks (B, 2, H, W) of clicks of either sign."""
    return disks.amax(dim=1, keepdim=True)


def compute_extra_loss(
    outputs: CdnetOutput, target: Tensor, mask_loss: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return what trains the gate and the latent logits, (B,); see `compute_loss` of training.

    Of the latent masks the best one has to be the object; all of them have to obey the clicks
    [Li et al. 2018, as in CDNet]. Nothing else trains the gate.
    """
    gate = torch.logit(outputs.gate.float(), 1e-6)
    losses = [mask_loss(outputs.latents[:, k : k + 1], target) for k in range(LATENTS)]
    best = torch.stack(losses).amin(dim=0)
    return GATE_WEIGHT * mask_loss(gate, target) + best + _judge_at_clicks(outputs, target)


def _judge_at_clicks(outputs: CdnetOutput, target: Tensor) -> Tensor:
    """Return the cross-entropy of all latent logits, weighted towards the clicks, (B,).

    It is divided by the weights of the pixels that are not ignored.
    """
    truth = target.clamp(min=0).expand_as(outputs.latents)
    losses = F.binary_cross_entropy_with_logits(outputs.latents.float(), truth, reduction="none")
    weight = _ELSEWHERE + (_CLICKED - _ELSEWHERE) * outputs.clicked.float()
    weight = torch.where(target >= 0, weight, 0)
    total = weight.sum(dim=(1, 2, 3)).clamp(min=torch.finfo(weight.dtype).tiny)
    return (losses * weight).sum(dim=(1, 2, 3)) / total


class Refinement(nn.Module):
    """The last step of the published predictor: logits diffused along the colours of the image."""

    def __init__(self, pdm: Pdm) -> None:
        super().__init__()
        self.PDM = pdm  # the network's, under its key

    def forward(self, image: Tensor, clicks: Tensor, logits: Tensor) -> tuple[Tensor]:
        """Return refined logits (B, 1, H, W) from RGB in [0, 1], points and logits."""
        disks = draw_disks(clicks, (image.shape[-2], image.shape[-1]), RADIUS)
        return (self.PDM(image, logits, disks),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image, clicks and logits; see `isbench.nn.network.Network`."""
        image = example_image(size, 3)
        return image, example_points(size, points), 4 * image[:, :1] - 2


def make_networks(depth: int, **options: Any) -> dict[str, nn.Module]:
    """Return the networks of a card."""
    network = CDNet(deeplab(depth, 128))
    return {"network": network, "refinement": Refinement(network.PDM)}


def build_predictor(depth: int, *, runtime: Runtime, **options: Any) -> CropPredictor:
    """Return the predictor of a card."""
    check_option(
        "size", options["size"], 1 <= options["size"] <= _LARGEST, f"from 1 to {_LARGEST} pixels"
    )
    config = make_config({**OPTIONS, **options, "zoom_target": options["size"]}, ZOOM, runtime)
    networks = build_networks(partial(make_networks, depth), runtime)
    return CropPredictor(config, partial(answer_diffusing, networks, options["size"]))


def answer_diffusing(
    networks: Mapping[str, Computed],
    size: int,
    config: InferenceConfig,
    state: State,
    clicks: tuple[Click, ...],
) -> Passes:
    """Answer with a pass over a square of `size` pixels, refined by pixel diffusion.

    As in RITM's code, after a prediction without an object the next pass sees the whole image, but
    its result is still pasted into the last crop.
    """
    shape, new_box = state.probability.shape, choose_crop(config, state, clicks)
    whole = Box(0, shape[-2] - 1, 0, shape[-1] - 1)
    image, points = crop_inputs(state.picture.pixels, clicks, new_box or whole, (size, size))
    logits = yield from forward_logits(networks["network"], image, points, config.flip)
    (refined,) = yield ForwardRequest(networks["refinement"], (image, points, logits))
    probability = torch.sigmoid(refined)
    box = new_box or state.box
    whole_probability = paste(probability, box or whole, shape)
    return (yield from conclude(config, state, whole_probability, box))
