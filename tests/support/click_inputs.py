"""Situations of clickers: frames of many kinds, frames drawn in characters, a slow reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from isbench.types import Click, ClickInput, Mask


def make_input(
    mask: Mask, truth: Mask, ignore: Mask, clicks: Sequence[Click] = (), seed: int = 0
) -> ClickInput:
    """Return a clicker's input over a black image."""
    image, rng = np.zeros((*truth.shape, 3), np.uint8), np.random.default_rng(seed)
    return ClickInput("image#1", image, mask, truth, ignore, tuple(clicks), rng)


def find_missing(click_input: ClickInput) -> Mask:
    return click_input.truth & ~click_input.mask & ~click_input.ignore


def find_false(click_input: ClickInput) -> Mask:
    return ~click_input.truth & click_input.mask & ~click_input.ignore


def drop_clicked(click_input: ClickInput, error: Mask) -> Mask:
    left = error.copy()
    for click in click_input.clicks:
        left[click.row, click.col] = False
    return left


# A slow reference: the protocol's sentences one by one, on SciPy's transform of the whole frame.


def measure_depth(error: Mask, clicks: Sequence[Click]) -> NDArray[np.int64]:
    depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
    squared = np.rint(depth**2).astype(np.int64)
    for click in clicks:
        squared[click.row, click.col] = 0
    return squared


def reference(click_input: ClickInput) -> Click:
    missing_depth = measure_depth(find_missing(click_input), click_input.clicks)
    false_depth = measure_depth(find_false(click_input), click_input.clicks)
    positive = bool(missing_depth.max() > false_depth.max())
    deepest = missing_depth if positive else false_depth
    row, col = np.unravel_index(deepest.argmax(), deepest.shape)  # the first in row-major order
    return Click(int(row), int(col), positive)


def reference_largest(click_input: ClickInput) -> Click:
    best, size = np.zeros_like(click_input.truth), 0
    for error in (find_missing(click_input), find_false(click_input)):
        labels, count = ndimage.label(
            drop_clicked(click_input, error)
        )  # SciPy's default is 4-connected
        components = [labels == number for number in range(1, count + 1)]
        for component in sorted(components, key=lambda pixels: int(pixels.argmax())):
            if np.count_nonzero(component) > size:
                best, size = component, np.count_nonzero(component)
    return reference(replace(click_input, mask=click_input.truth ^ best))


# Frames of many kinds. A kind takes a shape and a generator and returns a mask.


def noise(density: float) -> Callable[[tuple[int, int], np.random.Generator], Mask]:
    return lambda shape, rng: rng.random(shape) < density


def blobs(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    canvas = np.zeros(shape, np.uint8)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(shape[1])), int(rng.integers(shape[0]))
        axes = tuple(int(axis) for axis in rng.integers(0, 1 + max(shape) // 3, 2))
        cv2.ellipse(canvas, place, axes, float(rng.integers(180)), 0, 360, 1, -1)
    return canvas.astype(bool)


def boxes(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    canvas = np.zeros(shape, bool)
    for _ in range(rng.integers(1, 5)):
        top, left = rng.integers(shape[0]), rng.integers(shape[1])
        canvas[top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)] ^= True
    return canvas


def lines(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    canvas = np.zeros(shape, np.uint8)
    for _ in range(rng.integers(1, 8)):
        ends = [(int(rng.integers(shape[1])), int(rng.integers(shape[0]))) for _ in range(2)]
        cv2.line(canvas, *ends, 1, int(rng.integers(1, 4)))
    return canvas.astype(bool)


KINDS: tuple[Callable[[tuple[int, int], np.random.Generator], Mask], ...] = (
    noise(0.0),
    noise(0.02),
    noise(0.5),
    noise(0.95),
    noise(0.999),
    noise(1.0),
    blobs,
    boxes,
    lines,
)


def shift_mask(mask: Mask, rng: np.random.Generator) -> Mask:
    """Return the mask moved by a pixel or two, with a bite: the answer of a model that segments."""
    moved = np.roll(mask, rng.integers(-2, 3, 2), (0, 1))
    return moved & ~boxes(moved.shape, rng) if rng.random() < 0.5 else moved


@st.composite
def click_inputs(draw: st.DrawFn, longest: int = 90) -> ClickInput:
    shape = draw(st.tuples(st.integers(1, longest), st.integers(1, longest)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    truth = draw(st.sampled_from(KINDS))(shape, rng)
    answer = draw(st.sampled_from((shift_mask, *KINDS)))
    mask = shift_mask(truth, rng) if answer is shift_mask else answer(shape, rng)
    ignore = draw(st.just(noise(0.0)) | st.sampled_from(KINDS))(shape, rng)
    click_input = make_input(mask, truth, ignore)
    for kind in draw(st.lists(st.sampled_from(["deepest", "anywhere", "again"]), max_size=25)):
        if kind == "deepest":
            click = reference(click_input)
        elif kind == "anywhere" or not click_input.clicks:
            place = int(rng.integers(shape[0])), int(rng.integers(shape[1]))
            click = Click(*place, bool(truth[place]))
        else:
            click = click_input.clicks[rng.integers(len(click_input.clicks))]
        click_input = replace(click_input, clicks=(*click_input.clicks, click))
    return click_input


def draw_input(picture: str, *clicks: tuple[int, int]) -> ClickInput:
    """Return an input drawn in characters: + missing, - false, x ignored and wrong, . right."""
    frame = np.array([list(line) for line in picture.split()])
    truth, mask = frame == "+", (frame == "-") | (frame == "x")
    return make_input(mask, truth, frame == "x", [Click(*place, False) for place in clicks])
