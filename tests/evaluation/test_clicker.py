"""Laws of the robot user, against a slow reference and the original evaluator's games."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from baselines.nearest import Nearest
from isbench.datasets import load_dataset
from isbench.evaluation.clicker import CLICKERS, centre, largest, random
from isbench.types import Click, Mask, Turn


class Question(NamedTuple):
    """What a clicker is asked."""

    mask: Mask
    truth: Mask
    ignore: Mask
    clicks: tuple[Click, ...] = ()

    @property
    def missing(self) -> Mask:
        return self.truth & ~self.mask & ~self.ignore

    @property
    def false(self) -> Mask:
        return ~self.truth & self.mask & ~self.ignore

    def unclicked(self, error: Mask) -> Mask:
        left = error.copy()
        for click in self.clicks:
            left[click.row, click.col] = False
        return left


def lots(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# A slow reference: the protocol's sentences one by one, on SciPy's transform of the whole frame.


def squared_depth(error: Mask, clicks: Sequence[Click]) -> NDArray[np.int64]:
    depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
    squared = np.rint(depth**2).astype(np.int64)
    for click in clicks:
        squared[click.row, click.col] = 0
    return squared


def reference(question: Question) -> Click:
    missing = squared_depth(question.missing, question.clicks)
    false = squared_depth(question.false, question.clicks)
    positive = bool(missing.max() > false.max())
    deepest = missing if positive else false
    row, col = np.unravel_index(deepest.argmax(), deepest.shape)  # the first in row-major order
    return Click(int(row), int(col), positive)


def reference_largest(question: Question) -> Click:
    best, size = np.zeros_like(question.truth), 0
    for error in (question.missing, question.false):
        labels, count = ndimage.label(question.unclicked(error))  # SciPy's default is 4-connected
        components = [labels == number for number in range(1, count + 1)]
        for component in sorted(components, key=lambda pixels: int(pixels.argmax())):
            if np.count_nonzero(component) > size:
                best, size = component, np.count_nonzero(component)
    return reference(question._replace(mask=question.truth ^ best))


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


def rimmed(mask: Mask, rng: np.random.Generator) -> Mask:
    """Return the mask moved by a pixel or two, with a bite: the answer of a model that segments."""
    moved = np.roll(mask, rng.integers(-2, 3, 2), (0, 1))
    return moved & ~boxes(moved.shape, rng) if rng.random() < 0.5 else moved


@st.composite
def questions(draw: st.DrawFn, longest: int = 90) -> Question:
    shape = draw(st.tuples(st.integers(1, longest), st.integers(1, longest)))
    rng = lots(draw(st.integers(0, 2**32)))
    truth = draw(st.sampled_from(KINDS))(shape, rng)
    answer = draw(st.sampled_from((rimmed, *KINDS)))
    mask = rimmed(truth, rng) if answer is rimmed else answer(shape, rng)
    ignore = draw(st.just(noise(0.0)) | st.sampled_from(KINDS))(shape, rng)
    question = Question(mask, truth, ignore)
    for kind in draw(st.lists(st.sampled_from(["deepest", "anywhere", "again"]), max_size=25)):
        if kind == "deepest":
            click = reference(question)
        elif kind == "anywhere" or not question.clicks:
            place = int(rng.integers(shape[0])), int(rng.integers(shape[1]))
            click = Click(*place, bool(truth[place]))
        else:
            click = question.clicks[rng.integers(len(question.clicks))]
        question = question._replace(clicks=(*question.clicks, click))
    return question


# `centre`


@settings(max_examples=300)
@given(questions())
def test_centre_is_the_reference(question: Question) -> None:
    assert centre(*question, lots()) == reference(question)


@pytest.mark.parametrize(
    "kind", [blobs, boxes, noise(1.0), noise(0.9999)], ids=["blobs", "boxes", "full", "pierced"]
)
def test_centre_is_the_reference_where_the_error_is_wide(
    kind: Callable[[tuple[int, int], np.random.Generator], Mask],
) -> None:
    shape = 300, 420
    for seed in range(4):
        truth, empty = kind(shape, lots(seed)), np.zeros(shape, bool)
        question = Question(empty, truth, empty)
        for _ in range(3):
            click = centre(*question, lots())
            assert click == reference(question)
            question = question._replace(clicks=(*question.clicks, click))


def band(slope: tuple[int, int], half_width: float) -> Mask:
    """Return a straight band across a square frame, its normal in the direction of the slope."""
    rows, cols = np.indices((161, 161)) - 80
    return abs(rows * slope[0] + cols * slope[1]) / np.hypot(*slope) < half_width


@pytest.mark.parametrize("missing_slope", [(0, 1), (1, 5), (1, 2), (1, 1)])
@pytest.mark.parametrize("false_slope", [(0, 1), (1, 5), (1, 2), (1, 1)])
def test_centre_tells_the_deeper_of_two_bands_in_any_directions(
    missing_slope: tuple[int, int], false_slope: tuple[int, int]
) -> None:
    # a path of steps on the grid is longest for the line it stands for at 1:5, shortest at 1:2
    nothing = np.zeros((161, 161), bool)
    for more in (-1.0, -0.5, 0.0, 0.5, 1.0):
        truth = np.hstack([band(missing_slope, 40), nothing])
        mask = np.hstack([nothing, band(false_slope, 40 + more)])
        question = Question(mask, truth, np.zeros_like(truth))
        assert centre(*question, lots()) == reference(question)


@given(questions(longest=30))
def test_a_click_is_on_a_wrong_pixel_of_its_sign_or_first_and_negative(question: Question) -> None:
    click = centre(*question, lots())
    missing, false = question.unclicked(question.missing), question.unclicked(question.false)
    if (missing | false).any():
        assert (missing if click.positive else false)[click.row, click.col]
    else:
        assert click == Click(0, 0, False)


@pytest.fixture(scope="module")
def threads() -> Iterator[Callable[[int], None]]:
    """Return OpenCV's setter of the number of threads and put the number back afterwards."""
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


