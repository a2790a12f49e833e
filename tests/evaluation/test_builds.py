"""A process builds a model's networks once, whatever it checks before the first click."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from baselines.ritm import Ritm
from isbench.errors import Unfit
from isbench.evaluation.job import Job
from isbench.evaluation.runner import Silent, run
from isbench.models.loading import load_model
from isbench.models.registry import load_card
from isbench.nn.backbones.mini import Mini
from isbench.nn.inference.options import OPTIONS
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.runtime import openvino
from isbench.nn.runtime.compute import build_networks
from isbench.storage import store
from isbench.types import ModelCard, Rules, Runtime
from tests.support import toys

RULES = Rules(max_clicks=2)
BACKENDS = [
    "eager",
    pytest.param(
        "auto",
        marks=pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed"),
    ),
]


class Counted:
    """A card that counts how often its predictor and its networks are built."""

    def __init__(self, refused: str = "") -> None:
        self.predictors, self.networks, self.refused = 0, 0, refused
        options = {**OPTIONS, "zoom_target": 0}
        self.card = ModelCard("counted", self.build, options, self.make_networks)

    def make_networks(self, **options: Any) -> dict[str, Any]:
        self.networks += 1
        return {"network": Ritm(Mini())}

    def build(self, *, runtime: Runtime, **options: Any) -> CropPredictor:
        self.predictors += 1
        if runtime.backend == self.refused:
            raise Unfit("this network is unfit", setting="backend")
        networks = build_networks(partial(self.make_networks, **options), runtime)
        config = make_config(options, Zoom(target=48), runtime)
        return CropPredictor(config, partial(answer_mask_guided, networks["network"]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("workers", [1, None])
def test_networks_are_built_once_for_checks_and_games(
    tmp_path: Path, backend: str, workers: int | None
) -> None:
    counted = Counted()
    model = load_model(counted.card, weights="random", device="cpu", backend=backend)
    assert counted.predictors == 0
    played = run(model, toys.blobs(2), RULES, out=tmp_path, workers=workers)
    assert len(played.trajectories) == 2
    assert (counted.predictors, counted.networks) == (1, 1)


def test_networks_are_built_once_when_a_run_is_continued_with_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    model = load_model(counted.card, weights="random", device="cpu", backend="eager")
    data = toys.blobs(3)

    class Stop(Silent):
        def add_game(self, game: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, data, RULES, out=tmp_path, watch=Stop())
    counted.predictors = counted.networks = 0
    monkeypatch.setattr("isbench.evaluation.runner.digest_source", lambda card: {"other": "code"})
    played = run(model, data, RULES, out=tmp_path)
    assert any("rechecked" in session for session in played.meta)
    assert (counted.predictors, counted.networks) == (1, 1)


def test_a_recorded_run_of_a_chosen_backend_builds_nothing(tmp_path: Path) -> None:
    counted = Counted()
    model = load_model(counted.card, weights="random", device="cpu", backend="eager")
    for _ in range(2):
        run(model, toys.blobs(2), RULES, out=tmp_path)
    assert counted.predictors == 1


@pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")
def test_a_backend_that_auto_cannot_use_is_replaced_and_noted_once(tmp_path: Path) -> None:
    counted, notes = Counted(refused="openvino"), []

    class Notes(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    model = load_model(counted.card, weights="random", device="cpu")
    played = run(model, toys.blobs(2), RULES, out=tmp_path, watch=Notes())
    assert played.spec.backend == "eager-cpu"
    assert [text for text in notes if "eager" in text] == [
        "counted: this network is unfit; using eager"
    ]
    assert (counted.predictors, counted.networks) == (2, 1)
    chosen = load_model(counted.card, weights="random", device="cpu", backend="openvino")
    with pytest.raises(Unfit, match="this network is unfit"):
        run(chosen, toys.blobs(2), RULES, out=tmp_path / "other")
    assert store.find(tmp_path / "other") == []


def test_an_adaptive_model_does_not_play_with_what_it_learned_from_the_check(
    tmp_path: Path,
) -> None:
    counted = Counted()
    card = replace(counted.card, adaptive=True)
    run(load_model(card, weights="random", backend="eager"), toys.blobs(2), RULES, out=tmp_path)
    assert counted.predictors == 2


def test_a_built_predictor_is_not_sent_to_workers() -> None:
    card = load_card("ritm-mini")
    model = load_model(card, weights="random", backend="eager")
    job = Job(model, toys.blobs(1), RULES, files={})
    again = pickle.loads(pickle.dumps(replace(job, built=object())))  # type: ignore[arg-type]
    assert again.built is None
