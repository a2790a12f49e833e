"""Rules by preset: what the command plays by, with the clicker in one form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isbench as library
from isbench.errors import IsbenchError
from isbench.evaluation.rules import rules
from isbench.models.registry import load_card
from isbench.protocol import PRESETS, name_preset
from isbench.storage import store
from isbench.types import LoadedModel, Rules


@pytest.mark.parametrize("preset", PRESETS)
def test_the_rules_of_a_preset_match_it(preset: str) -> None:
    assert name_preset(rules(preset, max_clicks=5, stop_iou=1.01, seed=3)) == preset


def test_the_default_rules_are_the_first_preset() -> None:
    assert rules() == Rules()


@pytest.mark.parametrize(
    ("given", "said", "setting"),
    [
        ({"preset": "stirct"}, "did you mean strict?", "preset"),
        ({"clicker": "center"}, "did you mean centre?", "clicker"),
        ({"clicker": "centre:1"}, "has no parameters", "clicker"),
        ({"max_clicks": 0}, "max_clicks is 0; wanted at least 1", "max_clicks"),
        ({"max_clicks": 10**9}, "max_clicks is 1000000000; wanted at most 1000", "max_clicks"),
        ({"stop_iou": 0.0}, "stop_iou is 0.0; wanted above 0", "stop_iou"),
        ({"seed": -1}, "seed is -1; wanted at least 0", "seed"),
        ({"max_clicks": 2.5}, "max_clicks is a float; wanted int", "max_clicks"),
        ({"max_clicks": True}, "max_clicks is a bool; wanted int", "max_clicks"),
        ({"max_clicks": np.int64(2)}, "max_clicks is a int64; wanted int", "max_clicks"),
        ({"max_clicks": "5"}, "max_clicks is a str; wanted int", "max_clicks"),
        ({"stop_iou": np.float32(0.9)}, "stop_iou is a float32; wanted float", "stop_iou"),
        ({"stop_iou": True}, "stop_iou is a bool; wanted float", "stop_iou"),
        ({"seed": 1.0}, "seed is a float; wanted int", "seed"),
    ],
)
def test_impossible_rules_name_their_setting(
    given: dict[str, Any], said: str, setting: str
) -> None:
    with pytest.raises(IsbenchError, match=said) as raised:
        rules(**given)
    assert raised.value.setting == setting


def test_names_alone_play_what_the_command_plays(
    isbench: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    folder_set: Path,
) -> None:
    dataset = f"folder:{folder_set}"
    rules = library.rules(max_clicks=2)
    ours = library.run("ritm-mini", dataset, rules, out=tmp_path / "python")
    words = ("run", "--model", "ritm-mini", "--dataset", dataset, "--out", tmp_path / "command")
    assert isbench(*words, "--max-clicks", 2)[0] == 0
    (theirs,) = store.find(tmp_path / "command")
    assert ours.path.name == theirs.name
    assert ours.path.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("limit", [True, 1.0, np.int64(1), "1"])
def test_a_limit_that_is_no_integer_is_refused_before_anything_is_played(limit: Any) -> None:
    with pytest.raises(IsbenchError, match=r"limit is a \w+; wanted int"):
        library.load_dataset("sample", limit=limit)


def test_an_option_that_no_record_can_hold_is_refused_before_anything_is_played(
    tmp_path: Path,
) -> None:
    card = load_card("nearest")
    model = LoadedModel(card, {**card.options, "width": [1, 2]})  # type: ignore[dict-item]
    with pytest.raises(IsbenchError, match="this run cannot be recorded: width is a list"):
        library.run(model, library.load_dataset("sample", limit=1), Rules(2), out=tmp_path)
    assert [*tmp_path.iterdir()] == []
