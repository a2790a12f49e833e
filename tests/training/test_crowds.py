"""Laws of crowds: one copy is the target; all others are background that clicks are drawn from."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.training.corpus import Corpus, Entry, Picture, pack_mask, split_held_out
from isbench.training.crowds import LEAST_SIDE, Cutout, cut_out, draw_crowd
from isbench.training.pack import read
from isbench.training.recipe import Augmentation, ClickSampling, Recipe
from isbench.training.samples import make_sampler
from tests.training.test_pack import write_pack
from tests.training.test_samples import same

SIZE = (96, 128)
PLAIN = Augmentation(
    whole=1.0, rotate=0, flip_horizontal=0, jitter_colors=0, merge_objects=0, crowds=1.0
)
sizes = st.tuples(st.integers(32, 160), st.integers(32, 160))
boxes = st.tuples(st.integers(LEAST_SIDE, 60), st.integers(LEAST_SIDE, 60))
seeds = st.integers(0, 2**16)


def make_cutout(box: tuple[int, int], level: int) -> Cutout:
    return Cutout(np.full((*box, 3), level, np.uint8), np.ones(box, dtype=bool))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return split_held_out(read(write_pack(tmp_path_factory.mktemp("packs") / "toy")))[0]


@given(sizes, boxes, boxes, seeds)
def test_the_target_is_one_copy_and_the_background_stays_between_the_copies(
    size: tuple[int, int], first: tuple[int, int], second: tuple[int, int], seed: int
) -> None:
    background = np.full((*size, 3), 7, np.uint8)
    cutouts = make_cutout(first, 100), make_cutout(second, 200)
    image, target, others = draw_crowd(background, cutouts, np.random.default_rng(seed))
    assert image.shape == background.shape
    assert target.shape == others.shape == size
    assert target.any()
    assert not (target & others).any()
    assert cv2.connectedComponents(target.view(np.uint8))[0] == 2  # the outside, and one object
    assert (image[~target & ~others] == 7).all()
    assert (abs(image[target].astype(int) - 100) <= 16).all()  # never the second cut-out
    assert (image[others] > 80).all()


@given(boxes, seeds)
def test_copies_of_one_object_are_of_that_object(box: tuple[int, int], seed: int) -> None:
    background = np.zeros((*SIZE, 3), np.uint8)
    rng = np.random.default_rng(seed)
    image, target, others = draw_crowd(background, (make_cutout(box, 100),), rng)
    assert (abs(image[target | others].astype(int) - 100) <= 16).all()


def test_crowds_have_few_and_many_copies() -> None:
    background, cutout = np.zeros((256, 256, 3), np.uint8), make_cutout((20, 20), 100)
    counts = [
        cv2.connectedComponents(found.others.view(np.uint8))[0] - 1
        for seed in range(60)
        for found in [draw_crowd(background, (cutout,), np.random.default_rng(seed))]
    ]
    assert min(counts) <= 2
    assert max(counts) >= 20


def test_a_cutout_is_the_object_in_its_box() -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8), np.zeros((40, 50), dtype=bool)
    mask[5:25, 10:40] = True
    mask[5, 10] = False
    found = cut_out(image, mask)
    assert found is not None
    assert np.array_equal(found.pixels, image[5:25, 10:40])
    assert np.array_equal(found.mask, mask[5:25, 10:40])
    mask[:, 10 + LEAST_SIDE - 1 :] = False
    assert cut_out(image, mask) is None
    assert cut_out(image, np.zeros_like(mask)) is None


def test_a_sample_of_a_crowd_has_one_object_and_clicks_on_it_alone() -> None:
    pictures = []
    for level in (60, 220):
        mask = np.zeros(SIZE, dtype=bool)
        mask[20:60, 30:90] = True
        image = np.where(mask, np.uint8(level), np.uint8(0))[:, :, None].repeat(3, axis=2)
        pictures.append(Picture(image, (pack_mask(mask),), None))
    entries = tuple(
        Entry(str(k), "toy", 1, lambda k=k: pictures[k])  # type: ignore[misc]
        for k in range(2)
    )
    recipe = Recipe(
        steps=1,
        augmentation=PLAIN,
        click_sampling=ClickSampling(background=0, others=1, ring=0, eroded=0),
    )
    sampler = make_sampler(Corpus("toy", entries), recipe)
    negatives = 0
    for number in range(60):
        image, target, points, _ = sampler.make_example(number, SIZE)
        assert cv2.connectedComponents((target == 1).view(np.uint8))[0] == 2
        used = points[:, 0] >= 0
        half = len(points) // 2
        rows, cols, _ = points[used].astype(int).T
        positive = np.flatnonzero(used) < half
        assert (target[rows[positive], cols[positive]] == 1).all()
        assert (target[rows[~positive], cols[~positive]] == 0).all()
        assert (image[rows[~positive], cols[~positive]] > 0).all()  # on other objects
        negatives += int((~positive).sum())
    assert negatives > 30


def test_other_samples_are_those_of_a_training_without_crowds(corpus: Corpus) -> None:
    views = replace(PLAIN, whole=0.3, around=0.3, copy_paste=0.3, jitter_colors=0.5)
    without, some, all_ = (
        make_sampler(corpus, Recipe(steps=1, augmentation=replace(views, crowds=share)))
        for share in (0.0, 0.5, 1.0)
    )
    kinds = set()
    for number in range(30):
        plain, mixed, crowded = (s.make_example(number, SIZE) for s in (without, some, all_))
        assert same(mixed, plain) or same(mixed, crowded)
        kinds.add((same(mixed, plain), same(mixed, crowded)))
    assert {(True, False), (False, True)} <= kinds


def test_an_object_too_small_for_a_crowd_stays_alone(corpus: Corpus) -> None:
    mask = np.zeros(SIZE, dtype=bool)
    mask[20:25, 30:90] = True
    picture = Picture(np.zeros((*SIZE, 3), np.uint8), (pack_mask(mask),), None)
    alone = Corpus("toy", (Entry("one", "toy", 1, lambda: picture),))
    sampler = make_sampler(alone, Recipe(steps=1, augmentation=PLAIN))
    assert np.array_equal(sampler.make_example(0, SIZE).target == 1, mask)


def test_an_object_that_vanishes_in_a_crowd_stays_alone() -> None:
    rows, cols = np.indices(SIZE)
    mask = (rows + cols) % 64 == 0  # lines of one pixel, whose smaller copies are fainter than half
    picture = Picture(np.zeros((*SIZE, 3), np.uint8), (pack_mask(mask),), None)
    sampler = make_sampler(
        Corpus("toy", (Entry("one", "toy", 1, lambda: picture),)),
        Recipe(steps=1, augmentation=PLAIN),
    )
    assert np.array_equal(sampler.make_example(0, SIZE).target == 1, mask)
