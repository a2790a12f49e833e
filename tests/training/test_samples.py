"""Laws of views and samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.nn.inference.zoom_in import bounding_box
from isbench.training import augmentation
from isbench.training.augmentation import Orientation, View
from isbench.training.clicks import Points
from isbench.training.color_jitter import draw_table, jitter_colors
from isbench.training.corpus import Corpus, Entry, Picture, pack_mask, split_held_out
from isbench.training.distributed import Processes
from isbench.training.pack import read
from isbench.training.prefetch import make_batch, prefetch
from isbench.training.recipe import Augmentation, Range, Recipe, Weighted
from isbench.training.samples import MEAN, Example, Sampler, make_sampler
from tests.training.test_pack import write_pack

STILL = Orientation(0.0, 0, False, False, 1.0)
PLAIN = Augmentation(rotate=0, flip_horizontal=0, jitter_colors=0, merge_objects=0)
RECIPE = Recipe(
    steps=10, augmentation=Augmentation(whole=0.3, around=0.3, quarter_turns=0.3, copy_paste=0.3)
)
SIZE = (32, 40)
seeds = st.integers(0, 2**16)
shapes = st.tuples(st.integers(20, 90), st.integers(20, 90))
turns = st.builds(
    Orientation,
    st.floats(-20, 20),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.floats(0.8, 1.25),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return read(write_pack(tmp_path_factory.mktemp("packs") / "toy", broken=(7,)))


def same(one: Example, other: Example) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def place(view: View, row: float, col: float) -> np.ndarray:
    """Return the pixel of the view that shows a place of the image."""
    linear = view.matrix[:, :2]
    return np.linalg.solve(linear, np.array([row, col]) - view.matrix[:, 2])


@given(turns, st.floats(0.3, 3))
def test_a_view_shows_its_centre_in_its_middle_at_its_scale(
    turn: Orientation, scale: float
) -> None:
    seen = augmentation.make_view((30.0, 20.0), scale, turn, SIZE)
    assert np.allclose(place(seen, 30, 20), [15.5, 19.5])
    assert abs(np.linalg.det(seen.matrix[:, :2])) == pytest.approx(1 / scale**2)


def test_a_view_as_large_as_its_image_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    seen = augmentation.make_view((15.5, 19.5), 1.0, STILL, SIZE)
    assert np.array_equal(augmentation.warp(image, seen, (0, 0, 0)), image)
    for turn, turned in (
        (STILL._replace(flip_horizontal=True), image[:, ::-1]),
        (STILL._replace(flip_vertical=True), image[::-1]),
        (STILL._replace(flip_horizontal=True, flip_vertical=True), image[::-1, ::-1]),
    ):
        seen = augmentation.make_view((15.5, 19.5), 1.0, turn, SIZE)
        assert np.array_equal(augmentation.warp(image, seen, (0, 0, 0)), turned)


def test_a_quarter_turn_is_one() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 30), dtype=np.uint8)
    seen = augmentation.make_view((14.5, 14.5), 1.0, STILL._replace(quarter_turns=1), (30, 30))
    warped = augmentation.warp(image, seen, (0,))
    assert any(np.array_equal(warped, np.rot90(image, k)) for k in (1, 3))


@given(shapes, seeds)
def test_a_whole_view_shows_the_whole_image(shape: tuple[int, int], seed: int) -> None:
    seen = augmentation.view_whole(
        shape, SIZE, replace(PLAIN, quarter_turns=0.5), np.random.default_rng(seed)
    )
    for row in (0, shape[0] - 1):
        for col in (0, shape[1] - 1):
            at = place(seen, row, col)
            assert (at >= -0.5 - 1e-6).all()
            assert (at <= np.array(SIZE) - 0.5 + 1e-6).all()


@given(shapes, seeds, st.floats(0, 1), st.floats(0, 1))
def test_a_crop_shows_the_place_it_is_for(
    shape: tuple[int, int], seed: int, row: float, col: float
) -> None:
    spot = int(row * (shape[0] - 1)), int(col * (shape[1] - 1))
    seen = augmentation.view_crop(spot, shape, SIZE, PLAIN, np.random.default_rng(seed))
    at = place(seen, *spot)
    assert (at >= -0.5 - 1e-6).all()
    assert (at <= np.array(SIZE) - 0.5 + 1e-6).all()


@given(seeds)
def test_a_view_around_an_object_shows_all_of_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((60, 70), dtype=bool)
    top, left = int(rng.integers(40)), int(rng.integers(50))
    mask[top : top + 12, left : left + 15] = True
    seen = augmentation.view_around(bounding_box(mask), (60, 70), SIZE, PLAIN, rng)
    for row in (top, top + 11):
        for col in (left, left + 14):
            at = place(seen, row, col)
            assert (at >= -0.5 - 1e-6).all()
            assert (at <= np.array(SIZE) - 0.5 + 1e-6).all()


@given(shapes, turns, st.floats(0.2, 2.5))
def test_a_view_that_stays_in_the_image_shows_nothing_outside(
    shape: tuple[int, int], turn: Orientation, scale: float
) -> None:
    seen = augmentation.make_view((shape[0] / 2, shape[1] / 3), scale, turn, SIZE)
    inside = augmentation.warp(np.full(shape, 255, np.uint8), seen, (0,))
    if not augmentation.leaves_image(seen, shape):
        assert (inside == 255).all()


@given(st.floats(0.1, 0.5), turns)
def test_shrinking_first_keeps_everything_in_place(scale: float, turn: Orientation) -> None:
    image = np.zeros((200, 240), np.uint8)
    image[60:140, 100:180] = 255
    seen = augmentation.make_view((99.5, 119.5), scale, turn, (128, 128))
    shown = augmentation.warp(image, seen, (0,)) / 255
    area = shown.sum()
    middle = np.array([np.average(axis, weights=shown) for axis in np.indices(shown.shape)])
    # in pixels of the view; a shift by half a pixel of the shrunk image would be 0.45 at 0.1
    assert abs(middle - place(seen, 99.5, 139.5)).max() < 0.35
    assert area == pytest.approx(6400 * scale**2, rel=0.06)


@given(seeds)
def test_colours_change_level_by_level(seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    changed = jitter_colors(image, Augmentation(jitter_colors=1.0), np.random.default_rng(seed))
    levels = draw_table(Augmentation(jitter_colors=1.0), _after_grey(seed))
    for channel in range(3):
        assert np.array_equal(changed[..., channel], levels[0, image[..., channel], channel])
    assert (np.diff(levels[0].astype(int), axis=0) >= 0).all()


def _after_grey(seed: int) -> np.random.Generator:
    rng = np.random.default_rng(seed)
    rng.random()
    return rng


def test_no_change_of_colour_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    assert np.array_equal(jitter_colors(image, PLAIN, np.random.default_rng(0)), image)
    grey = jitter_colors(image, replace(PLAIN, grayscale=1.0), np.random.default_rng(0))
    assert (grey == grey[..., :1]).all()


def test_a_sample_depends_on_seed_and_number_alone(corpus: Corpus) -> None:
    one, other = (make_sampler(corpus, RECIPE) for _ in range(2))
    forwards = [one.make_example(k, SIZE) for k in range(20)]
    backwards = [other.make_example(k, SIZE) for k in reversed(range(20))][::-1]
    assert all(map(same, forwards, backwards))
    reseeded = make_sampler(corpus, replace(RECIPE, seed=1))
    assert not any(same(forwards[k], reseeded.make_example(k, SIZE)) for k in range(20))


def test_batches_made_ahead_are_those_made_one_by_one(corpus: Corpus) -> None:
    maker = make_sampler(corpus, RECIPE)

    def make(step: int) -> object:
        return make_batch(maker, range(3 * step, 3 * step + 3), SIZE)

    for step, found in enumerate(prefetch(make, range(9), threads=3)):
        wanted = make(step)
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_processes_share_the_samples_of_a_step() -> None:
    import torch

    cpu = torch.device("cpu")
    whole = Processes(0, 1, cpu).split_step(5, 12)
    parts = [Processes(rank, 3, cpu).split_step(5, 12) for rank in range(3)]
    assert [number for part in parts for number in part] == list(whole)


def test_objects_are_bright_where_the_target_says(corpus: Corpus) -> None:
    maker = make_sampler(
        corpus, replace(RECIPE, augmentation=replace(RECIPE.augmentation, jitter_colors=0))
    )
    for number in range(40):
        image, target, points, _ = maker.make_example(number, SIZE)
        assert (image.shape, target.shape) == ((*SIZE, 3), SIZE)
        assert set(np.unique(target)) <= {-1, 0, 1}
        if (target == 1).sum() > 50:
            assert image[target == 1].min(axis=1).mean() > 110
        assert len(points) == 48
        _clicks_fit(points, target)


def _clicks_fit(points: Points, target: np.ndarray) -> None:
    for number, (row, col, _) in enumerate(points.astype(int)):
        if max(row, col) >= 0:
            assert target[row, col] == (1 if number < len(points) // 2 else 0)


def test_most_samples_show_their_object(corpus: Corpus) -> None:
    maker = make_sampler(corpus, RECIPE)
    shown = [(maker.make_example(k, SIZE).target == 1).sum() >= 25 for k in range(100)]
    assert np.mean(shown) > 0.95


def test_what_is_outside_the_image_is_not_scored(corpus: Corpus) -> None:
    maker = make_sampler(corpus, replace(RECIPE, augmentation=replace(PLAIN, whole=1.0)))
    image, target, *_ = maker.make_example(0, (32, 96))
    outside = target == -1
    assert 0.3 < outside.mean() < 0.7
    assert (image[:, :20] == MEAN).all()


def test_ignored_pixels_stay_ignored() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    left, right = (np.zeros((32, 32), dtype=bool) for _ in range(2))
    left[4:28, 4:12], right[4:28, 20:28] = True, True
    entry = Entry("one", "toy", 1, lambda: Picture(image, (pack_mask(left),), pack_mask(right)))
    maker = make_sampler(
        Corpus("toy", (entry,)), Recipe(steps=1, augmentation=replace(PLAIN, whole=1.0))
    )
    target = maker.make_example(0, (32, 32)).target
    assert np.array_equal(target == -1, right)
    assert np.array_equal(target == 1, left)


def test_merging_joins_two_objects() -> None:
    left, right = (np.zeros((32, 32), dtype=bool) for _ in range(2))
    left[4:28, 4:12], right[4:28, 20:28] = True, True
    picture = Picture(np.zeros((32, 32, 3), np.uint8), (pack_mask(left), pack_mask(right)), None)
    corpus = Corpus("toy", (Entry("one", "toy", 2, lambda: picture),))
    plan = Recipe(steps=1, augmentation=replace(PLAIN, whole=1.0, merge_objects=1.0))
    assert np.array_equal(
        make_sampler(corpus, plan).make_example(0, (32, 32)).target == 1, left | right
    )


def test_a_pasted_object_stands_on_another_image() -> None:
    mask = np.zeros((32, 32), dtype=bool)
    mask[8:24, 8:24] = True
    pictures = [
        Picture(np.full((32, 32, 3), level, np.uint8), (pack_mask(mask),), None)
        for level in (0, 200)
    ]
    entries = tuple(
        Entry(str(k), "toy", 1, lambda k=k: pictures[k])  # type: ignore[misc]
        for k in range(2)
    )
    plan = replace(PLAIN, whole=1.0, copy_paste=1.0)
    maker = make_sampler(Corpus("toy", entries), Recipe(steps=1, augmentation=plan))
    pairs = set()
    for number in range(20):
        image, target, *_ = maker.make_example(number, (32, 32))
        assert np.array_equal(target == 1, mask)
        pairs.add((int(image[16, 16, 0]), int(image[0, 0, 0])))
    assert pairs == {(0, 0), (0, 200), (200, 0), (200, 200)}


def test_shares_decide_how_often_a_source_is_seen(corpus: Corpus) -> None:
    plan = replace(RECIPE, augmentation=replace(PLAIN, shares=(Weighted("part", 0.25),)))
    seen: Counter[str] = Counter()

    def load_and_count(entry: Entry) -> Picture:
        seen[entry.source] += 1
        return entry.load()

    entries = tuple(replace(one, load=partial(load_and_count, one)) for one in corpus.entries)
    maker = make_sampler(replace(corpus, entries=entries), plan)
    forgetful = replace(maker, gallery=replace(maker.gallery, budget=1))
    for number in range(600):
        forgetful.make_example(number, SIZE)
    # of 20 images of one and 40 of the other: 20 * 0.25 to 40, that is 1 to 8
    assert 0.07 < seen["part"] / seen.total() < 0.16
    nothing = replace(
        plan, augmentation=replace(PLAIN, shares=(Weighted("part", 0), Weighted("whole", 0)))
    )
    with pytest.raises(IsbenchError, match=r"augmentation\.shares is 0 for every image"):
        make_sampler(corpus, nothing)


def test_no_held_out_image_is_ever_looked_at(corpus: Corpus) -> None:
    def trap() -> Picture:
        raise AssertionError

    held = {one.name for one in split_held_out(corpus)[1].entries}
    assert held
    trapped = tuple(replace(one, load=trap) if one.name in held else one for one in corpus.entries)
    maker = make_sampler(split_held_out(replace(corpus, entries=trapped))[0], RECIPE)
    for number in range(200):
        maker.make_example(number, SIZE)


def test_a_broken_image_is_passed_over_and_named(corpus: Corpus) -> None:
    maker = make_sampler(corpus, RECIPE)
    for number in range(200):
        maker.make_example(number, SIZE)
    assert list(maker.gallery.faults) == ["toy/img/007.png"]


def test_data_that_are_broken_throughout_end_the_training() -> None:
    def broken() -> Picture:
        raise IsbenchError("the disk is gone")

    maker: Sampler = make_sampler(Corpus("toy", (Entry("one", "toy", 1, broken),)), RECIPE)
    with pytest.raises(IsbenchError, match="one: the disk is gone"):
        maker.make_example(0, SIZE)


def test_a_tiny_object_falls_back_to_the_whole_image() -> None:
    mask = np.zeros((32, 32), dtype=bool)
    mask[3, 3] = True
    picture = Picture(np.zeros((32, 32, 3), np.uint8), (pack_mask(mask),), None)
    corpus = Corpus("toy", (Entry("one", "toy", 1, lambda: picture),))
    plan = Recipe(steps=1, augmentation=replace(PLAIN, scale=Range(2.0, 2.0)))
    assert np.array_equal(make_sampler(corpus, plan).make_example(0, (32, 32)).target == 1, mask)
