"""One image and given clicks: the mask is that of a game with these clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from isbench.errors import IsbenchError
from isbench.evaluation.engine import play
from isbench.evaluation.segmentation import segment
from isbench.types import Click, Rules
from tests.support import toys

SAMPLE = toys.blob(0)


def test_the_clicks_of_a_game_give_its_last_mask() -> None:
    (game,) = play(toys.card.build(**toys.card.options), [SAMPLE], Rules(4, 1.01), keep_masks=True)
    mask = segment(toys.card, SAMPLE.image, game.trajectory.clicks)
    intersection, union = game.trajectory.overlap[-1]
    assert np.count_nonzero(mask & SAMPLE.truth) == intersection
    assert np.count_nonzero((mask | SAMPLE.truth) & ~SAMPLE.ignore) == union


def test_a_file_is_its_pixels_and_a_tuple_is_a_click(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), SAMPLE.image[:, :, ::-1])
    from_file = segment("nearest", str(path), [(3, 4, True)])
    from_array = segment("nearest", SAMPLE.image, [Click(3, 4, True)])
    assert np.array_equal(from_file, from_array)
    assert (from_file.shape, from_file.dtype) == (SAMPLE.truth.shape, np.bool_)
    row, col, positive = np.array([3, 4, 1])
    from_numbers = segment("nearest", SAMPLE.image, [(row, col, np.bool_(positive))])
    assert np.array_equal(from_numbers, from_array)


def test_python_gives_the_mask_that_the_command_writes(
    isbench: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path, out = tmp_path / "image.png", tmp_path / "mask.png"
    cv2.imwrite(str(path), SAMPLE.image[:, :, ::-1])
    words = ("--clicks", "3,4,+ 9,9,-", "--model", "csfpn-mini", "--out", out)
    assert isbench("predict", path, *words)[0] == 0
    written = cv2.imread(str(out), cv2.IMREAD_UNCHANGED) > 0
    clicks = [(3, 4, True), (9, 9, False)]
    assert np.array_equal(segment("csfpn-mini", path, clicks), written)


@pytest.mark.parametrize(
    ("image", "clicks", "said"),
    [
        (SAMPLE.image, [], "no clicks"),
        (SAMPLE.image, [(999, 0, True)], r"click \(999, 0\) is outside the image"),
        (SAMPLE.image, [(0, -1, True)], "outside the image"),
        (SAMPLE.image, [(1, 1, "-")], r"\(1, 1, '-'\) is not a click; wanted"),
        (SAMPLE.image, [(1.5, 1, True)], "is not a click"),
        (SAMPLE.image, [(1, 1)], "is not a click"),
        (SAMPLE.image, ["1,"], "is not a click"),
        (SAMPLE.image[:, :, 0], [(0, 0, True)], r"wanted \(H, W, 3\) of uint8"),
        (SAMPLE.image / 255, [(0, 0, True)], "float64; wanted"),
        ("no such file.png", [(0, 0, True)], "no such file"),
    ],
)
def test_wrong_input_is_refused_before_the_model_is_loaded(
    image: Any, clicks: Any, said: str
) -> None:
    with pytest.raises(IsbenchError, match=said):
        segment("no-such-model", image, clicks)
