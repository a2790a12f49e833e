"""A run on the bundled sample, which every test of exports can read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from isbench.datasets import load_dataset
from isbench.evaluation.runner import Silent, run
from isbench.models.loading import load_model
from isbench.storage.store import Run
from isbench.types import Rules


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return full games of three clicks on the first four objects of the sample."""
    out, dataset = tmp_path_factory.mktemp("exchange") / "runs", load_dataset("sample", limit=4)
    return run(load_model("nearest"), dataset, Rules(3, 1.01), out=out, watch=Silent())


@pytest.fixture
def folder(played: Run) -> Path:
    """Return the results folder of the run."""
    return played.path.parents[1]
