"""CDNet (Chen et al. 2021): feature diffusion inside the network, pixel diffusion after it.

Written from a description of the paper and its code. The ResNet-34 model, the only one released, is
equal to the official network under synthetic weights (tests/baselines/test_cdnet.py). Attribute
names are the keys of the official checkpoints. The ResNet-50 of Table 1 is the same network on that
trunk.

Differs: see `baselines.fdm`; the latent logits, which only training needs, are computed on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from baselines.fdm import Fdm, FdmOutput, click_proximity
from baselines.pdm import Pdm
from isbench.errors import check_option
from isbench.nn.backbones.deeplab import DeepLab, SeparableHead
from isbench.nn.backbones.ocr import Logits
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.passes import ForwardRequest, Passes
from isbench.nn.inference.predictor import (
    OPTIONS,
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


class CdnetOutput(NamedTuple):
    """The outputs that training compares with the truth, at the inputs' size.

    Main logits (B, 1, H, W), the gate's probabilities (B, 1, H, W), four latent logits
    (B, 4, H, W).
    """

    main: Tensor
    gate: Tensor
    latents: Tensor


class CDNet(nn.Module):
    """(B, 3, H, W) images and (B, 2K, 5) points to logits, which `Refinement` refines."""

    checkpoint_config = CHECKPOINT_CONFIG

    def __init__(self, trunk: DeepLab) -> None:
        super().__init__()
        self.maps_transform = conv1s(2)
        self.feature_extractor = trunk
        trunk.FDM = Fdm(trunk.channels)
        self.head = SeparableHead(trunk.channels)
        self.latent_head = SeparableHead(trunk.channels, outputs=4)
        self.PDM = Pdm()

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the logits (B, 1, H, W), not refined."""
        features = self._diffuse_features(inputs, clicks).features
        return (resize_bilinear(self.head(features), inputs.shape[-2:]),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size, 3), example_points(size, points)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the main logits, and the gate's as the auxiliary ones, at the inputs' size.

        The auxiliary loss is what trains the gate; its gradient is detached everywhere else. The
        paper trains it with the focal loss, and also trains latent logits (`answers`).
        """
        main, gate, _ = self.forward_with_latents(inputs, clicks)
        return Logits(main, torch.logit(gate, 1e-6))

    def forward_with_latents(self, inputs: Tensor, clicks: Tensor) -> CdnetOutput:
        """Return all outputs that CDNet's losses need."""
        features, gate = self._diffuse_features(inputs, clicks)
        assert gate is not None
        main, latents = self.head(features), self.latent_head(features)
        return CdnetOutput(*(resize_bilinear(x, inputs.shape[-2:]) for x in (main, gate, latents)))

    def _diffuse_features(self, inputs: Tensor, clicks: Tensor) -> FdmOutput:
        """Return the decoder's features (B, C, H/4, W/4) and the gate (B, 1, H/8, W/8)."""
        trunk, size = self.feature_extractor, (inputs.shape[-2], inputs.shape[-1])
        fdm = trunk.get_submodule("FDM")
        gates = []

        def diffuse(x: Tensor) -> Tensor:
            diffused: FdmOutput = fdm(x, click_proximity(clicks, size, x.shape[-2:]))
            gates.append(diffused.gate)
            return diffused.features

        extra = self.maps_transform(guidance_maps(inputs, clicks, previous_mask=False))
        features = trunk.body(trunk.stem(normalize(inputs[:, :3]), extra), diffuse)
        return FdmOutput(features, gates[0])


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
