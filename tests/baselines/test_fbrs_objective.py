"""What f-BRS minimises: squares around clicks, the loss, where the search stops, what is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from baselines.fbrs.objective import (
    Objective,
    Squares,
    draw_squares,
    measure_change,
    measure_errors,
    optimise,
    rescale,
)
from tests.support.synthetic import draw_picture

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "networks" / "fbrs.json").read_text()
)
CPU = torch.device("cpu")
Places = Sequence[tuple[float, float, bool]]


def draw(clicks: Places, size: tuple[int, int] = (20, 30)) -> tuple[Tensor, Tensor]:
    """Return the two maps of one image."""
    positive, negative = draw_squares([clicks], size, CPU)
    return positive[0, 0], negative[0, 0]


def list_pixels(drawn: Tensor) -> list[tuple[int, int]]:
    return [(int(row), int(col)) for row, col in drawn.nonzero()]


@given(st.integers(1, 18), st.integers(1, 28), st.booleans())
def test_a_click_inside_has_a_square_of_nine_pixels(row: int, col: int, positive: bool) -> None:
    drawn = draw([(row, col, positive)])
    square = [(r, c) for r in range(row - 1, row + 2) for c in range(col - 1, col + 2)]
    assert list_pixels(drawn[0 if positive else 1]) == square
    assert not drawn[1 if positive else 0].any()


@pytest.mark.parametrize(
    ("row", "col", "rows", "cols"),
    [
        (0, 5, [], []),  # the slice from -1 to 2 is empty
        (0.5, 5, [], []),  # a half is rounded to even: 0
        (5, 0.4, [], []),
        (1.5, 5, [1, 2, 3], [4, 5, 6]),  # to 2
        (2.5, 5, [1, 2, 3], [4, 5, 6]),  # to 2 as well
        (19, 29, [18, 19], [28, 29]),
        (20, 5, [19], [4, 5, 6]),  # just below the crop
        (21, 5, [], []),
        (-1, 5, [], []),
        (-2, 5, [], []),
        (-3, 5, [16, 17, 18], [4, 5, 6]),  # numbers of slices count from the end
        (-2.5, 5, [], []),
        (5, -28, [4, 5, 6], [1, 2, 3]),
        (-25, 5, [], []),
    ],
)
def test_squares_are_slices_around_rounded_places(
    row: float, col: float, rows: list[int], cols: list[int]
) -> None:
    positive, _ = draw([(row, col, True)])
    assert list_pixels(positive) == [(r, c) for r in rows for c in cols]


def test_each_image_of_a_batch_has_its_own_squares() -> None:
    items = [[(5.0, 5.0, True)], [(5.0, 24.0, True), (9.0, 9.0, False)]]
    positive, negative = draw_squares(items, (20, 30), CPU)
    assert positive.shape == negative.shape == (2, 1, 20, 30)
    assert torch.equal(positive[1], positive[0].flip(2))
    assert negative.sum((1, 2, 3)).tolist() == [0, 9]


def test_the_errors_are_those_of_the_original_loss() -> None:
    (name,) = [name for name in GOLDEN if name.startswith("BRSMaskLoss")]
    squares = draw_squares([[(5, 5, True), (11, 15, False)]], (20, 20), CPU)
    found = measure_errors(draw_picture(1, 20, 20), squares)
    wanted = GOLDEN[name]
    assert float(found.value) == pytest.approx(wanted["loss"], abs=1e-6)
    assert float(found.positive_error) == pytest.approx(wanted["max_pos"], abs=1e-6)
    assert float(found.negative_error) == pytest.approx(wanted["max_neg"], abs=1e-6)


def test_variables_are_scales_and_biases_as_in_the_original() -> None:
    (name,) = [name for name in GOLDEN if name.startswith("ScaleBias")]
    variables, wanted = torch.arange(8) / 10, GOLDEN[name]
    ones, nothing = torch.ones(2, 4, 1, 1), torch.zeros(2, 4, 1, 1)
    biases = rescale(nothing, variables)
    for item in range(2):
        assert biases[item].flatten().tolist() == pytest.approx(wanted["bias"])
        scales = (rescale(ones, variables) - biases)[item].flatten().tolist()
        assert scales == pytest.approx(wanted["scale"])
    assert float(measure_change(variables)) == pytest.approx(wanted["reg"])


def make_objective(squares: Squares) -> Objective:
    """Return an objective whose logits are the first variable everywhere, plus a tilt."""
    tilt = torch.linspace(-1e-3, 1e-3, 600).reshape(1, 1, 20, 30)
    return Objective(lambda variables: variables[0] + tilt, squares)


def measure(objective: Objective, logit: float) -> tuple[float, float]:
    """Return the loss and the gradient in the first variable."""
    loss, gradient = objective(np.array([logit, 0.0]))
    assert gradient.dtype == np.float64
    return loss, float(gradient[0])


POSITIVE = draw_squares([[(9, 9, True)]], (20, 30), CPU)
NEGATIVE = draw_squares([[(9, 9, False)]], (20, 30), CPU)


def to_logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


@pytest.mark.parametrize(
    ("squares", "probability", "stops"),
    [
        (POSITIVE, 0.492, True),  # an error of 0.508, below 0.51
        (POSITIVE, 0.488, False),
        (NEGATIVE, 0.488, True),
        (NEGATIVE, 0.492, False),  # a positive click would be satisfied
    ],
)
def test_the_search_stops_where_every_square_has_its_sign(
    squares: Squares, probability: float, stops: bool
) -> None:
    _, gradient = measure(make_objective(squares), to_logit(probability))
    assert (gradient == 0) == stops


def make_growing(squares: Squares, sizes: Sequence[int]) -> Objective:
    """Return an objective whose masks have so many pixels, one after the other."""
    order = torch.arange(600.0).flip(0).reshape(1, 1, 20, 30)  # the squares are never satisfied
    counts = iter(sizes)
    return Objective(
        lambda variables: (next(counts) - 0.5 - order).clamp(-4, 4) * (1 + variables[0]), squares
    )


@pytest.mark.parametrize(
    ("sizes", "zeros"),
    [
        ([100, 100], [False, True]),
        ([100, 98], [False, False]),  # an IoU of 0.98
        ([200, 199], [False, True]),  # of 0.995
        ([200, 199, 197], [False, True, False]),  # compared with 200, which stayed
        ([200, 198, 197], [False, False, True]),  # 0.99 is not above 0.99; then 198 is kept
        ([0, 0], [False, False]),  # no mask, and so no IoU
    ],
)
def test_the_search_stops_where_the_mask_changes_no_more(
    sizes: list[int], zeros: list[bool]
) -> None:
    objective = make_growing(draw_squares([[(1, 1, True)]], (20, 30), CPU), sizes)
    assert [measure(objective, 0.1 * k)[1] == 0 for k in range(len(sizes))] == zeros


def test_masks_are_compared_in_the_mean_over_images_that_have_one() -> None:
    squares = draw_squares([[(1, 1, True)]] * 2, (20, 30), CPU)
    base = torch.full((2, 1, 20, 30), -5.0)
    base[0, 0, 5:15] = 5  # the second image has no mask
    objective = Objective(lambda variables: base + variables[0], squares)
    assert [measure(objective, 0.1 * k)[1] == 0 for k in range(2)] == [False, True]


def test_the_logits_of_the_lowest_loss_are_kept() -> None:
    objective = make_objective(POSITIVE)
    kept = []
    for logit in (-3.0, -1.0, -2.0, 1.0, -0.5):
        measure(objective, logit)
        assert objective.best_logits is not None
        kept.append(round(float(objective.best_logits.mean()), 3))
    assert kept == [-3, -1, -1, 1, 1]
    assert len(objective.losses) == 5


def test_the_gradient_is_that_of_the_loss() -> None:
    step = 1e-3
    for logit in (-2.0, -0.7):
        (below, _), (_, gradient), (above, _) = (
            measure(make_objective(POSITIVE), logit + k * step) for k in (-1, 0, 1)
        )
        assert gradient == pytest.approx((above - below) / (2 * step), rel=1e-2)


def test_the_search_begins_at_the_given_start_and_returns_what_the_solver_found() -> None:
    objective = make_objective(NEGATIVE)
    start = np.array([0.5, 0.25])
    solution = optimise(objective, start, maxfun=20)
    first = measure(make_objective(NEGATIVE), 0.5)[0] + 0.01 * 0.25**2
    assert solution.losses[0] == pytest.approx(first, abs=1e-6)
    assert start.tolist() == [0.5, 0.25]
    assert solution.losses[-1] < solution.losses[0]
    assert solution.variables.dtype == np.float64
    assert float(torch.sigmoid(solution.logits).max()) < 0.49


def test_a_satisfied_start_is_the_solution() -> None:
    solution = optimise(make_objective(POSITIVE), np.array([1.0, 0.0]), maxfun=20)
    assert len(solution.losses) == 1
    assert solution.variables.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("maxfun", [1, 3])
def test_the_number_of_evaluations_is_bounded(maxfun: int) -> None:
    squares = draw_squares([[(9, 9, True), (9, 10, False)]], (20, 30), CPU)  # no map has both
    solution = optimise(make_objective(squares), np.array([3.0, 0.0]), maxfun)
    assert 1 <= len(solution.losses) <= maxfun + 20  # a line search is finished
