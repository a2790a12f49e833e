"""A plain evaluator like those in papers' repositories, against which isbench is timed and tested.

It plays one object after the other and decodes the image each time; it calls the eager PyTorch
network on all threads with a crop and its mirror image as a batch of two; it always processes whole
frames. It is written from the protocol and shares no code with isbench except the networks and the
data set readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from isbench.types import Dataset, Rules, Sample

Array = np.ndarray[Any, Any]
Network = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]
Clicked = tuple[int, int, bool]


class PlayedGame(NamedTuple):
    """A game, and where its time was spent."""

    key: str
    clicks: tuple[Clicked, ...]
    overlap: tuple[tuple[int, int], ...]
    model: tuple[float, ...]  # seconds of each prediction
    clicker: float
    loading: float


@dataclass(frozen=True)
class Options:
    """The inference options of a card."""

    zoom_target: int = 400
    overview: int = 0
    threshold: float = 0.49
    g2l: bool = False
    global_clicks: int = 0


def play(
    network: Network, dataset: Dataset, rules: Rules, options: Options
) -> Iterator[PlayedGame]:
    """Play a data set by the rules of ritm-2021."""
    for key in dataset.keys:
        started = perf_counter()
        sample = dataset.load(key)
        yield play_game(network, sample, rules, options, perf_counter() - started)


def choose_options(card: Mapping[str, Any]) -> Options:
    """Return a card's options, with the data set's defaults filled in."""
    wanted = {name: card[name] for name in Options.__dataclass_fields__ if name in card}
    return Options(**{**wanted, "zoom_target": card["zoom_target"] or 400})


def play_game(
    network: Network, sample: Sample, rules: Rules, options: Options, loading: float = 0.0
) -> PlayedGame:
    """Play an object; `loading` is the time that loading it took."""
    answer = (_GlobalToLocal if options.g2l else _ZoomIn)(network, sample.image, options)
    mask = np.zeros(sample.truth.shape, bool)
    clicks: list[Clicked] = []
    overlap: list[tuple[int, int]] = []
    seconds: list[float] = []
    clicker = 0.0
    for _ in range(rules.max_clicks):
        started = perf_counter()
        clicks.append(_find_next_click(mask, sample, clicks))
        click_end = perf_counter()
        with torch.no_grad():
            mask = answer(clicks)
        answer_end = perf_counter()
        scored = ~sample.ignore
        intersection = int(np.logical_and(mask, sample.truth)[scored].sum())
        union = int(np.logical_or(mask, sample.truth)[scored].sum())
        overlap.append((intersection, union))
        clicker += click_end - started + perf_counter() - answer_end
        seconds.append(answer_end - click_end)
        if union and intersection / union >= rules.stop_iou:
            break
    return PlayedGame(sample.key, tuple(clicks), tuple(overlap), tuple(seconds), clicker, loading)


def _find_next_click(mask: Array, sample: Sample, clicks: list[Clicked]) -> Clicked:
    """Return the deepest pixel of the missing or the false region, by float distances."""
    scored = ~sample.ignore
    depths = []
    for wrong in (sample.truth & ~mask & scored, ~sample.truth & mask & scored):
        padded = np.pad(wrong, 1).astype(np.uint8)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1]
        for row, col, _ in clicks:
            depth[row, col] = 0
        depths.append(depth)
    missing, false = depths
    positive = bool(missing.max() > false.max())
    depth = missing if positive else false
    rows, cols = np.where(depth == depth.max())
    return int(rows[0]), int(cols[0]), positive


class _Answer:
    def __init__(self, network: Network, image: Array, options: Options) -> None:
        self.network, self.options = network, options
        self.image = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255
        self.probability = torch.zeros(1, 1, *image.shape[:2])
        self.box: tuple[int, int, int, int] | None = None  # top, bottom, left, right, inclusive

    def _predict_box(
        self, clicks: list[Clicked], box: tuple[int, int, int, int], longer: int
    ) -> torch.Tensor:
        """Return the probabilities of a box, resized for the network to this longer side."""
        top, bottom, left, right = box
        inputs = torch.cat([self.image, self.probability], 1)
        inputs = inputs[:, :, top : bottom + 1, left : right + 1]
        height, width = inputs.shape[2:]
        scale = longer / max(height, width) if longer else 1.0
        size = max(1, round(height * scale)), max(1, round(width * scale))
        inputs = F.interpolate(inputs, size, mode="bilinear", align_corners=True)
        halves: dict[bool, list[list[float]]] = {True: [], False: []}
        for order, (row, col, positive) in enumerate(clicks):
            point = [(row - top) * size[0] / height, (col - left) * size[1] / width, order]
            halves[positive].append(point)
        places = max(1, *map(len, halves.values()))
        table = [h + [[-1.0] * 3] * (places - len(h)) for h in halves.values()]
        points = torch.tensor(table, dtype=torch.float64).reshape(1, -1, 3)
        mirror = points.clone()
        mirror[..., 1] = torch.where(
            points[..., 2] < 0, points[..., 1], size[1] - 1 - points[..., 1]
        )
        both = torch.cat([points, mirror])
        rounded = both.float()  # our networks take what single precision rounds off as well
        both = torch.cat([rounded, (both - rounded)[..., :2].float()], dim=-1)
        (logits,) = self.network(torch.cat([inputs, inputs.flip(3)]), both)
        logits = logits.float()
        return torch.sigmoid((logits[:1] + logits[1:].flip(3)) / 2)

    def _predict_whole(self, clicks: list[Clicked]) -> torch.Tensor:
        height, width = self.image.shape[2:]
        probability = self._predict_box(
            clicks, (0, height - 1, 0, width - 1), self.options.overview
        )
        return F.interpolate(probability, (height, width), mode="bilinear", align_corners=True)

    def _predict_inside(
        self, clicks: list[Clicked], box: tuple[int, int, int, int]
    ) -> torch.Tensor:
        return self._paste(self._predict_box(clicks, box, self.options.zoom_target), box)

    def _paste(self, probability: torch.Tensor, box: tuple[int, int, int, int]) -> torch.Tensor:
        top, bottom, left, right = box
        size = bottom - top + 1, right - left + 1
        whole = torch.zeros_like(self.probability)
        whole[:, :, top : bottom + 1, left : right + 1] = F.interpolate(
            probability, size, mode="bilinear", align_corners=True
        )
        return whole

    def _find_box(
        self, clicks: list[Clicked], least: int, probability: torch.Tensor
    ) -> tuple[int, int, int, int] | None:
        """Return the object's box, enlarged by 1.4, None without an object."""
        object_mask = (probability[0, 0] > 0.5).numpy()
        if not object_mask.any():
            return None
        for row, col, positive in clicks:
            if positive:
                object_mask[row, col] = True
        box: list[int] = []
        for indices, length in zip(np.where(object_mask), object_mask.shape, strict=True):
            first, last = int(indices.min()), int(indices.max())
            half = max(1.4 * (last - first + 1), least) / 2
            centre = (first + last) / 2
            box += [max(0, round(centre - half)), min(length - 1, round(centre + half))]
        return box[0], box[1], box[2], box[3]


