"""Options of the methods without a network: each that is impossible is named with its value."""

from __future__ import annotations

import pytest

from isbench.errors import IsbenchError
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor


@pytest.mark.parametrize(
    ("model", "option", "text", "said"),
    [
        ("grabcut", "longer_side", "15", "option longer_side is 15; wanted at least 16"),
        ("grabcut", "iterations", "0", "option iterations is 0; wanted 1 to 1000"),
        ("grabcut", "iterations", "1001", "option iterations is 1001; wanted 1 to 1000"),
        ("grabcut", "seed", "0", "option seed is 0.0; wanted above 0, at most 1"),
        ("grabcut", "seed", "1e9", "option seed is 1000000000.0; wanted above 0, at most 1"),
        ("grabcut", "seed", "0.5", "option reach is .*; wanted at least seed, 0.5, and at most 1"),
        ("grabcut", "reach", "1e9", "option reach is .*; wanted at least seed, .*, and at most 1"),
        ("random-walker", "longer_side", "1", "option longer_side is 1; wanted at least 16"),
        ("random-walker", "seed", "-1", "option seed is -1.0; wanted above 0, at most 1"),
        ("random-walker", "beta", "0", "option beta is 0.0; wanted above 0"),
    ],
)
def test_an_impossible_option_is_named(model: str, option: str, text: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=rf"^{said}$") as caught:
        build_predictor(load_model(model, {option: text}))
    assert caught.value.setting == "options"
