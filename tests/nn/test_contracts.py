"""The contracts of networks: gradients, example inputs and outputs, adaptive models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isbench.errors import IsbenchError, PredictorError
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.nn.runtime import openvino
from isbench.storage import store
from isbench.testing import check_predictor
from isbench.types import Click, Turn
from tests.support import contracts
from tests.support.networks import make_object

Isbench = Callable[..., tuple[int, str, str]]

# Gradients


def test_a_model_that_asks_for_gradients_fits_a_map_to_the_clicks() -> None:
    sample, clicks = (
        make_object((24, 32)),
        (Click(5, 5, True), Click(20, 9, False), Click(9, 28, True)),
    )
    for chosen in (clicks, tuple(click._replace(positive=not click.positive) for click in clicks)):
        predictor = build_predictor(load_model(contracts.card, weights="random"))
        state = predictor.start(predictor.begin(sample.image), None)
        mask = predictor.predict([Turn(state, chosen)])[0].mask
        assert [bool(mask[row, col]) for row, col, _ in chosen] == [c.positive for c in chosen]


def test_a_model_that_asks_for_gradients_keeps_the_contract_of_predictors() -> None:
    check_predictor(contracts.card)


def test_a_model_that_asks_for_gradients_runs_on_eager(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    asked = ("--dataset", f"folder:{folder_set}", "--weights", "random", "--max-clicks", 3)
    asked += ("--model", "tests.support.contracts:card", "--out", tmp_path / "runs")
    code, _, said = isbench("run", *asked)
    assert code == 0, said
    (path,) = store.find(tmp_path / "runs")
    assert store.read(path).spec.backend == "eager-cpu"


def test_a_backend_without_gradients_is_refused_in_a_line(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    asked = ("--dataset", f"folder:{folder_set}", "--weights", "random", "--out", tmp_path / "runs")
    asked += ("--model", "tests.support.contracts:card", "--backend", "openvino")
    code, _, said = isbench("run", *asked)
    assert (code, said.count("\n")) == (2, 1)
    assert "backend openvino computes no gradients, which this model needs; wanted eager" in said
    assert not (tmp_path / "runs").exists()


def test_gradients_that_the_card_does_not_ask_for_are_an_error_that_says_how() -> None:
    wanted = r"model forgetful: object .*: the model raised RuntimeError: .*gradients=True on its"
    with pytest.raises(PredictorError, match=wanted):
        check_predictor(contracts.forgetful)


# Adaptive models


def test_an_adaptive_model_with_a_network_is_checked_by_playing_twice() -> None:
    check_predictor(contracts.adapting)
    with pytest.raises(PredictorError, match="its mask changed at"):
        check_predictor(replace(contracts.adapting, adaptive=False))


# Example inputs and outputs

NO_EXAMPLES = r"network Odd has no example_inputs\(size, points\); wanted a method that returns a "


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("no examples", NO_EXAMPLES),
        ("an example", r"has example_inputs of a tensor of shape \(1, 3, 33, 48\); wanted a tuple"),
        ("a tensor", r"returns a tensor of shape \(2, 1, 33, 48\); wanted a tuple of tensors"),
        ("a dict", "returns a dict; wanted a tuple of tensors with a batch of 2"),
        ("summed", r"returns \(a tensor of shape \(1, 33, 48\)\); wanted a tuple of tensors"),
        ("batch of one", "network odd raised ValueError for a batch of its example inputs: wanted"),
    ],
)
def test_a_network_that_breaks_its_contract_is_named_by_the_check(way: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        check_predictor(load_model(contracts.odd, {"way": way}, "random", backend="eager"))


def test_a_network_that_keeps_its_contract_passes_the_check() -> None:
    check_predictor(load_model(contracts.odd, {"way": "none"}, "random", backend="eager"))


@pytest.mark.parametrize(
    "backend",
    [
        "auto",
        "eager",
        pytest.param(
            "openvino",
            marks=pytest.mark.skipif(not openvino.is_installed(), reason="openvino is missing"),
        ),
    ],
)
def test_a_network_without_example_inputs_is_refused_in_a_line(
    isbench: Isbench, backend: str
) -> None:
    asked = ("--weights", "random", "--dataset", "sample", "--backend", backend)
    code, _, said = isbench("run", "--model", "tests.support.contracts:odd", *asked)
    assert (code, said.count("\n")) == (2, 1)
    assert "network Odd has no example_inputs(size, points); wanted a method that" in said


def test_a_network_without_example_inputs_has_no_cost(isbench: Isbench) -> None:
    code, out, _ = isbench("models", "tests.support.contracts:odd", "--cost")
    assert code == 0
    assert "no example_inputs" in out
