"""Masks that were saved with a run: what is missing or damaged is said, and recomputed."""

from __future__ import annotations

from pathlib import Path

import pytest

from isbench.datasets import load_dataset
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.reporting.recorded_masks import recompute_masks
from isbench.storage import saved_masks
from isbench.types import Dataset, Rules
from tests.support.listening import Listening

RULES = Rules(3, 1.01)


@pytest.fixture(scope="module")
def sample() -> Dataset:
    return load_dataset("sample", limit=6)


def test_a_run_that_was_played_without_saving_masks_says_so(
    tmp_path: Path, sample: Dataset
) -> None:
    watch = Listening()
    for save in (False, True):
        run(load_model("nearest"), sample, RULES, out=tmp_path, save_masks=save, watch=watch)
    assert watch.notes[-1].startswith("it was played without saving masks")


def test_a_torn_line_of_masks_costs_that_game_only(tmp_path: Path, sample: Dataset) -> None:
    played = run(load_model("nearest"), sample, RULES, out=tmp_path, save_masks=True)
    (file,) = tmp_path.rglob("*.masks")
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([*lines[:3], lines[3][:40], *lines[4:]]))
    assert len(saved_masks.read(played.path, sample.keys)) == len(sample.keys) - 1
    watch = Listening()
    run(load_model("nearest"), sample, RULES, out=tmp_path, save_masks=True, watch=watch)
    assert watch.notes[-1].startswith(f"its saved masks of 1 of {len(sample.keys)} objects")
    assert all(one.exact for one in recompute_masks(played, sample, sample.keys, 5))
