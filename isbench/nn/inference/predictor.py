"""Inference of networks of the RITM family: zoom-in, flip, threshold (arXiv:2102.06583).

The inference of one click is a generator of requests, see `isbench.nn.inference.passes`.

A forward pass takes a crop of the image and of a probability map, and with flip also its mirror
image, whose logits are averaged. The probabilities are pasted into a map of zeros, so everything
outside the crop is background.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from isbench.errors import IsbenchError
from isbench.nn.clickmaps import encode_points, mirror_points
from isbench.nn.inference.cascade import Cascade, make_cascade, repeat
from isbench.nn.inference.passes import (
    ForwardRequest,
    HostRequest,
    Passes,
    Requests,
    compute_games,
    refuse_nan,
)
from isbench.nn.inference.zoom_in import Box, Zoom, map_clicks
from isbench.nn.network import Computed
from isbench.nn.stem import resize_bilinear, resize_centred
from isbench.types import Click, Image, Mask, Prediction, Runtime, Scalar, Turn

_CACHED_CROPS = 2  # the whole image and the last crop


@dataclass(frozen=True)
class Picture:
    """An image as networks see it, with a small cache of resized crops."""

    canvas: Tensor  # (1, 4, h, w), on the device: RGB in [0, 1] and a blank map
    shape: tuple[int, int]  # rows and columns of the original image
    _crops: dict[tuple[Box, tuple[int, int], int], Tensor] = field(default_factory=dict)

    @property
    def pixels(self) -> Tensor:
        """Return RGB in [0, 1], (1, 3, h, w)."""
        return self.canvas[:, :3]

    def with_map(self, x: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
        """Return a box of the image and of a (1, 1, h, w) map, resized to (1, 4, *size).

        The result is bit-exact with resizing all four channels at once; the image's are cached.
        """
        crop = self._resize_crop(box, size, 4).clone()
        crop[:, 3:] = resize_bilinear(_crop(x, box), size)
        return crop

    def without_map(self, box: Box, size: tuple[int, int]) -> Tensor:
        """Return a box of the image, resized to (1, 3, *size)."""
        return self._resize_crop(box, size, 3)

    def _resize_crop(self, box: Box, size: tuple[int, int], channels: int) -> Tensor:
        # PyTorch resizes three channels with another kernel than four
        key = box, size, channels
        resized = self._crops.pop(key, None)
        if resized is None:
            resized = resize_bilinear(_crop(self.canvas[:, :channels], box), size)
        self._crops[key] = resized  # most recently used
        for old in list(self._crops)[:-_CACHED_CROPS]:
            del self._crops[old]
        return resized


def _crop(x: Tensor, box: Box) -> Tensor:
    return x[:, :, box.top : box.bottom + 1, box.left : box.right + 1]


class State(NamedTuple):
    """The state of an object after a click."""

    picture: Picture
    probability: Tensor  # (1, 1, h, w), of the last prediction
    certain: Mask  # (h, w), where the probability is above the zoom-in threshold
    box: Box | None  # the last crop


def encode_image(image: Image, device: str, longest_side: int = 0) -> Picture:
    """Return the image as a tensor, downscaled if a side exceeds `longest_side` (0: never)."""
    height, width = image.shape[:2]
    values = torch.from_numpy(np.array(image.transpose(2, 0, 1)))[None]
    if device.startswith("cuda"):  # uint8 is a quarter of the bytes, copied asynchronously
        values = values.pin_memory().to(device, non_blocking=True)
    pixels = values.float() / 255
    scale = longest_side / max(height, width) if longest_side else 1.0
    if scale < 1:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return Picture(F.pad(pixels, (0, 0, 0, 0, 0, 1)).to(device), (height, width))


def start_state(picture: Picture, initial: Mask | None, zoom_threshold: float) -> State:
    """Return the state before the first click; an initial mask has probability 1."""
    rows, cols = picture.pixels.shape[-2:]
    if initial is None:
        blank = picture.pixels.new_zeros(1, 1, rows, cols)
        return State(picture, blank, np.zeros((rows, cols), bool), None)
    mask = torch.from_numpy(initial)[None, None].to(picture.pixels)
    probability = resize_centred(mask, (rows, cols))
    return State(picture, probability, (probability[0, 0] > zoom_threshold).cpu().numpy(), None)


def scale_clicks(clicks: Sequence[Click], picture: Picture) -> tuple[Click, ...]:
    """Return the clicks in the coordinates of the image as networks see it."""
    (height, width), (rows, cols) = picture.shape, picture.pixels.shape[-2:]
    if (height, width) == (rows, cols):
        return tuple(clicks)
    return tuple(Click(c.row * rows // height, c.col * cols // width, c.positive) for c in clicks)


def conclude(config: InferenceConfig, state: State, probability: Tensor, box: Box | None) -> Passes:
    """Return the prediction: the probability map, thresholded at the image's original size.

    Raises ValueError for probabilities that are not numbers.
    """
    whole = resize_centred(probability, state.picture.shape)
    mask, certain, broken = yield HostRequest(
        (
            whole[0, 0] > config.threshold,
            probability[0, 0] > config.zoom_threshold,
            probability.isnan().any().reshape(1, 1),
        )
    )
    refuse_nan(bool(broken.any()))
    return Prediction(mask, State(state.picture, probability, certain, box))


def crop_inputs(
    inputs: Tensor, clicks: Sequence[Click], box: Box, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return a resized box of the inputs, and the clicks as points in it."""
    return resize_bilinear(_crop(inputs, box), size), _encode_clicks(inputs, clicks, box, size)


