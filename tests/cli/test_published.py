"""`isbench published` and `isbench report --published`: as printed, with sources."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isbench.evaluation.runner import run
from isbench.reporting.literature import list_published
from isbench.types import Rules
from tests.support import toys

Isbench = Callable[..., tuple[int, str, str]]
DISPUTED = ("--system", "FocalClick-S2", "--dataset", "davis", "--metric", "noc@90")


def test_every_figure_is_listed_in_every_format(isbench: Isbench) -> None:
    found = {
        form: isbench("published", *DISPUTED, "--format", form)[1]
        for form in ("rich", "markdown", "latex", "csv", "json")
    }
    figures = list_published("FocalClick-S2", dataset="davis", metric="noc@90")
    rows = list(csv.DictReader(io.StringIO(found["csv"])))
    assert [row["value"] for row in rows] == [figure.printed for figure in figures]
    objects = json.loads(found["json"])
    assert [one["value"] for one in objects] == [figure.value for figure in figures]
    assert [one["contradicted"] for one in objects] == [row["contradicted"] != "" for row in rows]
    assert {row["backbone"] for row in rows if row["contradicted"]} == {"hrnet18s"}
    for form in ("rich", "markdown"):
        assert "5.25 ≠" in found[form]
        assert "5.23 ≠" in found[form]
        assert all(figure.source in found[form] for figure in figures)


def test_all_figures_are_there_without_a_filter(isbench: Isbench) -> None:
    code, printed, errors = isbench("published", "--format", "csv")
    assert (code, errors) == (0, "")
    assert len(list(csv.DictReader(io.StringIO(printed)))) == 939


def test_a_name_with_a_comma_is_no_list(isbench: Isbench) -> None:
    code, printed, _ = isbench("published", "--training", "sa-1b, then coco+lvis")
    assert code == 0
    assert "SA-1B, then COCO+LVIS" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--system", "focalclik-s2"), "did you mean FocalClick-S2? (--system)"),
        (("--dataset", "daviss"), "did you mean davis? (--dataset)"),
        (("--system", "MFP", "--dataset", "tetris"), "available: berkeley, davis"),
        (("--format", "cvs"), "did you mean csv? (--format)"),
        (("--system", "MFP,RITM"), "repeat --system"),
    ],
)
def test_a_wrong_name_is_one_line(isbench: Isbench, words: tuple[str, ...], said: str) -> None:
    code, printed, errors = isbench("published", *words)
    assert (code, printed, errors.count("\n")) == (2, "", 1)
    assert said in errors


@pytest.mark.parametrize(
    ("line", "name"),
    [("published --system simpl", "SimpleClick"), ("report --published MF", "MFP")],
)
def test_the_shell_completes_systems(line: str, name: str) -> None:
    words = f"isbench {line}"
    count = str(len(words.split()) - 1)
    complete = {"_ISBENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    code = "from isbench.cli import main; main([])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **complete},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"plain,{name}" in done.stdout.split()


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Return a folder with a run that is named like DAVIS."""
    run(toys.card, replace(toys.blobs(4), name="davis"), Rules(20, 1.01), out=tmp_path / "runs")
    return tmp_path / "runs"


def test_a_report_adds_the_systems_that_are_asked_for(isbench: Isbench, davis: Path) -> None:
    words = ("report", "--runs", davis, "--format", "markdown")
    assert "published" not in isbench(*words)[1]
    code, printed, _ = isbench(*words, "--published", "mfp", "--published", "CDNet")
    assert code == 0
    rows = [line for line in printed.splitlines() if ", published [" in line]
    assert {line.partition(",")[0] for line in rows} == {"| *davis* | *MFP", "| *davis* | *CDNet"}
    assert all("*" not in line for line in printed.splitlines() if "disks" in line)
    every = isbench(*words, "--published")[1]
    assert every.count(", published [") > 2 * len(rows)


def test_what_published_figures_are_not_added_to_is_said(isbench: Isbench, davis: Path) -> None:
    words = ("report", "--runs", davis, "--published", "MFP")
    for more, said in (
        (("--format", "csv"), "csv has measured figures only"),
        (("--plot", "noc_hist", "--table", "noc"), "plots show no published figures"),
        (("--table", "1"), "published figures are added to tables of runs only"),
        (("--table", "iou"), "no published figure of these systems fits"),
    ):
        code, _, errors = isbench(*words, *more, "--out", davis / "plots")
        assert code == 0
        assert said in errors
    code, _, errors = isbench("report", "--runs", davis, "--published", "MPF")
    assert (code, "did you mean MFP? (--published)" in errors) == (2, True)
