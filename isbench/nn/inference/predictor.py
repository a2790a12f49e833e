"""How networks of the RITM family answer a click: zoom in, mirror, threshold (arXiv:2102.06583).

An answer is written as a generator that yields what it needs, one thing after the other: a pass,
whose logits it is sent, or a mask that it wants to see. `answered` serves many answers at once. So
a system is read top to bottom, and how passes are computed (one by one on a CPU, equal shapes
stacked on a GPU) and masks brought from a GPU (all in one copy) is written once.

A pass sees a crop of the image and a map of probabilities, and its mirror image; their logits are
averaged. Its probabilities are pasted into zeros: what is outside the crop is background.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from isbench.errors import IsbenchError
from isbench.nn.clickmaps import encode_points, mirror_points
from isbench.nn.inference.zoom_in import Box, Zoom, map_clicks
from isbench.nn.runtime.backends import Computed
from isbench.nn.runtime.compute import inference
from isbench.nn.stem import resize_bilinear
from isbench.types import Click, Image, Mask, Prediction, Runtime, Scalar, Turn

_CUTS = 2  # the whole image and the last crop


@dataclass(frozen=True)
class Picture:
    """An image as networks see it, and its crops as long as they are asked for again."""

    canvas: Tensor  # (1, 4, h, w), on the device: RGB in [0, 1], and a blank map
    shape: tuple[int, int]  # rows and columns of the image itself
    _cuts: dict[tuple[Box, tuple[int, int]], Tensor] = field(default_factory=dict)

    @property
    def pixels(self) -> Tensor:
        """Return RGB in [0, 1], (1, 3, h, w)."""
        return self.canvas[:, :3]

    def with_map(self, x: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
        """Return a box of the image and of a (1, 1, h, w) map, (1, 4, *size).

        To the last bit what resizing all four channels at once gives; the image's are kept.
        """
        made = self._cut(box, size).clone()
        made[:, 3:] = resize_bilinear(_within(x, box), size)
        return made

    def _cut(self, box: Box, size: tuple[int, int]) -> Tensor:
        # with its blank channel: PyTorch resizes three channels by another routine than four
        cut = self._cuts.pop((box, size), None)
        if cut is None:
            cut = resize_bilinear(_within(self.canvas, box), size)
        self._cuts[box, size] = cut  # the last to go
        for old in list(self._cuts)[:-_CUTS]:
            del self._cuts[old]
        return cut


def _within(x: Tensor, box: Box) -> Tensor:
    return x[:, :, box.top : box.bottom + 1, box.left : box.right + 1]


class State(NamedTuple):
    """What is known of an object after a click."""

    picture: Picture
    probability: Tensor  # (1, 1, h, w), of the last answer
    certain: Mask  # (h, w), where it is above the zoom's threshold
    box: Box | None  # the last crop


class ForwardRequest(NamedTuple):
    """A pass that an answer needs."""

    network: Computed
    inputs: Tensor  # (1, 4, h, w)
    clicks: Tensor  # (1, 2K, 3)


class HostRequest(NamedTuple):
    """Masks that an answer wants to see; it is sent them as (h, w) bool arrays."""

    masks: tuple[Tensor, ...]  # each (h, w) bool


Passes: TypeAlias = Generator[ForwardRequest | HostRequest, Any, Prediction]


def encode_image(image: Image, device: str, longest_side: int = 0) -> Picture:
    """Return the image as a tensor, scaled down if a side exceeds `longest_side`, 0 for never."""
    height, width = image.shape[:2]
    values = torch.from_numpy(np.array(image.transpose(2, 0, 1)))[None]
    if device.startswith("cuda"):  # a quarter of the bytes, sent while the GPU goes on
        values = values.pin_memory().to(device, non_blocking=True)
    pixels = values.float() / 255
    scale = longest_side / max(height, width) if longest_side else 1.0
    if scale < 1:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return Picture(F.pad(pixels, (0, 0, 0, 0, 0, 1)).to(device), (height, width))


def _rescale(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a map between an image and its smaller picture, by pixel centres as `seen` does."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def start_state(picture: Picture, initial: Mask | None, sure: float) -> State:
    """Return the state before the first click; an initial mask counts as certain."""
    rows, cols = picture.pixels.shape[-2:]
    if initial is None:
        blank = picture.pixels.new_zeros(1, 1, rows, cols)
        return State(picture, blank, np.zeros((rows, cols), bool), None)
    mask = torch.from_numpy(initial)[None, None].to(picture.pixels)
    probability = _rescale(mask, (rows, cols))
    return State(picture, probability, (probability[0, 0] > sure).cpu().numpy(), None)


def scale_clicks(clicks: Sequence[Click], picture: Picture) -> tuple[Click, ...]:
    """Return the clicks in rows and columns of the picture as networks see it."""
    (height, width), (rows, cols) = picture.shape, picture.pixels.shape[-2:]
    if (height, width) == (rows, cols):
        return tuple(clicks)
    return tuple(Click(c.row * rows // height, c.col * cols // width, c.positive) for c in clicks)


def conclude(config: InferenceConfig, state: State, probability: Tensor, box: Box | None) -> Passes:
    """Return the answer: what is likelier than the view's threshold, at the image's own size."""
    whole = _rescale(probability, state.picture.shape)
    mask, certain = yield HostRequest(
        (whole[0, 0] > config.threshold, probability[0, 0] > config.sure)
    )
    return Prediction(mask, State(state.picture, probability, certain, box))


def crop_inputs(
    inputs: Tensor, clicks: Sequence[Click], box: Box, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return a box of the inputs, resized, and the clicks as points of it."""
    return resize_bilinear(_within(inputs, box), size), encode_points(
        map_clicks(clicks, box, size)
    ).to(inputs.device)