def _encode_clicks(
    inputs: Tensor, clicks: Sequence[Click], box: Box, size: tuple[int, int]
) -> Tensor:
    # on a GPU passes of equal shape are stacked, so the number of places takes few values
    stacked = inputs.device.type != "cpu"
    return encode_points(map_clicks(clicks, box, size), few_lengths=stacked).to(inputs.device)


def forward_logits(
    network: Computed, inputs: Tensor, points: Tensor, flip: bool, *more_points: Tensor
) -> Requests[Tensor]:
    """Run a pass and return its first output, float32 logits (B, C, h, w).

    With `flip` the mirror image is in the same pass and its logits are averaged with the others.
    """
    all_points = [points, *more_points]
    if flip:
        width = inputs.shape[3]
        all_points = [torch.cat([one, mirror_points(one, width)]) for one in all_points]
        inputs = torch.cat([inputs, inputs.flip(3)])
    outputs = yield ForwardRequest(network, (inputs, *all_points))
    logits: Tensor = outputs[0].float()
    return average_mirrored(logits) if flip else logits


def average_mirrored(logits: Tensor) -> Tensor:
    """Return the mean (B, C, h, w) of logits (2B, C, h, w) whose second half is mirrored."""
    plain, mirrored = logits.chunk(2)
    return (plain + mirrored.flip(3)) / 2


def paste(x: Tensor, box: Box, shape: Sequence[int]) -> Tensor:
    """Return x resized to the box and padded with zeros to `shape`."""
    inside = resize_bilinear(x, (box.height, box.width))
    right, bottom = shape[-1] - 1 - box.right, shape[-2] - 1 - box.bottom
    return F.pad(inside, (box.left, right, box.top, bottom))


_CPU, _ONE_PASS = Runtime(), Cascade()


@dataclass(frozen=True)
class InferenceConfig:
    """How a prediction is computed from passes, as set by the options of the family's cards."""

    zoom: Zoom | None = None  # None: every pass sees the whole image
    flip: bool = True
    threshold: float = 0.49
    overview: int = 0  # longer side of a pass over the whole image; 0: unscaled [RITM]
    longest_side: int = 0  # of the image as networks see it; 0: unscaled
    runtime: Runtime = _CPU
    previous_mask: bool = True  # networks take the previous mask as a fourth channel
    cascade: Cascade = _ONE_PASS

    @property
    def zoom_threshold(self) -> float:
        """Return the probability above which a pixel counts when zooming in."""
        return self.zoom.threshold if self.zoom else self.threshold

    def begin(self, image: Image) -> Picture:
        """Return the image as networks see it."""
        return encode_image(image, self.runtime.device, self.longest_side)

    def forward_crop(
        self,
        network: Computed,
        picture: Picture,
        previous: Tensor,
        clicks: Sequence[Click],
        box: Box | None,
        *more_clicks: Sequence[Click],
    ) -> Requests[Tensor]:
        """Run a pass over a box of the image, or over all of it, with the previous mask.

        The network gets `more_clicks` as further inputs. Returns (1, C, h, w) probabilities, of one
        map for most networks: for a box at the network's input size, for the whole image at the
        image's size.
        """
        rows, cols = previous.shape[-2:]
        region, size = Box(0, rows - 1, 0, cols - 1), (rows, cols)
        if box is not None and self.zoom is not None:
            region, size = box, self.zoom.size(box)
        elif self.overview:
            size = Zoom(self.overview).size(region)
        if self.previous_mask:
            inputs = picture.with_map(previous, region, size)
        else:
            inputs = picture.without_map(region, size)
        points, *more_points = (
            _encode_clicks(inputs, one, region, size) for one in (clicks, *more_clicks)
        )
        logits = yield from forward_logits(network, inputs, points, self.flip, *more_points)
        probability = torch.sigmoid(logits)
        return probability if region is box else resize_bilinear(probability, (rows, cols))

    def compute(self, games: Sequence[Passes]) -> list[Prediction]:
        """Return the predictions of games, computed with the runtime's settings."""
        return compute_games(games, self.runtime)


