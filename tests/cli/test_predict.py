"""`isbench predict`: given clicks in, a mask out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from isbench.datasets import load_dataset
from isbench.evaluation.engine import play
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.storage.masks import decode_rle, encode_png, encode_rle
from isbench.types import Mask, Rules

Isbench = Callable[..., tuple[int, str, str]]
PHOTO = next((Path(__file__).parents[2] / "isbench/datasets/sample/images").glob("astronaut.*"))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=30)))
def test_a_mask_comes_back_as_it_was_written(mask: Mask) -> None:
    assert np.array_equal(decode_rle(json.loads(json.dumps(encode_rle(mask)))), mask)
    shown = cv2.imdecode(np.frombuffer(encode_png(mask), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(shown, mask.astype(np.uint8) * 255)


def test_the_clicks_of_a_game_give_its_last_mask(isbench: Isbench, tmp_path: Path) -> None:
    dataset = load_dataset("sample")
    sample = dataset.load(next(key for key in dataset.keys if key.startswith("astronaut")))
    (game,) = play(build_predictor(load_model("nearest")), [sample], Rules(4, 1.01))
    clicks = " ".join(
        f"{row},{col},{'+' if positive else '-'}" for row, col, positive in game.trajectory.clicks
    )
    for name in ("mask.png", "mask.json"):
        asked = ["--clicks", clicks, "--model", "nearest", "--out", tmp_path / name]
        code, out, said = isbench("predict", PHOTO, *asked)
        assert code == 0, said
        assert "after 4 clicks" in out
    shown = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED) > 0
    assert np.array_equal(shown, decode_rle(json.loads((tmp_path / "mask.json").read_text())))
    both, either = game.trajectory.overlap[-1]
    assert np.count_nonzero(shown & sample.truth) == both
    assert np.count_nonzero(shown | sample.truth) == either


@pytest.mark.parametrize(
    ("clicks", "said"),
    [
        ("9999,0,+", "wanted a row from 0 to 511"),
        ("0,9999,+", "a column from 0 to 511"),
        ("1,2", "click '1,2'; wanted row,col,"),
        ("1,2,x", "click '1,2,x'"),
        ("-1,2,+", "click '-1,2,+'"),
        ("  ", "no clicks"),
    ],
)
def test_clicks_that_are_none_are_refused(
    isbench: Isbench, tmp_path: Path, clicks: str, said: str
) -> None:
    asked = ["--clicks", clicks, "--model", "nearest", "--out", tmp_path / "m.png"]
    code, _, error = isbench("predict", PHOTO, *asked)
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m.png").exists()


def test_files_that_do_not_do_are_refused(isbench: Isbench, tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(b"mine")
    (tmp_path / "text.png").write_text("no picture")
    for image, out, said in (
        (PHOTO, tmp_path / "there.png", "--force"),
        (PHOTO, tmp_path / "m.gif", "wanted .png or .json"),
        (PHOTO, tmp_path / "there.png" / "m.png", "cannot write"),
        (tmp_path / "text.png", tmp_path / "m.png", "cannot be read as an image"),
        (tmp_path / "none.png", tmp_path / "m.png", "none.png"),
    ):
        asked = ["--clicks", "1,1,+", "--model", "nearest", "--out", out]
        code, _, error = isbench("predict", image, *asked)
        assert (code, error.count("\n")) == (2, 1)
        assert said in error
    assert (tmp_path / "there.png").read_bytes() == b"mine"


def test_the_image_is_not_overwritten_even_by_force(isbench: Isbench, tmp_path: Path) -> None:
    image, link = tmp_path / "image.png", tmp_path / "link.png"
    image.write_bytes(PHOTO.read_bytes())
    link.symlink_to(image)
    for out in (image, link):
        words = ("--clicks", "1,1,+", "--model", "nearest", "--out", out, "--force")
        code, _, error = isbench("predict", image, *words)
        assert (code, error.count("\n")) == (2, 1)
        assert "is the image itself" in error
    assert image.read_bytes() == PHOTO.read_bytes()
