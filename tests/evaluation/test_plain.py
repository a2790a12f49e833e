"""The plain evaluator of benchmarks/plain.py plays the original games, and isbench plays its."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plain
from isbench.datasets import load_dataset
from isbench.evaluation import runner, spec
from isbench.models.loading import load_model
from isbench.nn.runtime import openvino
from isbench.nn.runtime.compute import load_networks
from isbench.types import Rules
from tests.support.official_games import probe, read_golden

BACKENDS = [
    "eager",
    pytest.param(
        "openvino", marks=pytest.mark.skipif(not openvino.is_installed(), reason="no openvino")
    ),
]


@pytest.mark.parametrize(
    "game", [g for g in read_golden("predictor_probe") if g["flip"]], ids=lambda g: str(g["id"])
)
def test_it_plays_the_original_games(game: dict[str, Any], real_data: Path) -> None:
    dataset = load_dataset(game["dataset"].lower(), real_data)
    key = next(key for key in dataset.keys if key.partition("#")[0] == game["id"])

    rules, options = Rules(len(game["steps"]), 1.01), plain.Options(game["target_size"])
    played = plain.play_game(probe, dataset.load(key), rules, options)
    for step, click, (both, either) in zip(
        game["steps"], played.clicks, played.overlap, strict=True
    ):
        row, col, positive, iou, _, _ = step
        assert click == (row, col, bool(positive))
        assert both / either == pytest.approx(iou, abs=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("ritm-mini", {}),
        pytest.param("csfpn-mini", {}, marks=pytest.mark.slow),
        pytest.param("csfpn-mini", {"global_clicks": "2"}, marks=pytest.mark.slow),
    ],
)
def test_isbench_plays_its_games(
    name: str, chosen: dict[str, str], backend: str, tmp_path: Path
) -> None:
    rules, dataset = Rules(4, 1.01), load_dataset("sample", limit=2)
    model = load_model(name, chosen, device="cpu", backend=backend)
    assert model.runtime is not None
    assert model.card.networks is not None
    options = spec.with_dataset_defaults(model, dataset).options
    network = load_networks(partial(model.card.networks, **options), model.runtime)["network"]
    wanted = [
        plain.play_game(network, dataset.load(key), rules, plain.choose_options(options))
        for key in dataset.keys
    ]
    played = runner.run(model, dataset, rules, out=tmp_path)
    for game, trajectory in zip(wanted, played.trajectories, strict=True):
        assert trajectory.key == game.key
        assert [tuple(click) for click in trajectory.clicks] == list(game.clicks)
        for ours, its in zip(trajectory.overlap, game.overlap, strict=True):
            assert ours == pytest.approx(its, abs=3)  # pixels at the threshold
