"""Sample k of a training: an image, an object of it, a view, other colours, and first clicks.

It depends on the recipe's seed, k and the view's size alone, so that a training that was resumed,
or shared among processes, sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError
from isbench.nn.inference.zoom_in import bounding_box
from isbench.training import augmentation
from isbench.training.augmentation import View
from isbench.training.clicks import Points, Scene, draw_first_clicks
from isbench.training.color_jitter import jitter_colors
from isbench.training.corpus import Corpus, Gallery, Packed, Picture
from isbench.training.recipe import Recipe, Weighted
from isbench.types import Mask

MEAN = (124, 116, 104)  # ImageNet's mean colour, RGB: what is outside an image
_TRIES = 4  # views that are drawn until one shows enough of the object
_PICTURES = 50  # images that are drawn until one can be loaded
_HALF = 127


class Example(NamedTuple):
    """What the network is shown and asked for."""

    image: NDArray[np.uint8]  # (rows, cols, 3) RGB
    target: NDArray[np.int8]  # (rows, cols): 1 object, 0 background, -1 neither
    points: Points  # (2K, 3)


class _Choice(NamedTuple):
    """An object of a picture, or two taken as one."""

    picture: Picture
    parts: tuple[Mask, ...]
    others: Mask | None


@dataclass(frozen=True)
class Sampler:
    """Makes samples by number; threads may ask at once."""

    gallery: Gallery
    chances: NDArray[np.float64]  # cumulative, one an image of the gallery
    recipe: Recipe

    def example(self, number: int, size: tuple[int, int]) -> Example:
        """Return sample `number` in so many rows and columns."""
        rng = np.random.default_rng([self.recipe.seed, number])
        choice = self._choice(rng)
        image, scene = self._shown(choice, size, rng)
        if rng.random() < self.recipe.augmentation.copy_paste:
            image, scene = self._pasted(image, scene, rng)
        image = jitter_colors(image, self.recipe.augmentation, rng)
        clicks = draw_first_clicks(scene, self.recipe.click_sampling, rng)
        return Example(image, scene.target, clicks)

    def _picture(self, rng: np.random.Generator) -> Picture:
        for _ in range(_PICTURES):
            number = int(np.searchsorted(self.chances, rng.random() * self.chances[-1], "right"))
            picture = self.gallery.picture(min(number, len(self.chances) - 1))
            if picture is not None:
                return picture
        name, fault = next(iter(self.gallery.faults.items()))
        raise IsbenchError(
            f"{_PICTURES} training images in a row cannot be loaded, such as {name}: {fault}; "
            "mend the data"
        )

    def _choice(self, rng: np.random.Generator) -> _Choice:
        recipe, picture = self.recipe.augmentation, self._picture(rng)
        large = [one for one in picture.objects if one.area >= recipe.least_area]
        order = rng.permutation(len(large or picture.objects))
        count = 2 if rng.random() < recipe.merge_objects else 1
        chosen = [(large or picture.objects)[k] for k in order[:count]]
        rest = [one for one in picture.objects if not any(one is other for other in chosen)]
        return _Choice(picture, tuple(one.mask for one in chosen), _union(rest))

    def _shown(
        self, choice: _Choice, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Scene]:
        """Return a view of the choice that shows enough of the object, if one is found."""
        recipe = self.recipe.augmentation
        whole_mask = np.logical_or.reduce(choice.parts)
        for attempt in range(_TRIES):
            seen = self._view(whole_mask, size, rng, whole=attempt == _TRIES - 1)
            scene = _scene(choice, seen)
            if np.count_nonzero(scene.target == 1) >= recipe.least_seen:
                break
        return augmentation.warp(choice.picture.image, seen, MEAN), scene

    def _view(
        self, mask: Mask, size: tuple[int, int], rng: np.random.Generator, whole: bool
    ) -> View:
        recipe, shape = self.recipe.augmentation, (mask.shape[0], mask.shape[1])
        lot = rng.random()
        if whole or lot < recipe.whole:
            return augmentation.view_whole(shape, size, recipe, rng)
        if lot < recipe.whole + recipe.around:
            return augmentation.view_around(bounding_box(mask), shape, size, recipe, rng)
        places = np.flatnonzero(mask)
        place = divmod(int(places[rng.integers(len(places))]), shape[1])
        return augmentation.view_crop(place, shape, size, recipe, rng)

    def _pasted(
        self, image: NDArray[np.uint8], scene: Scene, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Scene]:
        """Return the object on a crop of another image, whose objects become the others."""
        choice, size = self._choice(rng), (image.shape[0], image.shape[1])
        seen = self._view(np.logical_or.reduce(choice.parts), size, rng, whole=False)
        behind = _scene(choice, seen)
        background = augmentation.warp(choice.picture.image, seen, MEAN)
        mask = scene.target == 1
        soft = cv2.GaussianBlur(mask.view(np.uint8) * np.float32(1), (3, 3), 0)[:, :, None]
        joined = np.rint(image * soft + background * (1 - soft)).astype(np.uint8)
        target = np.where(mask, np.int8(1), np.minimum(behind.target, 0))
        others = (behind.others | (behind.target == 1)) & ~mask
        return joined, Scene(target, others, scene.parts)


def make_sampler(corpus: Corpus, recipe: Recipe) -> Sampler:
    """Return what makes the samples of a training on a corpus."""
    factors = [_share(recipe.augmentation.shares, entry.source) for entry in corpus.entries]
    if not sum(factors) > 0:
        raise IsbenchError("recipe: views.shares leave no image of the data; wanted one above 0")
    return Sampler(Gallery(corpus.entries), np.cumsum(factors), recipe)


def _share(shares: Sequence[Weighted], source: str) -> float:
    return next((share.factor for share in shares if share.name == source), 1.0)


def _union(masks: Sequence[Packed]) -> Mask | None:
    if not masks:
        return None
    bits = np.bitwise_or.reduce([one.bits for one in masks])
    return Packed(bits, masks[0].shape, 0).mask


def _scene(choice: _Choice, seen: View) -> Scene:
    parts = tuple(_seen(part, seen) for part in choice.parts)
    target = np.logical_or.reduce(parts).astype(np.int8)
    others = np.zeros(seen.size, dtype=bool)
    if choice.others is not None:
        others = _seen(choice.others, seen)
    shape = choice.picture.image.shape[:2]
    if choice.picture.ignore is not None:
        target[_seen(choice.picture.ignore.mask, seen)] = -1
    if augmentation.leaves_image(seen, (shape[0], shape[1])):
        target[~_seen(np.ones(shape, dtype=bool), seen)] = -1
    return Scene(target, others & (target == 0), tuple(part & (target == 1) for part in parts))


def _seen(mask: Mask, seen: View) -> Mask:
    return np.asarray(augmentation.warp(mask.view(np.uint8) * np.uint8(255), seen, (0,)) > _HALF)
