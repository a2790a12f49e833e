"""CDNet (Chen et al. 2021): features diffuse within the network, the answer after it.

Written from a description of the paper and its code; its ResNet-34, the only one released, is equal
to the official network under synthetic weights (tests/baselines/test_cdnet.py). Attribute names are
the keys of the official checkpoints. The ResNet-50 of Table 1 is the same on that trunk.

Differs: see `baselines.fdm`; the latent answers, which only training needs, are computed on demand.
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

# the box is renewed at every click, and what it holds is resized to a square
ZOOM = Zoom(after=1, least=10, keep_iou=2.0, threshold=0.49)


class Answers(NamedTuple):
    """All that training compares with the truth, at the inputs' size.

    Logits (B, 1, H, W), the gate's probabilities (B, 1, H, W), four latent logits (B, 4, H, W).
    """

    main: Tensor
    gate: Tensor
    latents: Tensor


class CDNet(nn.Module):
    """(B, 3 or 4, H, W) inputs and (B, 2K, 3) points to logits; a previous mask is not looked at.

    Of the published predictor's answer `refined` is the last step.
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
            self.head(self._diffused(inputs, clicks).features), inputs.shape[-2:]
        )

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the answer, and the gate as the auxiliary one, at the inputs' size.

        By it the gate learns, which all else only takes as given. The paper trains it by the focal
        loss, and latent answers besides (`answers`).
        """
        main, gate, _ = self.answers(inputs, clicks)
        return Logits(main, torch.logit(gate, 1e-6))

    def answers(self, inputs: Tensor, clicks: Tensor) -> Answers:
        """Return the answer with the gate and the latent ones, as CDNet's losses need them."""
        features, gate = self._diffused(inputs, clicks)
        assert gate is not None
        main, latents = self.head(features), self.latent_head(features)
        return Answers(*(resize_bilinear(x, inputs.shape[-2:]) for x in (main, gate, latents)))

    def refined(self, image: Tensor, clicks: Tensor, logits: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) diffused along RGB in [0, 1], a fourth channel ignored."""
        drawn = draw_disks(clicks, (image.shape[-2], image.shape[-1]), RADIUS)
        refined: Tensor = self.PDM(image[:, :3], logits, drawn)
        return refined

    def _diffused(self, inputs: Tensor, clicks: Tensor) -> Diffused:
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
    made = build_network(partial(make_network, depth), runtime)
    if not isinstance(made, CDNet):
        raise Unfit(
            f"backend {runtime.backend} computes a whole network, and CDNet is asked for parts of "
            "its own: play with --backend eager"
        )
    if options["size"] < 1:
        raise IsbenchError(f"option size is {options['size']}; wanted 1 pixel or more")
    chosen = make_config({**OPTIONS, **options, "zoom_target": options["size"]}, ZOOM, runtime)
    return CropPredictor(chosen, partial(answer_diffusing, made, options["size"]))


def answer_diffusing(
    network: CDNet, size: int, config: InferenceConfig, state: State, clicks: tuple[Click, ...]
) -> Passes:
    """Answer by a pass over a square of `size` pixels, diffused along colours.

    As in RITM's code, an answer without object makes the next pass see the whole image while the
    answer still goes to the last crop.
    """
    shape, fresh = state.probability.shape, choose_crop(config, state, clicks)
    whole = Box(0, shape[-2] - 1, 0, shape[-1] - 1)
    inputs, table = crop_inputs(state.picture.pixels, clicks, fresh or whole, (size, size))
    logits = yield ForwardRequest(network, inputs, table)
    probability = torch.sigmoid(network.refined(inputs, table, logits))
    box = fresh or state.box
    answer = paste(probability, box or whole, shape)
    return (yield from conclude(config, state, answer, box))
