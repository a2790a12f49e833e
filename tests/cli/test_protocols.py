"""`--protocol`: the rules, data sets and figures of a published evaluation, under one name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.datasets.registry import BUILT_IN
from isbench.evaluation.rules import rules
from isbench.metrics import METRICS, find_metric
from isbench.protocol import PRESETS, PROTOCOLS, has_full_games
from isbench.reporting.tables import choose_metrics
from isbench.storage import store
from tests.support.layouts import LAYOUTS

Isbench = Callable[..., tuple[int, str, str]]
TOY = "tests.support.toys:card"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_names_what_there_is_and_its_games_tell_its_figures(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.preset in PRESETS
    assert set(protocol.datasets) <= set(BUILT_IN)
    played = rules(protocol.preset, max_clicks=protocol.max_clicks, stop_iou=protocol.stop_iou)
    for key in protocol.figures:
        metric = find_metric(key)
        target = int(key.rpartition("@")[2])
        if metric.view == "iou":
            assert has_full_games(played)
            assert target <= played.max_clicks
        else:
            assert target / 100 <= played.stop_iou
    shown = choose_metrics(name)
    assert [one.key for one in shown] == list(protocol.figures)


def test_the_other_views_are_what_they_were() -> None:
    assert choose_metrics("all") == list(METRICS)
    assert choose_metrics("noc") == [one for one in METRICS if one.view == "noc"]


def test_hq_plays_full_games_and_prints_its_figures_in_the_papers_order(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    command = ("run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--out", out)
    code, printed, _ = isbench(*command, "--protocol", "hq")
    assert code == 0
    (path,) = store.find(out)
    assert store.read(path).spec.rules == rules(stop_iou=1.01)
    heads = ["IoU@5", "NoC@90", "NoC@95", "NoF@95", "NoF@95 (RITM)"]
    (line,) = (line for line in printed.splitlines() if "IoU@5" in line)
    assert sorted(heads, key=line.index) == heads
    assert "NoC@80" not in printed
    code, printed, _ = isbench("report", "--runs", out, "--table", "hq", "--format", "markdown")
    assert code == 0
    assert " | ".join(heads) in printed


def test_a_protocol_is_no_part_of_a_run_s_identity(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    command = ("run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--out", out)
    isbench(*command, "--max-clicks", 25, "--stop-iou", 1.01)
    code, _, said = isbench(*command, "--protocol", "hq")
    assert code == 0
    assert "nothing to play" in said
    assert len(store.find(out)) == 1


def test_without_a_data_set_those_of_the_protocol_are_played(
    isbench: Isbench, out: Path, tmp_path: Path
) -> None:
    folder, make = LAYOUTS["davis585-init"]
    make(tmp_path / "data" / folder)
    command = ("run", "--model", TOY, "--protocol", "correction", "--out", out)
    code, printed, _ = isbench(*command, "--data", tmp_path / "data")
    assert code == 0
    specs = {store.read(path).spec.dataset: store.read(path).spec for path in store.find(out)}
    assert set(specs) == {"davis585-init", "davis585-zero"}
    assert specs["davis585-zero"].initial is None
    assert specs["davis585-init"].initial is not None
    assert "NoC@85" in printed
    assert "needs full games" not in printed
    code, _, said = isbench(*command, "--data", tmp_path / "nothing")
    assert code == 2
    assert "davis585-init" in said
    assert "davis585-zero" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--protocol", "hg"), "--protocol"),
        (("--protocol", "hq", "--max-clicks", 20), "the protocol hq fixes it"),
        (("--protocol", "hq", "--stop-iou", 0.9), "the protocol hq fixes it"),
        (("--protocol", "hq", "--clicker", "random"), "the protocol hq fixes it"),
        (("--protocol", "hq", "--preset", "strict"), "the protocol hq fixes it"),
    ],
)
def test_a_protocol_means_one_thing(
    isbench: Isbench, out: Path, words: tuple[object, ...], said: str
) -> None:
    code, _, line = isbench("run", "--model", TOY, "--dataset", "sample", *words, "--out", out)
    assert code == 2
    assert said in line
    assert str(words[-2]) in line
    assert not out.exists()


def test_without_a_protocol_a_data_set_is_needed(isbench: Isbench, out: Path) -> None:
    code, _, said = isbench("run", "--model", TOY, "--out", out)
    assert code == 2
    assert "--dataset" in said
