"""Results folders for the tests of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from isbench.evaluation.runner import run
from isbench.types import Rules
from tests.support import toys


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def played(out: Path) -> Path:
    """Return a results folder with two runs: full games and early-stopped ones."""
    data = toys.blobs(6)
    run(toys.card, data, Rules(25, 1.01), out=out)
    run(toys.card, data, Rules(20, 0.90, seed=1), out=out)
    return out