@pytest.mark.parametrize("clicker", [centre, largest])
def test_threads_never_move_a_click(
    clicker: Callable[..., Click], threads: Callable[[int], None]
) -> None:
    shape = 200, 300
    for seed in range(12):
        rng = lots(seed)
        truth, mask = blobs(shape, rng), boxes(shape, rng)
        clicks = []
        for number in (1, 2):
            threads(number)
            clicks.append(clicker(mask, truth, np.zeros(shape, bool), (), lots()))
        assert clicks[0] == clicks[1]


@given(questions(longest=30))
def test_the_roles_exchanged_turn_the_sign_unless_both_parts_are_equally_deep(
    question: Question,
) -> None:
    click = centre(*question, lots())
    exchanged = centre(*question._replace(mask=question.truth, truth=question.mask), lots())
    if click.positive or exchanged.positive:
        assert exchanged == click._replace(positive=not click.positive)
    else:  # a tie is negative both ways
        missing, false = question.missing, question.false
        depth = [squared_depth(error, question.clicks).max() for error in (missing, false)]
        assert depth[0] == depth[1]


@pytest.mark.parametrize("clicker", CLICKERS.values(), ids=CLICKERS)
@settings(max_examples=30)
@given(question=questions(longest=30))
def test_nothing_that_a_clicker_is_given_is_written_to(
    clicker: Callable[..., Click], question: Question
) -> None:
    before = [frame.copy() for frame in question[:3]]
    clicks = list(question.clicks)
    clicker(*question[:3], clicks, lots())
    assert all(np.array_equal(old, new) for old, new in zip(before, question, strict=False))
    assert clicks == list(question.clicks)


@pytest.mark.parametrize("clicker", CLICKERS.values(), ids=CLICKERS)
@settings(max_examples=30)
@given(question=questions(longest=30))
def test_read_only_and_strided_frames_are_as_good(
    clicker: Callable[..., Click], question: Question
) -> None:
    strided = [np.repeat(np.asfortranarray(frame), 2, axis=1)[:, ::2] for frame in question[:3]]
    for frame in strided:
        frame.flags.writeable = False
    strange = Question(*strided, question.clicks)
    assert clicker(*strange, lots()) == clicker(*question, lots())


