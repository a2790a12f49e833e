"""Training sample k: an image, one of its objects, a view, jittered colours and the first clicks.

A sample depends only on the recipe's seed, k and the view's size, so a training that is resumed, or
split among processes, sees the same samples.
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
from isbench.training import augmentation, seed_tags
from isbench.training.augmentation import View
from isbench.training.clicks import ObjectMasks, Points, draw_first_clicks, make_points
from isbench.training.color_jitter import jitter_colors
from isbench.training.corpus import Corpus, Gallery, PackedMask, Picture
from isbench.training.crowds import blur, cut_out, draw_crowd
from isbench.training.focus_views import draw_focus_view, perturb_mask
from isbench.training.recipe import Recipe, Weighted
from isbench.types import Mask

MEAN = (124, 116, 104)  # ImageNet's mean colour, RGB: fills what is outside an image
_TRIES = 4  # views to try until one shows enough of the object
_PICTURES = 50  # images to try until one can be loaded
_HALF = 127
_PLAIN = 0.5  # share of crowds on a plain background
_BLACK = (0, 0, 0)  # what is outside an image in a focus view


class Example(NamedTuple):
    """One training sample: the network's inputs and its target."""

    image: NDArray[np.uint8]  # (rows, cols, 3) RGB
    target: NDArray[np.int8]  # (rows, cols): 1 object, 0 background, -1 ignored
    points: Points  # (2K, 3)
    previous: Mask | None = None  # (rows, cols) of a focus view: the mask before its click


class _Choice(NamedTuple):
    """An object of an image, or two merged into one."""

    picture: Picture
    parts: tuple[Mask, ...]
    others: Mask | None


@dataclass(frozen=True)
class Sampler:
    """Makes samples by number; safe to call from several threads."""

    gallery: Gallery
    chances: NDArray[np.float64]  # cumulative weights, one per image of the gallery
    recipe: Recipe

    def make_example(self, number: int, size: tuple[int, int]) -> Example:
        """Return sample `number`, `size` giving its rows and columns.

        Samples that are no focus views, or no crowds, do not depend on the share of those that are.
        """
        return self._draw_focus_view(number, size) or self._draw_sample(number, size)

    def _draw_sample(self, number: int, size: tuple[int, int]) -> Example:
        rng = np.random.default_rng([self.recipe.seed, number])
        choice = self._draw_choice(rng)
        image, masks = self._draw_view(choice, size, rng)
        if rng.random() < self.recipe.augmentation.copy_paste:
            image, masks = self._paste_object(image, masks, rng)
        image, masks = self._draw_crowd(image, masks, number)
        image = jitter_colors(image, self.recipe.augmentation, rng)
        clicks = draw_first_clicks(masks, self.recipe.click_sampling, rng)
        return Example(image, masks.target, clicks)

    def _draw_focus_view(self, number: int, size: tuple[int, int]) -> Example | None:
        """Return a focus view with a click at its centre, None if it is not wanted.

        Also None if, in all tries, the pixel at the centre is ignored.
        """
        recipe = self.recipe.augmentation
        rng = np.random.default_rng([self.recipe.seed, number, seed_tags.FOCUS])
        if rng.random() >= recipe.focus:
            return None
        choice, centre = self._draw_choice(rng), (size[0] // 2, size[1] // 2)
        mask = np.logical_or.reduce(choice.parts)
        for _ in range(_TRIES):
            focus = draw_focus_view(mask, recipe.focus_radius, rng)
            view = augmentation.view_square(*focus, size, recipe, rng)
            target = _make_masks(choice, view).target
            if target[centre] >= 0:
                break
        else:
            return None
        image = augmentation.warp(choice.picture.image, view, _BLACK)
        previous = perturb_mask(target, centre, rng)
        click = (*centre, bool(target[centre] == 1))
        points = make_points(click, self.recipe.click_sampling.places)
        return Example(jitter_colors(image, recipe, rng), target, points, previous)

    def _draw_picture(self, rng: np.random.Generator) -> Picture:
        for _ in range(_PICTURES):
            number = int(np.searchsorted(self.chances, rng.random() * self.chances[-1], "right"))
            picture = self.gallery.load_picture(min(number, len(self.chances) - 1))
            if picture is not None:
                return picture
        name, fault = next(iter(self.gallery.faults.items()))
        raise IsbenchError(
            f"{_PICTURES} training images in a row cannot be loaded, such as {name}: {fault}; "
            "repair the data"
        )

    def _draw_choice(self, rng: np.random.Generator) -> _Choice:
        recipe, picture = self.recipe.augmentation, self._draw_picture(rng)
        large = [one for one in picture.objects if one.area >= recipe.least_area]
        order = rng.permutation(len(large or picture.objects))
        count = 2 if rng.random() < recipe.merge_objects else 1
        chosen = [(large or picture.objects)[k] for k in order[:count]]
        rest = [one for one in picture.objects if not any(one is other for other in chosen)]
        return _Choice(picture, tuple(one.mask for one in chosen), _join_masks(rest))

    def _draw_view(
        self, choice: _Choice, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], ObjectMasks]:
        """Return a view that shows enough of the object, or the last one tried."""
        recipe = self.recipe.augmentation
        whole_mask = np.logical_or.reduce(choice.parts)
        for attempt in range(_TRIES):
            view = self._draw_geometry(whole_mask, size, rng, whole=attempt == _TRIES - 1)
            masks = _make_masks(choice, view)
            if np.count_nonzero(masks.target == 1) >= recipe.least_seen:
                break
        return augmentation.warp(choice.picture.image, view, MEAN), masks

    def _draw_geometry(
        self, mask: Mask, size: tuple[int, int], rng: np.random.Generator, whole: bool
    ) -> View:
        recipe, shape = self.recipe.augmentation, (mask.shape[0], mask.shape[1])
        draw = rng.random()
        if whole or draw < recipe.whole:
            return augmentation.view_whole(shape, size, recipe, rng)
        if draw < recipe.whole + recipe.around:
            return augmentation.view_around(bounding_box(mask), shape, size, recipe, rng)
        places = np.flatnonzero(mask)
        place = divmod(int(places[rng.integers(len(places))]), shape[1])
        return augmentation.view_crop(place, shape, size, recipe, rng)

    def _paste_object(
        self, image: NDArray[np.uint8], masks: ObjectMasks, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], ObjectMasks]:
        """Paste the object onto a crop of another image, whose objects become the others."""
        choice, size = self._draw_choice(rng), (image.shape[0], image.shape[1])
        view = self._draw_geometry(np.logical_or.reduce(choice.parts), size, rng, whole=False)
        behind = _make_masks(choice, view)
        background = augmentation.warp(choice.picture.image, view, MEAN)
        mask = masks.target == 1
        soft = cv2.GaussianBlur(mask.view(np.uint8) * np.float32(1), (3, 3), 0)[:, :, None]
        blended = np.rint(image * soft + background * (1 - soft)).astype(np.uint8)
        return blended, _put_before(behind, mask, masks.parts)

    def _draw_crowd(
        self, image: NDArray[np.uint8], masks: ObjectMasks, number: int
    ) -> tuple[NDArray[np.uint8], ObjectMasks]:
        """Return a crowd of the object on a view of another image, or what is given.

        Half of the views are blurred, which leaves a background without objects.
        """
        rng = np.random.default_rng([self.recipe.seed, number, seed_tags.CROWD])
        if rng.random() >= self.recipe.augmentation.crowds:
            return image, masks
        wanted = cut_out(image, masks.target == 1)
        if wanted is None:
            return image, masks
        size = (image.shape[0], image.shape[1])
        background, behind = self._draw_view(self._draw_choice(rng), size, rng)
        other = cut_out(background, behind.target == 1)
        if rng.random() < _PLAIN:
            background, behind = blur(background), _make_blank_masks(size)
        crowd = draw_crowd(background, (wanted, other) if other else (wanted,), rng)
        if np.count_nonzero(crowd.target) < self.recipe.augmentation.least_seen:
            return image, masks  # too thin an object
        found = _put_before(behind, crowd.target, (crowd.target,))
        found.target[crowd.others] = 0
        found.others[crowd.others] = True
        return crowd.image, found


