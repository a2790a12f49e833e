"""`isbench compare --fail-if`, and comparisons over several data sets, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from isbench.evaluation.spec import make_spec
from isbench.storage import run_file
from isbench.types import Game, LoadedModel, Rules
from tests.support import toys
from tests.test_docs import ROOT

Isbench = Callable[..., tuple[int, str, str]]
BASE = [3, 5, 2, 8, 4, 6, 3, 7]
RESULTS = ("--runs", ROOT / "results")


def record(folder: Path, clicks: list[int], radius: int = 1, dataset: str = "made") -> Path:
    """Record a run whose objects reach IoU 0.95 at these clicks."""
    keys = tuple(f"image{n}#1" for n in range(len(clicks)))
    spec = make_spec(
        LoadedModel(toys.card, {"radius": radius}),
        toys.Dataset(dataset, keys, toys.load_blob),
        Rules(20, 1.01),
        content=dataset,
    )
    with run_file.open_run(folder, spec) as file:
        assert file is not None
        for key, count in zip(keys, clicks, strict=True):
            ious = [0.5] * (count - 1) + [0.95] * (21 - count)
            file.append(Game(toys.trajectory(key, ious), ()))
        file.seal()
    return folder


@pytest.mark.parametrize(
    ("shift", "condition", "code", "outcome"),
    [
        (0, "noc90 > +0.2", 0, "PASS"),
        (2, "noc90 > +0.2", 1, "FAIL"),
        (2, "noc90 > +3", 0, "WARN"),
        (None, "noc90 > +0.2", 3, "INCONCLUSIVE"),
    ],
)
def test_the_exit_code_says_the_outcome_and_every_format_has_it(
    isbench: Isbench, tmp_path: Path, shift: int | None, condition: str, code: int, outcome: str
) -> None:
    new = [BASE[0] + 9, *BASE[1:]] if shift is None else [count + shift for count in BASE]
    words = ("compare", record(tmp_path / "base", BASE), record(tmp_path / "new", new, 2))
    gate = ("--fail-if", condition)
    found, printed, _ = isbench(*words, *gate)
    assert (found, f"Outcome: {outcome}" in printed) == (code, True)
    found, printed, _ = isbench(*words, *gate, "--format", "json")
    values = json.loads(printed)
    assert (found, values["gate"]["outcome"], values["gate"]["exit_code"]) == (code, outcome, code)
    assert values["runs"]["a"]["dataset"] == "made"
    found, printed, _ = isbench(*words, *gate, "--format", "junit")
    assert (found, ElementTree.fromstring(printed).get("failures")) == (code, str(int(code == 1)))
    found, printed, _ = isbench(*words, *gate, "--format", "markdown")
    assert (found, f"\nOutcome: {outcome}\n" in printed) == (code, True)
    kinds = ["|" if line.startswith("|") else line for line in printed.splitlines()]
    pairs = {pair for pair in pairwise(kinds) if pair.count("|") == 1}
    assert pairs == {("|", ""), ("", "|")}  # tables stand apart from paragraphs


def test_several_conditions_are_judged_on_every_data_set(isbench: Isbench, tmp_path: Path) -> None:
    for dataset, shift in (("first", 0), ("second", 2)):
        record(tmp_path / "base", BASE, dataset=dataset)
        record(tmp_path / "new", [count + shift for count in BASE], 2, dataset)
    words = ("compare", tmp_path / "base", tmp_path / "new", "--fail-if", "noc90 > 0.2",
             "--fail-if", "nof90 > 5%", "--format", "json")  # fmt: skip
    code, printed, _ = isbench(*words)
    found = json.loads(printed)["gate"]["conditions"]
    assert code == 1
    assert [(one["dataset"], one["outcome"]) for one in found] == [
        ("first", "PASS"), ("first", "PASS"), ("second", "FAIL"), ("second", "PASS"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fail-if", "noc90 ~ 2"], "condition is 'noc90 ~ 2'; wanted a metric, > or <"),
        (["--fail-if", "nocc@90 > 2"], "did you mean noc@90? (--fail-if)"),
        (["--fail-if", "noc95 > 2"], "cannot tell NoC@95"),
        (["--metric", "nocc@90"], "did you mean noc@90? (--metric)"),
        (["--metric", "noc@90,noc@85"], "repeat --metric"),
        (["--format", "jsn"], "did you mean json? (--format)"),
        (["--format", "junit"], "format junit has conditions only; wanted a condition (--fail-if)"),
        (["--correction", "holms"], "did you mean holm? (--correction)"),
        (["ritm-mini", "--fail-if", "noc90 > 1"], "conditions gate one new run, but 3 runs"),
        (["--html", "x.html"], "the page shows two runs on one data set, but these have 4"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    isbench: Isbench, words: list[str], told: str
) -> None:
    code, printed, said = isbench("compare", "nearest", "random-walker", *words, *RESULTS)
    assert (code, printed, said.count("\n")) == (2, "", 1), said
    assert told in said


def test_two_models_are_compared_over_the_data_sets_they_share(isbench: Isbench) -> None:
    code, printed, _ = isbench(
        "compare", "nearest", "random-walker", *RESULTS, "--label", "nearest=The nearest",
    )  # fmt: skip
    assert code == 0
    assert "rank (data sets)" in printed
    assert "p (Holm)" in printed
    quote = printed.splitlines()[-1]
    assert quote.startswith("The nearest has a NoC_20@90 of 18.73 and random-walker of 15.01 as")
    words = (
        "compare", "nearest", "random-walker", *RESULTS, "--dataset", "davis", "--dataset",
        "grabcut", "--quote", "--metric", "noc@80", "--correction", "benjamini-hochberg",
    )  # fmt: skip
    code, printed, _ = isbench(*words)
    assert (code, printed.count("\n")) == (0, 1)
    assert "as the mean of 2 data sets (395 objects)" in printed
    assert "after Benjamini-Hochberg's correction" in printed


def test_a_pair_on_one_data_set_ends_with_a_line_to_quote(isbench: Isbench) -> None:
    words = ("compare", "nearest", "random-walker", "--dataset", "grabcut", *RESULTS)
    _, printed, _ = isbench(*words)
    _, quote, _ = isbench(*words, "--quote")
    assert printed.splitlines()[-1] + "\n" == quote
    assert quote.startswith(
        "nearest has a NoC_20@90 of 16.98 and random-walker of 14.18 on grabcut"
    )


def test_a_summary_in_markdown_has_tables_and_what_decides_them(isbench: Isbench) -> None:
    code, printed, _ = isbench("report", "sample", *RESULTS, "--markdown-summary")
    assert code == 0
    count = len(list((ROOT / "results" / "sample").glob("*.jsonl.gz")))
    assert printed.startswith(f"## isbench: {count} runs on sample\n\n| Data set |")
    assert printed.count("\n<details>") == printed.count("\n</details>") == 1
    assert "| digest of the run |" in printed


def test_the_plot_of_critical_differences_is_drawn_by_report(
    isbench: Isbench, tmp_path: Path
) -> None:
    code, printed, _ = isbench(
        "report", *RESULTS, "--plot", "critical_difference", "--out", tmp_path
    )
    assert (code, printed.splitlines()) == (
        0, [str(tmp_path / f"critical_difference.{kind}") for kind in ("png", "svg")],
    )  # fmt: skip