def drawn(picture: str, *clicks: tuple[int, int]) -> Question:
    """Return a question drawn in characters: + missing, - false, x ignored and wrong, . right."""
    frame = np.array([list(line) for line in picture.split()])
    truth, mask = frame == "+", (frame == "-") | (frame == "x")
    return Question(mask, truth, frame == "x", tuple(Click(*place, False) for place in clicks))


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        pytest.param(drawn("... ... ..."), (0, 0, False), id="nothing is wrong"),
        pytest.param(drawn("xxx xxx xxx"), (0, 0, False), id="nothing is scored"),
        pytest.param(drawn("..+", (0, 2)), (0, 0, False), id="all that is wrong was clicked"),
        pytest.param(drawn("+"), (0, 0, True), id="a frame of one pixel"),
        pytest.param(drawn("+.-"), (0, 2, False), id="equal depths are negative"),
        pytest.param(drawn(".++ .++ ..-"), (2, 2, False), id="width without depth is a tie"),
        pytest.param(drawn("+++- +++. +++."), (1, 1, True), id="deeper is positive"),
        pytest.param(drawn("---+ ---. ---."), (1, 1, False), id="deeper is negative"),
        pytest.param(drawn(".+. ... +.+"), (0, 1, True), id="the first row"),
        pytest.param(drawn("... .+. +.+"), (1, 1, True), id="a row before a column"),
        pytest.param(drawn("+++++ +++++ +++++"), (1, 1, True), id="the first column of a row"),
        pytest.param(drawn("++.. ++.. .... ...."), (0, 0, True), id="outside the image, corner"),
        pytest.param(drawn("+++. +++. +++. ...."), (1, 1, True), id="outside the image, edges"),
        pytest.param(drawn("+++x+++ +++x+++ +++x+++"), (1, 1, True), id="ignored is outside"),
        pytest.param(drawn("+.++", (0, 0)), (0, 2, True), id="a click is not repeated"),
        pytest.param(drawn("+.++", (0, 0), (0, 0)), (0, 2, True), id="a click counts once"),
        pytest.param(drawn("+.--", (0, 2), (0, 3)), (0, 0, True), id="a clicked part is shallow"),
        pytest.param(
            # the ring about the centre is 3 deep; were the centre outside, (1, 1) were the deepest
            drawn("+++++++ " * 7, (3, 3)),
            (2, 2, True),
            id="a clicked pixel is still inside the error",
        ),
    ],
)
def test_centre_by_hand(question: Question, wanted: tuple[int, int, bool]) -> None:
    assert centre(*question, lots()) == Click(*wanted)
    assert reference(question) == Click(*wanted)


def test_centre_draws_no_lots() -> None:
    rng = lots()
    before = rng.bit_generator.state
    centre(*drawn("++. ++. ..-"), rng)
    assert rng.bit_generator.state == before


# `largest` and `random`


@given(questions(longest=30))
def test_largest_is_the_centre_of_the_largest_component(question: Question) -> None:
    assert largest(*question, lots()) == reference_largest(question)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        pytest.param(drawn("..."), (0, 0, False), id="nothing is wrong"),
        pytest.param(
            drawn("++++++++++. ........... .......---. .......---. .......---."),
            (0, 0, True),
            id="more pixels, less deep",
        ),
        pytest.param(
            drawn("........+++ -------.+++ ........+++"), (1, 9, True), id="more pixels, deeper"
        ),
        pytest.param(drawn("--.++"), (0, 3, True), id="equal sizes are positive"),
        pytest.param(drawn("...++ ++..."), (0, 3, True), id="then the first in row-major order"),
        pytest.param(drawn("+... .+.. ..++"), (2, 2, True), id="corners do not connect"),
        pytest.param(drawn("+++++.+++", (0, 2)), (0, 6, True), id="a click splits a part"),
    ],
)
def test_largest_by_hand(question: Question, wanted: tuple[int, int, bool]) -> None:
    assert largest(*question, lots()) == Click(*wanted)


@given(questions(longest=30), st.integers(0, 2**32))
def test_random_clicks_a_wrong_pixel_of_its_sign(question: Question, seed: int) -> None:
    click = random(*question, lots(seed))
    if (question.missing | question.false).any():
        error = question.missing if click.positive else question.false
        assert error[click.row, click.col]
    else:
        assert click == Click(0, 0, False)


@pytest.mark.parametrize("clicker", CLICKERS.values(), ids=CLICKERS)
@settings(max_examples=30)
@given(question=questions(longest=30), seed=st.integers(0, 2**32))
def test_the_same_generator_gives_the_same_click(
    clicker: Callable[..., Click], question: Question, seed: int
) -> None:
    assert clicker(*question, lots(seed)) == clicker(*question, lots(seed))


def test_random_gives_every_wrong_pixel_an_equal_chance() -> None:
    question, rng = drawn("+.- .+x"), lots()
    clicks = [random(*question, rng) for _ in range(3000)]
    counts = [clicks.count(Click(*place)) for place in [(0, 0, True), (0, 2, False), (1, 1, True)]]
    assert sum(counts) == 3000
    assert min(counts) > 900  # 1000 are expected, with a standard deviation of 26


# The original evaluator's games


def test_the_originals_games_are_replayed_click_by_click(
    real_data: Path, golden: Callable[[str], Any]
) -> None:
    games = {game["id"]: game["clicks"] for game in golden("nearest_GrabCut_20.json")["objects"]}
    dataset, predictor = load_dataset("grabcut", real_data), Nearest()
    assert {key.partition("#")[0] for key in dataset.keys} == set(games)
    for key in dataset.keys:
        sample = dataset.load(key)
        state = predictor.start(predictor.begin(sample.image), None)
        mask, clicks = np.zeros_like(sample.truth), ()
        for row, col, positive in games[key.partition("#")[0]]:
            wanted = Click(row, col, bool(positive))
            assert centre(mask, sample.truth, sample.ignore, clicks, lots()) == wanted, key
            clicks = (*clicks, wanted)
            ((mask, state),) = predictor.predict([Turn(state, clicks)])
