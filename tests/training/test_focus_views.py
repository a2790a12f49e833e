"""Laws of training samples that are focus views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isbench.training import Augmentation, Checks, ClickSampling, Range, Recipe, train
from isbench.training.corpus import Corpus, pack_mask
from isbench.training.focus_views import LEAST_REACH, draw_focus_view, perturb_mask
from isbench.training.loop import take_steps
from isbench.training.pack import read
from isbench.training.prefetch import make_batch
from isbench.training.samples import make_sampler
from isbench.training.step import Stopwatch, iterate_clicks
from isbench.training.training_run import open_training
from tests.support.tiny import RECIPE, card
from tests.training.test_pack import write_pack
from tests.training.test_samples import same

RADIUS = Range(0.2, 0.8)
SIZE = (32, 40)
FOCUSED = Recipe(
    steps=10, augmentation=Augmentation(focus=1.0), click_sampling=ClickSampling(places=4)
)
seeds = st.integers(0, 2**16)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return read(write_pack(tmp_path_factory.mktemp("packs") / "toy"))


def draw_disk(seed: int, side: int = 96) -> np.ndarray:
    """Return a disk somewhere in a square, as a target."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((side, side))
    row, col, radius = rng.uniform(0.3, 0.7, 3) * side
    return (np.hypot(rows - row, cols - col) < radius * 0.5).astype(np.int8)


@given(seeds)
def test_a_focus_view_is_near_the_boundary_and_relative_to_the_object(seed: int) -> None:
    mask = draw_disk(seed) == 1
    focus = draw_focus_view(mask, RADIUS, np.random.default_rng(seed))
    side = float(np.sqrt(mask.sum()))
    assert max(0.2 * side, LEAST_REACH) <= focus.reach <= max(0.8 * side, LEAST_REACH)
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    boundary = np.argwhere(mask & ~np.pad(inner, 1))
    steps = abs(boundary - np.array(focus.centre)).max(axis=1)
    assert steps.min() <= 0.2 * focus.reach


@given(seeds)
def test_the_edge_of_the_image_is_no_boundary(seed: int) -> None:
    mask = np.zeros((60, 80), bool)
    mask[:, :40] = True
    focus = draw_focus_view(mask, RADIUS, np.random.default_rng(seed))
    assert abs(focus.centre[1] - 39) <= 0.2 * focus.reach
    draw_focus_view(np.ones((60, 80), bool), RADIUS, np.random.default_rng(seed))  # has none at all


@given(seeds, st.integers(0, 95), st.integers(0, 95))
def test_a_perturbed_mask_is_wrong_where_it_should_be(seed: int, row: int, col: int) -> None:
    target = draw_disk(seed)
    target[:, :5] = -1
    col = max(col, 5)
    mask = perturb_mask(target, (row, col), np.random.default_rng(seed))
    assert not mask[:, :5].any()
    if mask[row, col] == (target[row, col] == 1):  # then it is right around the centre, too
        rows, cols = np.indices(target.shape)
        near = np.hypot(rows - row, cols - col) <= 0.05 * 96 / 2
        assert np.array_equal(mask[near], target[near] == 1)


def test_half_of_the_masks_are_wrong_at_the_centre() -> None:
    target = np.ones((40, 40), np.int8)
    masks = [perturb_mask(target, (20, 20), np.random.default_rng(seed)) for seed in range(200)]
    assert 70 <= sum(not mask[20, 20] for mask in masks) <= 130
    assert any(mask[20, 20] and not mask.all() for mask in masks)  # errors around a right centre


def test_a_perturbed_mask_resembles_the_object() -> None:
    ious = []
    for seed in range(100):
        target = draw_disk(seed)
        edge = tuple(np.argwhere(target)[0])
        mask = perturb_mask(target, edge, np.random.default_rng(seed))
        both, either = (mask & (target == 1)).sum(), (mask | (target == 1)).sum()
        ious.append(both / either)
    assert 0.6 < np.mean(ious) < 0.95
    assert min(ious) > 0.05


@pytest.mark.parametrize("value", [0, 1])
def test_a_view_without_an_outline_is_perturbed_too(value: int) -> None:
    target = np.full((40, 40), value, np.int8)
    masks = [perturb_mask(target, (20, 20), np.random.default_rng(seed)) for seed in range(10)]
    assert any(mask[20, 20] == 1 - value for mask in masks)
    assert all(mask[0, 0] == value for mask in masks)


