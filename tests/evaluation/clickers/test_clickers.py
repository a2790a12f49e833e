"""Every installed clicker keeps the contract; the contract's check catches which does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.errors import ClickerError
from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.clickers.largest import largest
from isbench.evaluation.clickers.registry import list_clicker_names, load_clicker, make_clicker
from isbench.testing import check_clicker
from isbench.types import Click, Clicker, ClickFunction, ClickInput
from tests.support.click_inputs import blobs, boxes, click_inputs, make_input

NAMES = [name for name in list_clicker_names() if name != "replay"]  # needs a file


@pytest.mark.parametrize("name", NAMES)
def test_every_clicker_keeps_the_contract(name: str) -> None:
    check_clicker(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_card_says_what_it_is(name: str) -> None:
    assert load_clicker(name).summary


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(click_input=click_inputs(longest=30), seed=st.integers(0, 2**32))
def test_strided_frames_and_the_same_generator_give_the_same_click(
    name: str, click_input: ClickInput, seed: int
) -> None:
    clicker = make_clicker(name)

    def strided(frame: np.ndarray) -> np.ndarray:
        return np.repeat(np.asfortranarray(frame), 2, axis=1)[:, ::2]

    strange = replace(
        click_input,
        mask=strided(click_input.mask),
        truth=strided(click_input.truth),
        ignore=strided(click_input.ignore),
    )
    clicks = [
        clicker(replace(one, rng=np.random.default_rng(seed))) for one in (click_input, strange)
    ]
    assert clicks[0] == clicks[1]


@pytest.fixture(scope="module")
def threads() -> Iterator[Callable[[int], None]]:
    """Return OpenCV's setter of the number of threads and put the number back afterwards."""
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


@pytest.mark.parametrize("clicker", [centre, largest])
def test_threads_never_move_a_click(clicker: ClickFunction, threads: Callable[[int], None]) -> None:
    shape = 200, 300
    for seed in range(12):
        rng = np.random.default_rng(seed)
        truth, mask = blobs(shape, rng), boxes(shape, rng)
        clicks = []
        for number in (1, 2):
            threads(number)
            clicks.append(clicker(make_input(mask, truth, np.zeros(shape, bool))))
        assert clicks[0] == clicks[1]


def click_by_own_generator() -> ClickFunction:
    own = np.random.default_rng(0)  # not the one that is given
    return lambda given: Click(int(own.integers(given.truth.shape[0])), 0, True)


def write(given: ClickInput) -> Click:
    given.truth[0, 0] = True
    return Click(0, 0, True)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (click_by_own_generator, "clicked .* when it was asked again"),
        (lambda: write, "raised ValueError: .* read-only"),
        (lambda: lambda given: None, "returned None; wanted an isbench.Click"),
        (lambda: lambda given: (10**6, 0, True), "returned .*1000000.* wanted .* a row from 0 to"),
        (lambda: lambda given: Click(*np.argwhere(given.truth)[0], True), "raised IndexError"),
    ],
    ids=["own generator", "writing", "nothing", "outside", "no error"],
)
def test_the_check_catches_a_broken_contract(make: Callable[[], ClickFunction], said: str) -> None:
    with pytest.raises(ClickerError, match=f"clicker bad {said}"):
        check_clicker(Clicker("bad", make))
