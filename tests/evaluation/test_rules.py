"""Rules by preset: what the command plays by, with the clicker in one form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isbench as library
from isbench.errors import IsbenchError
from isbench.evaluation.rules import rules
from isbench.protocol import PRESETS, name_preset
from isbench.storage import store
from isbench.types import Rules


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