def test_the_only_click_of_a_focus_view_is_at_its_centre(corpus: Corpus) -> None:
    sampler = make_sampler(corpus, FOCUSED)
    signs, right = set(), set()
    for number in range(40):
        image, target, points, previous = sampler.make_example(number, SIZE)
        assert previous is not None
        assert image.shape == (*SIZE, 3)
        (place,) = np.flatnonzero(points[:, :2].max(axis=1) >= 0)
        row, col = points[place, :2].astype(int)
        assert (row, col) == (16, 20)
        assert target[row, col] == (place < len(points) // 2)
        right.add(bool(previous[row, col]) == bool(target[row, col]))
        signs.add(place < len(points) // 2)
    assert signs == right == {True, False}


def test_a_focus_view_depends_on_seed_and_number_alone(corpus: Corpus) -> None:
    one, other = (make_sampler(corpus, FOCUSED) for _ in range(2))
    forwards = [one.make_example(k, SIZE) for k in range(20)]
    backwards = [other.make_example(k, SIZE) for k in reversed(range(20))][::-1]
    assert all(map(same, forwards, backwards))


def test_other_samples_are_those_of_a_training_without_focus_views(corpus: Corpus) -> None:
    plain = make_sampler(corpus, replace(FOCUSED, augmentation=Augmentation()))
    half = make_sampler(corpus, replace(FOCUSED, augmentation=Augmentation(focus=0.5)))
    whole = make_sampler(corpus, FOCUSED)
    views = 0
    for number in range(60):
        found = half.make_example(number, SIZE)
        views += found.previous is not None
        wanted = plain if found.previous is None else whole
        assert same(found, wanted.make_example(number, SIZE))
    assert 18 < views < 42


def test_a_view_whose_centre_is_ignored_is_replaced(corpus: Corpus) -> None:
    picture = corpus.entries[0].load()
    everything = pack_mask(np.ones(picture.image.shape[:2], bool))
    entry = replace(corpus.entries[0], load=lambda: picture._replace(ignore=everything))
    example = make_sampler(Corpus("toy", (entry,)), FOCUSED).make_example(0, SIZE)
    assert example.previous is None
    assert (example.target == -1).all()


@pytest.mark.parametrize("places", [(), (4, 1), (0, 1, 2, 3, 4, 5)])
def test_selected_samples_of_a_batch_are_its_samples(
    corpus: Corpus, places: tuple[int, ...]
) -> None:
    sampler = make_sampler(corpus, replace(FOCUSED, augmentation=Augmentation(focus=0.5)))
    batch = make_batch(sampler, range(10, 16), SIZE)
    chosen = batch.select(places)
    assert list(chosen.numbers) == [10 + place for place in places]
    for part, whole in zip(chosen[1:], batch[1:], strict=True):
        assert np.array_equal(part, np.asarray(whole)[list(places)])


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_focus_views_keep_their_mask_and_their_click(
    share: float, toy_pack: str, tmp_path: Path
) -> None:
    plan = replace(
        RECIPE,
        augmentation=replace(RECIPE.augmentation, focus=share),
        click_sampling=replace(RECIPE.click_sampling, iterative=3, binary_mask=True),
        checks=Checks(validation=0),
    )
    with open_training(card, plan, toy_pack, tmp_path) as run:
        for run.step in range(6):
            batch = make_batch(run.sampler, range(8 * run.step, 8 * run.step + 8), SIZE)
            images = torch.from_numpy(batch.images).permute(0, 3, 1, 2).float() / 255
            previous, points = iterate_clicks(run, images, batch, Stopwatch())
            masks, focus = previous[:, 0].numpy(), batch.focus
            assert focus.all() if share == 1 else 0 < focus.sum() < 8
            assert np.array_equal(masks[focus], batch.previous[focus])
            assert np.array_equal(points[focus], batch.points[focus])
            assert set(np.unique(masks)) <= {0, 1}
            if focus.all():
                continue
            others = batch.select(np.flatnonzero(~focus).tolist())
            alone = iterate_clicks(run, images[~focus], others, Stopwatch())
            assert np.array_equal(masks[~focus], alone[0][:, 0].numpy())
            assert np.array_equal(points[~focus], alone[1])


@pytest.mark.usefixtures("one_thread")
def test_a_training_with_focus_views_goes_on_as_it_would_have(
    toy_pack: str, tmp_path: Path
) -> None:
    plan = replace(
        RECIPE,
        augmentation=replace(RECIPE.augmentation, focus=0.5),
        checks=Checks(validation=0, checkpoint=2),
    )
    train(card, toy_pack, tmp_path / "whole", recipe=plan)
    with open_training(card, plan, toy_pack, tmp_path / "parts") as run:
        for event in take_steps(run):
            if event.step == 4:
                break
        run.checkpoint()
    train(card, toy_pack, tmp_path / "parts", recipe=plan, resume=True)
    files = [tmp_path / name / "weights.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