def make_sampler(corpus: Corpus, recipe: Recipe) -> Sampler:
    """Return the sampler of a training on a corpus.

    Raises IsbenchError if the recipe draws none of its images.
    """
    factors = [_find_weight(recipe.augmentation.shares, entry.source) for entry in corpus.entries]
    if not sum(factors) > 0:
        raise IsbenchError(
            "recipe: augmentation.shares is 0 for every image of the data; wanted one above 0",
            setting="settings",
        )
    return Sampler(Gallery(corpus.entries), np.cumsum(factors), recipe)


def _find_weight(shares: Sequence[Weighted], source: str) -> float:
    return next((share.factor for share in shares if share.name == source), 1.0)


def _join_masks(masks: Sequence[PackedMask]) -> Mask | None:
    if not masks:
        return None
    bits = np.bitwise_or.reduce([one.bits for one in masks])
    return PackedMask(bits, masks[0].shape, 0).mask


def _make_masks(choice: _Choice, view: View) -> ObjectMasks:
    parts = tuple(_warp_mask(part, view) for part in choice.parts)
    target = np.logical_or.reduce(parts).astype(np.int8)
    others = np.zeros(view.size, dtype=bool)
    if choice.others is not None:
        others = _warp_mask(choice.others, view)
    shape = choice.picture.image.shape[:2]
    if choice.picture.ignore is not None:
        target[_warp_mask(choice.picture.ignore.mask, view)] = -1
    if augmentation.leaves_image(view, (shape[0], shape[1])):
        target[~_warp_mask(np.ones(shape, dtype=bool), view)] = -1
    return ObjectMasks(
        target, others & (target == 0), tuple(part & (target == 1) for part in parts)
    )


def _put_before(behind: ObjectMasks, mask: Mask, parts: tuple[Mask, ...]) -> ObjectMasks:
    """Return the masks of an object in front of a view, whose own objects become the others."""
    target = np.where(mask, np.int8(1), np.minimum(behind.target, 0))
    return ObjectMasks(target, (behind.others | (behind.target == 1)) & ~mask, parts)


def _make_blank_masks(size: tuple[int, int]) -> ObjectMasks:
    return ObjectMasks(np.zeros(size, np.int8), np.zeros(size, dtype=bool), ())


def _warp_mask(mask: Mask, view: View) -> Mask:
    return np.asarray(augmentation.warp(mask.view(np.uint8) * np.uint8(255), view, (0,)) > _HALF)