def paste(x: Tensor, box: Box, shape: Sequence[int]) -> Tensor:
    """Return x resized to the box, zeros around it up to `shape`."""
    inside = resize_bilinear(x, (box.height, box.width))
    right, bottom = shape[-1] - 1 - box.right, shape[-2] - 1 - box.bottom
    return F.pad(inside, (box.left, right, box.top, bottom))


def compute_answers(games: Sequence[Passes], flip: bool, stack: bool) -> list[Prediction]:
    """Compute the passes of every game and return their answers.

    With `flip` a pass is computed with its mirror image and the mean taken of logits. With `stack`
    passes of one shape are computed together; without, one by one, since a CPU's numbers depend on
    the batch.
    """
    waiting: dict[int, ForwardRequest | HostRequest] = {
        k: next(game) for k, game in enumerate(games)
    }
    answers: dict[int, Prediction] = {}
    while waiting:
        groups: dict[object, list[int]] = {}
        for k, need in waiting.items():
            groups.setdefault(_kind(need, k, stack), []).append(k)
        for group in groups.values():
            for k, given in zip(group, _serve([waiting[k] for k in group], flip), strict=True):
                try:
                    waiting[k] = games[k].send(given)
                except StopIteration as end:
                    answers[k] = end.value
                    del waiting[k]
    return [answers[k] for k in range(len(games))]


def _kind(need: ForwardRequest | HostRequest, game: int, stack: bool) -> object:
    """Return what is alike of needs that are served together."""
    if isinstance(need, HostRequest):
        return HostRequest
    return (id(need.network), need.inputs.shape) if stack else game


def _serve(needs: Sequence[ForwardRequest | HostRequest], flip: bool) -> Sequence[Any]:
    """Return what needs of one kind ask for."""
    if isinstance(needs[0], ForwardRequest):
        looks = [need for need in needs if isinstance(need, ForwardRequest)]
        return _logits(looks, flip).chunk(len(looks))
    wanted = [need.masks for need in needs if isinstance(need, HostRequest)]
    flat = torch.cat([mask.flatten() for masks in wanted for mask in masks]).cpu().numpy()
    start, found = 0, []
    for masks in wanted:
        seen = []
        for mask in masks:
            seen.append(flat[start : start + mask.numel()].reshape(mask.shape))
            start += mask.numel()
        found.append(seen)
    return found


def _logits(looks: Sequence[ForwardRequest], flip: bool) -> Tensor:
    """Return the logits of passes of one network and shape, (B, 1, h, w) float32."""
    inputs = torch.cat([look.inputs for look in looks])
    clicks = _join([look.clicks for look in looks])
    if flip:
        clicks = torch.cat([clicks, mirror_points(clicks, inputs.shape[3])])
        inputs = torch.cat([inputs, inputs.flip(3)])
    logits = looks[0].network(inputs, clicks).float()
    if flip:
        plain, mirror = logits.chunk(2)
        logits = (plain + mirror.flip(3)) / 2
    return logits


def _join(tables: Sequence[Tensor]) -> Tensor:
    """Return (1, 2K, 3) points of several passes as one table, each half filled up with -1."""
    most = max(table.shape[1] for table in tables) // 2
    halves = [table.reshape(2, -1, 3) for table in tables]
    filled = [F.pad(half, (0, 0, 0, most - half.shape[1]), value=-1.0) for half in halves]
    return torch.stack([half.reshape(2 * most, 3) for half in filled])


def _look(
    network: Computed,
    picture: Picture,
    previous: Tensor,
    clicks: Sequence[Click],
    box: Box,
    size: tuple[int, int],
) -> ForwardRequest:
    inputs = picture.with_map(previous, box, size)
    return ForwardRequest(
        network, inputs, encode_points(map_clicks(clicks, box, size)).to(inputs.device)
    )


