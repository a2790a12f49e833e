"""`isbench run`: what it prints, records and reuses."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.storage import store
from tests.conftest import write_folder_set

Isbench = Callable[..., tuple[int, str, str]]
TOY = "tests.support.toys:card"


def test_run_prints_the_table_and_where_the_results_are(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    code, printed, _ = isbench(
        "run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--stop-iou", 1.01, "--out", out
    )
    assert code == 0
    for head in ("NoC@80", "NoC@85", "NoC@90", "NoF@85", "NoF@90", "NoF@90 (RITM)", "IoU@20"):
        assert head in printed
    (sealed,) = out.rglob("*.jsonl.gz")
    assert str(sealed) in printed


def test_progress_goes_to_standard_error_as_plain_lines(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    _, printed, said = isbench(
        "run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--out", out
    )
    assert "objects/s" not in printed
    assert "6/6 objects" in said
    assert "\x1b[" not in said + printed


def test_models_and_data_sets_repeat(isbench: Isbench, folder_set: Path, out: Path) -> None:
    sets = ("--dataset", "sample", "--dataset", f"folder:{folder_set}")
    code, printed, _ = isbench(
        "run", "--model", TOY, "--model", "nearest", *sets, "--limit", 2, "--out", out
    )
    assert code == 0
    assert len(store.find(out)) == 4
    assert printed.count("disks") >= 2
    assert printed.count("nearest") >= 2


def test_early_stopped_runs_print_no_iou_at_k_and_say_how_to_get_it(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    _, printed, _ = isbench(
        "run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--out", out
    )
    assert "NoC@90" in printed
    for head in ("IoU@5", "NoC@95", "NoF@95"):
        assert not [line for line in printed.splitlines() if line.strip().startswith(head)]
    assert "--stop-iou 1.01" in printed


def test_a_second_run_is_answered_by_the_first(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    command = ("run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--out", out)
    isbench(*command, "--stop-iou", 1.01)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, _, said = isbench(*command, "--max-clicks", 10)
    assert code == 0
    assert "nothing to play" in said
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_set_reaches_the_model_and_the_record(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    isbench(
        "run",
        "--model",
        TOY,
        "--dataset",
        f"folder:{folder_set}",
        "--set",
        "radius=2",
        "--out",
        out,
    )
    (path,) = store.find(out)
    assert store.read(path).spec.options == {"radius": 2}


def test_strict_is_recorded_with_its_digest(isbench: Isbench, folder_set: Path, out: Path) -> None:
    for preset in ("ritm-2021", "strict"):
        isbench(
            "run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--preset", preset,
            "--out", out,
        )  # fmt: skip
    specs = [store.read(path).spec for path in store.find(out)]
    assert {spec.preset for spec in specs} == {"ritm-2021", "strict"}
    assert len({spec.preset_digest for spec in specs}) == 2


def test_files_that_are_not_known_are_a_warning_in_run_record_and_report(
    isbench: Isbench, tmp_path: Path, out: Path
) -> None:
    other = write_folder_set(tmp_path / "GrabCut", objects=2)
    (other / "images").rename(other / "data_GT")
    (other / "masks").rename(other / "boundary_GT")
    for path in (other / "boundary_GT").iterdir():
        path.rename(path.with_name(path.name.replace("__1", "")))
    code, _, said = isbench(
        "run", "--model", TOY, "--dataset", "grabcut", "--data", tmp_path, "--out", out
    )
    assert code == 0
    assert "not a known version" in said
    (path,) = store.find(out)
    assert any("not a known version" in text for text in store.read(path).meta[0]["warnings"])
    _, _, said = isbench("report", "--runs", out)
    assert "with an unknown fingerprint" in said


def test_a_card_in_the_working_folder_is_found(tmp_path: Path) -> None:
    lines = [
        "from isbench import ModelCard",
        "from tests.support.toys import Disks",
        "card = ModelCard('here', lambda: Disks())",
    ]
    (tmp_path / "here.py").write_text("\n".join(lines))
    arguments = ["run", "--model", "here:card", "--dataset", "sample", "--limit", "3"]
    script = Path(sys.executable).with_name("isbench")
    done = subprocess.run(
        [script, *arguments, "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "here" in done.stdout


@pytest.mark.parametrize("name", ["[red]", "$\\foo$", "a|b", "h[/b]", "_x", "ümlaut #1"])
def test_strange_names_come_through_as_they_are(
    isbench: Isbench, tmp_path: Path, name: str
) -> None:
    root, out = write_folder_set(tmp_path / name, objects=3), tmp_path / f"out {name}"
    code, printed, _ = isbench(
        "run", "--model", TOY, "--dataset", f"folder:{root}", "--stop-iou", 1.01, "--out", out
    )
    assert code == 0
    assert f"folder:{root.name}" in printed
    assert str(out) in printed
    assert isbench("report", "--runs", out, "--plot", "iou_k", "--plot", "noc_hist")[0] == 0
    for form in ("rich", "latex", "markdown", "csv"):
        assert isbench("report", "--runs", out, "--format", form)[0] == 0


def test_several_seeds_are_one_row_and_are_found_again(isbench: Isbench, tmp_path: Path) -> None:
    words = ("--model", "nearest", "--dataset", "sample", "--limit", "2", "--out", tmp_path)
    words = (*words, "--workers", "1", "--max-clicks", "3", "--stop-iou", "1.01")
    assert isbench("run", *words)[0] == 0
    code, printed, _ = isbench("run", *words, "--clicker", "human", "--seeds", "3", "--seed", "5")
    assert code == 0
    assert "3 seeds" in printed
    assert "dSB %" in printed  # centre was played before
    assert sorted(store.read(path).spec.rules.seed for path in store.find(tmp_path)) == [0, 5, 6, 7]
    code, again, _ = isbench("report", tmp_path, "--table", "study", "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(again)))
    assert sorted((row["clicker"], row["runs"]) for row in rows) == [
        ("centre", "1"), ("human:miss=0.0", "3"),
    ]  # fmt: skip
    code, printed, _ = isbench("run", *words[:-2], "--clicker", "human", "--seeds", "2")
    assert (code, "IoU@k" in printed) == (0, False)  # games end early, but a study has no IoU@k
    code, _, said = isbench("run", *words, "--seeds", "2")
    assert code == 2
    assert "the clicker centre draws no random numbers" in said
    assert "(--seeds)" in said


@pytest.mark.parametrize(("clicker", "noted"), [("centre", True), ("jitter:2", False)])
def test_a_seed_without_effect_is_noted(
    isbench: Isbench, tmp_path: Path, clicker: str, noted: bool
) -> None:
    code, _, errors = isbench(
        "run", "--model", "nearest", "--dataset", "sample", "--limit", 1, "--max-clicks", 1,
        "--clicker", clicker, "--seed", 5, "--out", tmp_path,
    )  # fmt: skip
    assert code == 0
    assert ("draws no random numbers: every seed gives the same games" in errors) == noted