# Options of every card of the family, in addition to those of the cascade. With zoom_target=0 and
# longest_side=-1 the data set's value is used and recorded.
OPTIONS: Mapping[str, Scalar] = {
    "zoom": True,
    "zoom_target": 0,  # longer side of a crop as the network sees it, in pixels
    "flip": True,
    "threshold": 0.49,  # probability above which a pixel belongs to the object
    "overview": 0,  # longer side of a pass over the whole image, in pixels; 0: unscaled
    "longest_side": -1,  # of the image as networks see it, in pixels; 0: unscaled
}

# Images are enlarged to `zoom_target` and `overview`; one of this size already takes gigabytes
_LARGEST_VIEW = 4096  # pixels


def make_config(
    options: Mapping[str, Scalar], zoom: Zoom, runtime: Runtime, previous_mask: bool = True
) -> InferenceConfig:
    """Return the configuration for a card's options and the system's zoom-in."""
    target, threshold = int(options["zoom_target"]) or zoom.target, float(options["threshold"])
    for name, least in (("zoom_target", 0), ("overview", 0), ("longest_side", -1)):
        if int(options[name]) < least:
            message = f"option {name} is {options[name]}; wanted {least} pixels or more"
            raise IsbenchError(message, setting="options")
        if name != "longest_side" and int(options[name]) > _LARGEST_VIEW:
            message = f"option {name} is {options[name]}; wanted at most {_LARGEST_VIEW} pixels"
            raise IsbenchError(message, setting="options")
    if not 0 < threshold < 1:
        message = f"option threshold is {threshold}; wanted above 0 and below 1"
        raise IsbenchError(message, setting="options")
    return InferenceConfig(
        replace(zoom, target=target) if options["zoom"] else None,
        bool(options["flip"]),
        threshold,
        int(options["overview"]),
        max(0, int(options["longest_side"])),
        runtime,
        previous_mask,
        make_cascade(options),
    )


@dataclass(frozen=True)
class CropPredictor:
    """A predictor built from forward passes; `answer` is the part specific to a system."""

    config: InferenceConfig
    answer: Callable[[InferenceConfig, State, tuple[Click, ...]], Passes]

    def begin(self, image: Image) -> Picture:
        """Return the image as networks see it."""
        return self.config.begin(image)

    def start(self, encoded: Picture, initial: Mask | None) -> State:
        """Return the state before the first click."""
        return start_state(encoded, initial, self.config.zoom_threshold)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.config.compute([self.passes(turn) for turn in turns])

    def passes(self, turn: Turn) -> Passes:
        """Return the generator of one answer, with the clicks in the network's coordinates."""
        clicks = scale_clicks(turn.clicks, turn.state.picture)

        def answer(state: State) -> Passes:
            return self.answer(self.config, state, clicks)

        return repeat(self.config.cascade, answer, turn.state, len(clicks))


def answer_mask_guided(
    network: Computed, config: InferenceConfig, state: State, clicks: tuple[Click, ...]
) -> Passes:
    """Answer with a network that takes its previous mask as an input [RITM].

    As in the original, after a prediction without an object the next pass sees the whole image,
    but its result is still pasted into the last crop.
    """
    new_box = choose_crop(config, state, clicks)
    probability = yield from config.forward_crop(
        network, state.picture, state.probability, clicks, new_box
    )
    box = new_box or state.box
    if box is not None:
        probability = paste(probability, box, state.probability.shape)
    return (yield from conclude(config, state, probability, box))


def choose_crop(config: InferenceConfig, state: State, clicks: tuple[Click, ...]) -> Box | None:
    """Return the crop around the last prediction, None for the whole image."""
    if config.zoom is None:
        return None
    return config.zoom.box(state.certain, clicks, state.box)