_CPU = Runtime()


@dataclass(frozen=True)
class InferenceConfig:
    """How an answer is made of passes; what the options of every card of the family say."""

    zoom: Zoom | None = None  # None: every pass sees the whole image
    flip: bool = True
    threshold: float = 0.49
    overview: int = 0  # longer side of a pass over the whole image; 0: as it is [RITM]
    longest_side: int = 0  # of the image as networks see it; 0: as it is
    runtime: Runtime = _CPU

    @property
    def sure(self) -> float:
        """Return above which probability a pixel has a say in where to zoom in."""
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
    ) -> Generator[ForwardRequest | HostRequest, Any, Tensor]:
        """Look at a box of the picture, or at all of it, and at the map of the previous answer.

        Returns (1, 1, h, w) probabilities: those of a box of the size that the network saw, those
        of the whole of its own.
        """
        if box is not None and self.zoom is not None:
            logits = yield _look(network, picture, previous, clicks, box, self.zoom.size(box))
            return torch.sigmoid(logits)
        rows, cols = previous.shape[-2:]
        whole = Box(0, rows - 1, 0, cols - 1)
        size = Zoom(self.overview).size(whole) if self.overview else (rows, cols)
        logits = yield _look(network, picture, previous, clicks, whole, size)
        return resize_bilinear(torch.sigmoid(logits), (rows, cols))

    def compute(self, games: Sequence[Passes]) -> list[Prediction]:
        """Return the answers of games, computed as the runtime says."""
        with inference(self.runtime):
            return compute_answers(games, self.flip, stack=self.runtime.device != "cpu")


# What every card of the family offers. A 0 or -1 asks the data set, and what it says is recorded.
OPTIONS: Mapping[str, Scalar] = {
    "zoom": True,
    "zoom_target": 0,  # longer side of a crop as the network sees it, in pixels
    "flip": True,
    "threshold": 0.49,  # probability above which a pixel is the object's
    "overview": 0,  # longer side of a pass over the whole image, in pixels; 0: as it is
    "longest_side": -1,  # of the image as networks see it, in pixels; 0: as it is
}


def make_config(options: Mapping[str, Scalar], zoom: Zoom, runtime: Runtime) -> InferenceConfig:
    """Return the view that a card's options say, with the system's own way to zoom."""
    target, threshold = int(options["zoom_target"]) or zoom.target, float(options["threshold"])
    for name, least in (("zoom_target", 0), ("overview", 0), ("longest_side", -1)):
        if int(options[name]) < least:
            raise IsbenchError(f"option {name} is {options[name]}; wanted {least} pixels or more")
    if not 0 < threshold < 1:
        raise IsbenchError(f"option threshold is {threshold}; wanted above 0 and below 1")
    return InferenceConfig(
        replace(zoom, target=target) if options["zoom"] else None,
        bool(options["flip"]),
        threshold,
        int(options["overview"]),
        max(0, int(options["longest_side"])),
        runtime,
    )


@dataclass(frozen=True)
class CropPredictor:
    """A predictor whose answers are made of passes; `answer` is what tells systems apart."""

    config: InferenceConfig
    answer: Callable[[InferenceConfig, State, tuple[Click, ...]], Passes]

    def begin(self, image: Image) -> Picture:
        """Return the image as networks see it."""
        return self.config.begin(image)

    def start(self, encoded: Picture, initial: Mask | None) -> State:
        """Return the state before the first click."""
        return start_state(encoded, initial, self.config.sure)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return self.config.compute([self.passes(turn) for turn in turns])

    def passes(self, turn: Turn) -> Passes:
        """Return the passes of one answer, the clicks where the network sees them."""
        return self.answer(self.config, turn.state, scale_clicks(turn.clicks, turn.state.picture))


def answer_mask_guided(
    network: Computed, config: InferenceConfig, state: State, clicks: tuple[Click, ...]
) -> Passes:
    """Answer as a network does that takes its own last answer back as an input [RITM].

    As in the original, an answer without object makes the next pass see the whole image while the
    answer still goes to the last crop.
    """
    fresh = choose_crop(config, state, clicks)
    probability = yield from config.forward_crop(
        network, state.picture, state.probability, clicks, fresh
    )
    box = fresh or state.box
    if box is not None:
        probability = paste(probability, box, state.probability.shape)
    return (yield from conclude(config, state, probability, box))


def choose_crop(config: InferenceConfig, state: State, clicks: tuple[Click, ...]) -> Box | None:
    """Return the crop that the last answer asks for, None for the whole image."""
    if config.zoom is None:
        return None
    return config.zoom.box(state.certain, clicks, state.box)
