"""Data sets in their layouts, and the error that a broken one ends in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from tests.support.layouts import LAYOUTS, box, draw_picture, write

Data = Callable[..., Path]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Return a function that writes a set into the data folder and returns that folder."""

    def make(name: str, folder: str | None = None) -> Path:
        usual, writer = LAYOUTS[name]
        writer(tmp_path / "data" / (folder or usual))
        return tmp_path / "data"

    return make


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a `folder:` set: one image with one mask, one with three."""
    root = tmp_path / "mine"
    for number, stem in enumerate(("cup", "dog 10", "dog 2")):
        write(root / "images" / f"{stem}.jpg", draw_picture(number))
    write(root / "masks" / "cup.png", box(7, 4, 4, box(128, 1, 1)))
    for stem, row in (("dog 10__1", 0), ("dog 2__2", 1), ("dog 2__10", 2), ("dog 2__left", 3)):
        write(root / "masks" / f"{stem}.png", box(255, row, 5))
    return root


def refusal(name: str, data: Path | None = None) -> str:
    """Return the one line that the loading of a set, or of one of its objects, ends in."""
    with pytest.raises(IsbenchError) as raised:
        _load_all(name, data)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def _load_all(name: str, data: Path | None) -> None:
    dataset = load_dataset(name, data)
    for key in dataset.keys:
        dataset.load(key)
