"""Equal to the original RITM evaluator, click for click, on the real sets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isbench import metrics
from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.registry import BUILT_IN
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.reporting.tables import compute_figures
from isbench.types import Rules
from tests.support.networks import eager

SETS = {
    "grabcut": ("GrabCut", ["14.64", "15.88", "16.98"]),
    "berkeley": ("Berkeley", ["17.42", "18.57", "19.11"]),
    "davis": ("DAVIS", ["19.64", "19.90", "19.95"]),
}


def key_of(name: str) -> str:
    """Return our key of the original's object name: an image's further objects end in a letter."""
    further = re.fullmatch(r"(\d+)([ab])", name)
    return f"{further[1]}#{further[2]}" if further else f"{name}#1"


@pytest.mark.parametrize(
    "name",
    ["grabcut", *(pytest.param(n, marks=pytest.mark.slow) for n in ("berkeley", "davis"))],
)
def test_nearest_plays_the_original_games(
    name: str, real_data: Path, golden: Callable[[str], Any], tmp_path: Path
) -> None:
    title, printed = SETS[name]
    games = golden(f"nearest_{title}_20.json")
    dataset = load_dataset(name, real_data)
    if fingerprint(dataset) not in BUILT_IN[name].fingerprints:
        if os.environ.get("ISBENCH_NEED_DATA"):
            pytest.fail(f"the {name} at hand is not the one the golden games were played on")
        pytest.skip(f"the {name} at hand is not the one the golden games were played on")
    played = run(load_model("nearest"), dataset, Rules(stop_iou=1.01), out=tmp_path, workers=2)
    ours = {trajectory.key: trajectory for trajectory in played.trajectories}
    assert ours.keys() == {key_of(game["id"]) for game in games["objects"]}
    for game in games["objects"]:
        trajectory = ours[key_of(game["id"])]
        clicks = [[row, col, int(positive)] for row, col, positive in trajectory.clicks]
        assert clicks == game["clicks"], game["id"]
        iou = metrics.curves([trajectory], 20)[0]
        # the original keeps its IoUs in single precision; the golden file has six decimals of them
        single = [round(float(value), 6) for value in iou.astype(np.float32)]
        assert single == game["iou"], game["id"]
    row, summary = compute_figures(played), games["summary"]
    for target, text in zip(("80", "85", "90"), printed, strict=True):
        assert f"{row[f'noc@{target}']:.2f}" == text
        assert row[f"noc@{target}"] == pytest.approx(summary["noc"][target], abs=1e-9)
    for target in ("85", "90"):
        assert row[f"nof@{target}"] == summary["nof_never_reached"][target]
        assert row[f"nof_ritm@{target}"] == summary["ritm_over_max"][target]
    # and sums them in single precision, which moves the sixth decimal
    mean = metrics.curves(played.trajectories, 20).mean(axis=0)
    assert mean == pytest.approx(summary["mean_iou_at_k"], abs=3e-6, rel=0)


@pytest.mark.slow
def test_two_workers_play_a_networks_games_as_one_does(real_data: Path, tmp_path: Path) -> None:
    model = eager("ritm-hrnet18s")
    dataset = load_dataset("grabcut", real_data, limit=6)
    files = [
        run(model, dataset, Rules(4, 1.01), out=tmp_path / str(n), workers=n).path for n in (1, 2)
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
