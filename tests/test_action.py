"""The GitHub Action: its script as it is, on the bundled sample, and its inputs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.test_gate import record
from tests.test_docs import ROOT

SCRIPT = ROOT / "action" / "play_and_compare.py"
STORED = ROOT / "results" / "sample"


def play(tmp_path: Path, base: str, **settings: str) -> tuple[int, str, str, str]:
    """Run the script with the cheapest model; return exit code, output, summary and outcome."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GITHUB")},
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_ACTIONS": "true",
        "ISBENCH_MODEL": "nearest",
        "ISBENCH_DATASET": "sample",
        "ISBENCH_BASE": base,
        "ISBENCH_OUT": str(tmp_path / "new"),
        **{f"ISBENCH_{name}": value for name, value in settings.items()},
    }
    done = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, env=environment, check=False
    )
    summary, output = (tmp_path / name for name in ("summary.md", "output"))
    texts = [path.read_text() if path.exists() else "" for path in (summary, output)]
    return done.returncode, done.stdout + done.stderr, *texts


def test_a_model_that_plays_as_its_stored_run_passes(tmp_path: Path) -> None:
    base = str(next(STORED.glob("nearest-*.jsonl.gz")))
    code, printed, summary, output = play(tmp_path, base, FAIL_IF="noc90 > +0.2\nnof90 > 0\n")
    assert code == 0, printed
    assert output == "outcome=PASS\n"
    assert summary.startswith("# isbench: PASS\n")
    assert summary.count("| PASS |") == 2
    assert "## isbench: 1 run on sample" in summary
    assert "::notice title=isbench::PASS noc90 > +0.2 on sample" in printed


@pytest.mark.slow
def test_a_model_that_is_worse_than_the_stored_run_fails(tmp_path: Path) -> None:
    base = str(next(STORED.glob("csfpn-mini-*.jsonl.gz")))
    code, printed, summary, output = play(tmp_path, base)  # the condition by default
    assert (code, output) == (1, "outcome=FAIL\n"), printed
    assert "| FAIL |" in summary
    assert "::error title=isbench::FAIL noc90 > +0.2 on sample" in printed


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "code"), [("fail", 3), ("pass", 0)])
def test_too_few_objects_fail_or_pass_as_the_user_chooses(
    tmp_path: Path, choice: str, code: int
) -> None:
    base = str(next(STORED.glob("random-walker-*.jsonl.gz")))
    found, printed, _, output = play(tmp_path, base, INCONCLUSIVE=choice)
    assert (found, output) == (code, "outcome=INCONCLUSIVE\n"), printed
    assert ("::error" in printed) == (choice == "fail")


def test_without_a_stored_run_the_model_is_played(tmp_path: Path) -> None:
    code, printed, summary, output = play(tmp_path, "", OPTIONS="--limit 2 --max-clicks '3'")
    assert (code, output) == (0, "outcome=PLAYED\n"), printed
    assert "| limit" in summary or "the first 2 only" in summary


def test_faults_end_with_the_code_and_the_line_of_isbench(tmp_path: Path) -> None:
    base = str(record(tmp_path / "base", [3, 4]))
    for settings, told in (
        ({"MODEL": "nearst"}, "did you mean nearest? (--model)"),
        ({"MODEL": ""}, "ISBENCH_MODEL is not set"),
        ({"INCONCLUSIVE": "maybe"}, "ISBENCH_INCONCLUSIVE is 'maybe'; wanted fail or pass"),
        ({"OPTIONS": "--limit 1"}, "no data set has a run of every system"),
    ):
        code, printed, summary, _ = play(tmp_path, base, **settings)
        assert (code, summary) == (2, ""), printed
        assert told in printed


def test_every_input_of_the_action_reaches_its_script() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = action["runs"]["steps"]
    assert action["runs"]["using"] == "composite"
    (gate,) = (step for step in steps if step.get("id") == "gate")
    assert SCRIPT.relative_to(ROOT).as_posix() in gate["run"]
    text = SCRIPT.read_text()
    settings = set(re.findall(r"^    (ISBENCH_\w+) ", text, re.MULTILINE))
    assert settings == set(gate["env"]) - {"ISBENCH_DATA"}
    assert {f"ISBENCH_{name}" for name in re.findall(r'\bread\("(\w+)"', text)} == settings
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(action["inputs"])
    for step in steps:
        assert "uses" in step or step["shell"] == "bash"
    defaults = {name: one.get("default") for name, one in action["inputs"].items()}
    assert defaults["fail-if"] == "noc90 > +0.2"
    assert all(f'read("{name}", "{value}")' in text for name, value in (
        ("DATASET", defaults["dataset"]), ("FAIL_IF", defaults["fail-if"]),
        ("INCONCLUSIVE", defaults["inconclusive"]), ("OUT", defaults["out"]),
    ))  # fmt: skip
