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

from isbench.errors import check_option
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
from isbench.nn.inference.zoom_in import Box, View, Zoom, map_clicks
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
        return self.with_resized_map(resize_bilinear(crop(x, box), size), box)

    def with_resized_map(self, x: Tensor, box: Box) -> Tensor:
        """Return a box of the image, resized to a (1, 1, h, w) map of it, and the map."""
        stacked = self._resize_crop(box, (x.shape[-2], x.shape[-1]), 4).clone()
        stacked[:, 3:] = x
        return stacked

    def without_map(self, box: Box, size: tuple[int, int]) -> Tensor:
        """Return a box of the image, resized to (1, 3, *size)."""
        return self._resize_crop(box, size, 3)

    def _resize_crop(self, box: Box, size: tuple[int, int], channels: int) -> Tensor:
        # PyTorch resizes three channels with another kernel than four
        key = box, size, channels
        resized = self._crops.pop(key, None)
        if resized is None:
            resized = resize_bilinear(crop(self.canvas[:, :channels], box), size)
        self._crops[key] = resized  # most recently used
        for old in list(self._crops)[:-_CACHED_CROPS]:
            del self._crops[old]
        return resized


def crop(x: Tensor, box: Box) -> Tensor:
    """Return a box of maps (B, C, H, W)."""
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
    """Return a box of inputs (1, C, H, W) resized to `size`, and its clicks as (1, 2K, 5)."""
    points = encode_clicks(clicks, View(box, size), inputs.device)
    return resize_bilinear(crop(inputs, box), size), points


def encode_clicks(clicks: Sequence[Click], view: View, device: torch.device) -> Tensor:
    """Return clicks as points (1, 2K, 5) in a view."""
    # on a GPU passes of equal shape are stacked, so the number of places takes few values
    stacked = device.type != "cpu"
    return encode_points(map_clicks(clicks, *view), few_lengths=stacked).to(device)


def forward_logits(
    network: Computed, inputs: Tensor, points: Tensor, flip: bool, *more_points: Tensor
) -> Requests[Tensor]:
    """Run a pass and return its first output, float32 logits (B, C, h, w).

    With `flip` the mirror image is in the same pass and its logits are averaged with the others.
    """
    tensors = inputs, points, *more_points
    outputs = yield ForwardRequest(network, add_mirrored(*tensors) if flip else tensors)
    logits: Tensor = outputs[0].float()
    return average_mirrored(logits) if flip else logits


def add_mirrored(inputs: Tensor, *points: Tensor) -> tuple[Tensor, ...]:
    """Return the inputs of a pass, with their mirror image as further items of the batch."""
    all_points = (torch.cat([one, mirror_points(one, inputs.shape[3])]) for one in points)
    return torch.cat([inputs, inputs.flip(3)]), *all_points


def average_mirrored(logits: Tensor) -> Tensor:
    """Return the mean (B, C, h, w) of logits (2B, C, h, w) whose second half is mirrored."""
    plain, mirrored = logits.chunk(2)
    return (plain + mirrored.flip(3)) / 2


def paste(x: Tensor, box: Box, shape: Sequence[int]) -> Tensor:
    """Return x, (B, C, h, w), resized to the box and padded with zeros to (B, C, *shape[-2:])."""
    inside = resize_bilinear(x, (box.height, box.width))
    right, bottom = shape[-1] - 1 - box.right, shape[-2] - 1 - box.bottom
    return F.pad(inside, (box.left, right, box.top, bottom))


class Placed(NamedTuple):
    """Maps at the image's size, and the crop outside of which they are 0, None if none is."""

    maps: Tensor
    box: Box | None


def place(maps: Tensor, new_box: Box | None, state: State) -> Placed:
    """Return the maps (B, C, h, w) of a pass over a new crop, or the whole image, in the image.

    As in RITM's code, after a prediction without an object the pass sees the whole image, but its
    result is still pasted into the last crop.
    """
    shape = state.probability.shape
    if new_box is None:
        maps = resize_bilinear(maps, shape[-2:])
    box = new_box or state.box
    return Placed(maps if box is None else paste(maps, box, shape), box)


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
        view = self.choose_view(picture, box)
        inputs = self.cut(picture, previous, view)
        points, *more_points = (
            encode_clicks(one, view, inputs.device) for one in (clicks, *more_clicks)
        )
        logits = yield from forward_logits(network, inputs, points, self.flip, *more_points)
        probability = torch.sigmoid(logits)
        if view.region is box:
            return probability
        return resize_bilinear(probability, previous.shape[-2:])

    def choose_view(self, picture: Picture, box: Box | None) -> View:
        """Return what a pass sees in a crop, or of the whole image if `box` is None."""
        rows, cols = picture.pixels.shape[-2:]
        whole = Box(0, rows - 1, 0, cols - 1)
        if box is not None and self.zoom is not None:
            return View(box, self.zoom.choose_size(box))
        return View(
            whole, Zoom(self.overview).choose_size(whole) if self.overview else (rows, cols)
        )

    def cut(self, picture: Picture, previous: Tensor, view: View) -> Tensor:
        """Return the image in a view, (1, 3, h, w), or (1, 4, h, w) with the previous mask."""
        return (
            picture.with_map(previous, *view) if self.previous_mask else picture.without_map(*view)
        )

    def compute(self, games: Sequence[Passes]) -> list[Prediction]:
        """Return the predictions of games, computed with the runtime's settings."""
        return compute_games(games, self.runtime)


# Images are enlarged to `zoom_target` and `overview`; one of this size already takes gigabytes
_LARGEST_VIEW = 4096  # pixels


def make_config(
    options: Mapping[str, Scalar], zoom: Zoom, runtime: Runtime, previous_mask: bool = True
) -> InferenceConfig:
    """Return the configuration for a card's options and the system's zoom-in."""
    target, threshold = int(options["zoom_target"]) or zoom.target, float(options["threshold"])
    for name in ("zoom_target", "overview"):
        side = int(options[name])
        check_option(name, side, 0 <= side <= _LARGEST_VIEW, f"from 0 to {_LARGEST_VIEW} pixels")
    longest_side = int(options["longest_side"])
    check_option("longest_side", longest_side, longest_side >= -1, "-1 pixels or more")
    check_option("threshold", threshold, 0 < threshold < 1, "above 0 and below 1")
    return InferenceConfig(
        replace(zoom, target=target) if options["zoom"] else None,
        bool(options["flip"]),
        threshold,
        int(options["overview"]),
        max(0, longest_side),
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
    """Answer with a network that takes its previous mask as an input [RITM]."""
    new_box = choose_crop(config, state, clicks)
    probability = yield from config.forward_crop(
        network, state.picture, state.probability, clicks, new_box
    )
    return (yield from conclude(config, state, *place(probability, new_box, state)))


def choose_crop(config: InferenceConfig, state: State, clicks: tuple[Click, ...]) -> Box | None:
    """Return the crop around the last prediction, None for the whole image."""
    if config.zoom is None:
        return None
    return config.zoom.box(state.certain, clicks, state.box)
