"""CDNet (Chen et al. 2021): feature diffusion inside the network, pixel diffusion after it.

Written from a description of the paper and its code. The ResNet-34 model, the only one released, is
equal to the official network under synthetic weights (tests/baselines/test_cdnet.py). Attribute
names are the keys of the official checkpoints. The ResNet-50 of Table 1 is the same network on that
trunk.

Differs: see `baselines.fdm`; the latent logits, which only training needs, are computed on demand.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from baselines.fdm import Diffused, Fdm, click_proximity
from baselines.pdm import Pdm
from isbench.errors import IsbenchError, Unfit
from isbench.nn.backbones.deeplab import DeepLab, SeparableHead
from isbench.nn.backbones.ocr import Logits
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.predictor import (
    OPTIONS,
    CropPredictor,
    ForwardRequest,
    InferenceConfig,
    Passes,
    State,
    choose_crop,
    conclude,
    crop_inputs,
    make_config,
    paste,
)
from isbench.nn.inference.zoom_in import Box, Zoom
from isbench.nn.runtime.compute import build_network
from isbench.nn.stem import conv1s, normalize, resize_bilinear
from isbench.nn.trunk import RADIUS, deeplab, guidance_maps
from isbench.types import Click, Runtime

# the box is recomputed at every click, and its content is resized to a square
ZOOM = Zoom(after=1, least=10, keep_iou=2.0, threshold=0.49)


class Answers(NamedTuple):
    """The outputs that training compares with the truth, at the inputs' size.

    Main logits (B, 1, H, W), the gate's probabilities (B, 1, H, W), four latent logits
    (B, 4, H, W).
    """

    main: Tensor
    gate: Tensor
    latents: Tensor


class CDNet(nn.Module):
    """(B, 3 or 4, H, W) inputs and (B, 2K, 3) points to logits; a previous mask is ignored.

    `refined` is the last step of the published predictor.
    """

    def __init__(self, trunk: DeepLab) -> None:
        super().__init__()
        self.maps_transform = conv1s(2)
        self.feature_extractor = trunk
        trunk.FDM = Fdm(trunk.channels)
        self.head = SeparableHead(trunk.channels)
        self.latent_head = SeparableHead(trunk.channels, outputs=4)
        self.PDM = Pdm()

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W), not refined."""
        return resize_bilinear(
            self.head(self._diffused_features(inputs, clicks).features), inputs.shape[-2:]
        )

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the main logits, and the gate's as the auxiliary ones, at the inputs' size.

        The auxiliary loss is what trains the gate; its gradient is detached everywhere else. The
        paper trains it with the focal loss, and also trains latent logits (`answers`).
        """
        main, gate, _ = self.answers(inputs, clicks)
        return Logits(main, torch.logit(gate, 1e-6))

    def answers(self, inputs: Tensor, clicks: Tensor) -> Answers:
        """Return all outputs that CDNet's losses need."""
        features, gate = self._diffused_features(inputs, clicks)
        assert gate is not None
        main, latents = self.head(features), self.latent_head(features)
        return Answers(*(resize_bilinear(x, inputs.shape[-2:]) for x in (main, gate, latents)))

    def refined(self, image: Tensor, clicks: Tensor, logits: Tensor) -> Tensor:
        """Diffuse logits (B, 1, H, W) along RGB in [0, 1]; a fourth image channel is ignored."""
        disks = draw_disks(clicks, (image.shape[-2], image.shape[-1]), RADIUS)
        refined: Tensor = self.PDM(image[:, :3], logits, disks)
        return refined

    def _diffused_features(self, inputs: Tensor, clicks: Tensor) -> Diffused:
        """Return the decoder's features (B, C, H/4, W/4) and the gate (B, 1, H/8, W/8)."""
        trunk, size = self.feature_extractor, (inputs.shape[-2], inputs.shape[-1])
        fdm = trunk.get_submodule("FDM")
        gates = []

        def diffuse(x: Tensor) -> Tensor:
            diffused: Diffused = fdm(x, click_proximity(clicks, size, x.shape[-2:]))
            gates.append(diffused.gate)
            return diffused.features

        extra = self.maps_transform(guidance_maps(inputs, clicks, previous_mask=False))
        features = trunk.body(trunk.stem(normalize(inputs[:, :3]), extra), diffuse)
        return Diffused(features, gates[0])


def make_network(depth: int, **options: Any) -> CDNet:
    """Return the network of a card."""
    return CDNet(deeplab(depth, 128))


def build_predictor(depth: int, *, runtime: Runtime, **options: Any) -> CropPredictor:
    """Return the predictor of a card."""
    network = build_network(partial(make_network, depth), runtime)
    if not isinstance(network, CDNet):
        raise Unfit(
            f"backend {runtime.backend} runs whole networks only, but CDNet's predictor calls "
            "parts of its network: use --backend eager"
        )
    if options["size"] < 1:
        raise IsbenchError(f"option size is {options['size']}; wanted 1 pixel or more")
    config = make_config({**OPTIONS, **options, "zoom_target": options["size"]}, ZOOM, runtime)
    return CropPredictor(config, partial(answer_diffusing, network, options["size"]))


def answer_diffusing(
    network: CDNet, size: int, config: InferenceConfig, state: State, clicks: tuple[Click, ...]
) -> Passes:
    """Answer with a pass over a square of `size` pixels, refined by pixel diffusion.

    As in RITM's code, after a prediction without an object the next pass sees the whole image, but
    its result is still pasted into the last crop.
    """
    shape, new_box = state.probability.shape, choose_crop(config, state, clicks)
    whole = Box(0, shape[-2] - 1, 0, shape[-1] - 1)
    inputs, points = crop_inputs(state.picture.pixels, clicks, new_box or whole, (size, size))
    logits = yield ForwardRequest(network, inputs, points)
    probability = torch.sigmoid(network.refined(inputs, points, logits))
    box = new_box or state.box
    whole_probability = paste(probability, box or whole, shape)
    return (yield from conclude(config, state, whole_probability, box))