class _ZoomIn(_Answer):
    """From the second click on a crop around the object, replaced when it no longer fits."""

    def __call__(self, clicks: list[Clicked]) -> Array:
        new_box = self._find_box(clicks, 200, self.probability) if len(clicks) > 1 else None
        if new_box is not None and (self.box is None or self._needs_new_box(clicks, new_box)):
            self.box = new_box
        if new_box is not None:
            assert self.box is not None
            self.probability = self._predict_inside(clicks, self.box)
        else:
            whole = self._predict_whole(clicks)
            self.probability = whole if self.box is None else self._paste(whole, self.box)
        return np.asarray((self.probability[0, 0] > self.options.threshold).numpy())

    def _needs_new_box(self, clicks: list[Clicked], new_box: tuple[int, int, int, int]) -> bool:
        assert self.box is not None
        top, bottom, left, right = self.box
        if any(p and not (top <= r < bottom and left <= c < right) for r, c, p in clicks):
            return True
        overlap = 1.0
        for axis in (0, 2):
            (a, b), (c, d) = new_box[axis : axis + 2], self.box[axis : axis + 2]
            intersection = max(0, min(b, d) - max(a, c) + 1)
            overlap *= intersection / (max(b, d) - min(a, c) + 1)
        return overlap < 0.5


class _GlobalToLocal(_ZoomIn):
    """The whole image first, then a crop around the object found, at all or at the first clicks."""

    def __call__(self, clicks: list[Clicked]) -> Array:
        first = self.options.global_clicks
        if first and len(clicks) > first and (self.probability > 0.5).any():
            return super().__call__(clicks)
        self.probability = self._predict_whole(clicks)
        box = self._find_box(clicks, 0, self.probability)
        if box is not None:
            self.box = box
            self.probability = self._predict_inside(clicks, box)
        return np.asarray((self.probability[0, 0] > self.options.threshold).numpy())
