"""The steps of the GitHub Action: play a model, compare it with a stored run, write a summary.

Settings are environment variables, so that the script runs the same on any machine:

    ISBENCH_MODEL         name of a model, or package.module:card
    ISBENCH_DATASET       a data set [default: sample]; fetched if it is not in ISBENCH_DATA
    ISBENCH_BASE          the stored run, a file or a folder; without one, the model is only played
    ISBENCH_FAIL_IF       conditions, one a line [default: noc90 > +0.2]
    ISBENCH_INCONCLUSIVE  fail or pass, if there are too few objects to tell [default: fail]
    ISBENCH_OPTIONS       further options of `isbench run`
    ISBENCH_OUT           a new folder for the run [default: isbench-runs]

The summary is appended to the file GITHUB_STEP_SUMMARY and the outcome to GITHUB_OUTPUT, where
these are set. The exit code is that of `isbench compare --fail-if`: 0 PASS or WARN, 1 FAIL,
2 invalid input, 3 INCONCLUSIVE (0 if that may pass). It needs isbench and the standard library.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PLAYED, INCONCLUSIVE = "PLAYED", "INCONCLUSIVE"
EXIT_CODES = {PLAYED: 0, "PASS": 0, "WARN": 0, "FAIL": 1, INCONCLUSIVE: 3}
LEVELS = {PLAYED: "notice", "PASS": "notice", "WARN": "warning", "FAIL": "error"}


class Settings(NamedTuple):
    """What to play, and what to compare it with."""

    model: str
    dataset: str
    base: str
    conditions: list[str]
    may_pass: bool  # an inconclusive comparison
    options: list[str]
    out: str


class Result(NamedTuple):
    """The outcome, and the sentences that explain it."""

    outcome: str
    reasons: list[str]
    summary: str  # Markdown


def read_settings() -> Settings:
    """Return the settings; exits with 2 for a missing or unknown one."""
    inconclusive = read("INCONCLUSIVE", "fail")
    if not read("MODEL") or inconclusive not in ("fail", "pass"):
        wanted = "ISBENCH_MODEL is not set; wanted the name of a model"
        if read("MODEL"):
            wanted = f"ISBENCH_INCONCLUSIVE is {inconclusive!r}; wanted fail or pass"
        print(f"isbench: {wanted}", file=sys.stderr)
        sys.exit(2)
    lines = read("FAIL_IF", "noc90 > +0.2").splitlines()
    return Settings(
        read("MODEL"),
        read("DATASET", "sample"),
        read("BASE"),
        [line.strip() for line in lines if line.strip()],
        inconclusive == "pass",
        shlex.split(read("OPTIONS")),
        read("OUT", "isbench-runs"),
    )


def read(name: str, default: str = "") -> str:
    """Return a setting; an empty one is its default, as an input of an action that is not given."""
    return os.environ.get(f"ISBENCH_{name}", "").strip() or default


def call(*words: str, accept: tuple[int, ...] = (0,)) -> str:
    """Return what a command of isbench prints; exits with its code unless that is accepted."""
    command = [sys.executable, "-m", "isbench", *words]
    print(f"$ isbench {shlex.join(words)}", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode not in accept:
        sys.stdout.write(done.stdout)
        sys.exit(done.returncode)
    return done.stdout


def play(settings: Settings) -> None:
    """Play the model on the data set, which is fetched if it has a name and is not there."""
    dataset = settings.dataset
    if (
        dataset != "sample"
        and ":" not in dataset
        and not call("data", "path", dataset, accept=(0, 2))
    ):
        call("data", "get", dataset)
    print(call("run", "--model", settings.model, "--dataset", dataset, "--out", settings.out,
               *settings.options))  # fmt: skip


def compare(settings: Settings) -> Result:
    """Compare the run with the stored one."""
    report = call("report", settings.out, "--markdown-summary")
    if not settings.base:
        return Result(PLAYED, ["there is no stored run to compare with"], report)
    words = ["compare", settings.base, settings.out]
    for condition in settings.conditions:
        words += ["--fail-if", condition]
    codes = tuple(sorted(set(EXIT_CODES.values())))
    found = json.loads(call(*words, "--format", "json", accept=codes))
    gate = found.get("gate", {"outcome": PLAYED, "conditions": []})
    reasons = [
        f"{one['outcome']} {one['condition']} on {one['dataset']}: {one['base']:.4g} became "
        f"{one['new']:.4g}; {one['reason']}"
        for one in gate["conditions"]
    ]
    table = call(*words, "--format", "markdown", accept=codes)
    return Result(gate["outcome"], reasons, f"# isbench: {gate['outcome']}\n\n{table}\n{report}")


def publish(result: Result, settings: Settings) -> int:
    """Write the summary, the outcome and annotations; return the exit code."""
    for variable, text in (
        ("GITHUB_STEP_SUMMARY", result.summary),
        ("GITHUB_OUTPUT", f"outcome={result.outcome}\n"),
    ):
        if path := os.environ.get(variable):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)
    passes = result.outcome == INCONCLUSIVE and settings.may_pass
    level = LEVELS.get(result.outcome, "warning" if passes else "error")
    for reason in result.reasons:
        if os.environ.get("GITHUB_ACTIONS"):
            print(f"::{level} title=isbench::{reason.replace('%', '%25')}")
        else:
            print(reason)
    print(f"outcome: {result.outcome}")
    return 0 if passes else EXIT_CODES[result.outcome]


def main() -> int:
    """Run the steps; return the exit code."""
    settings = read_settings()
    play(settings)
    return publish(compare(settings), settings)


if __name__ == "__main__":
    sys.exit(main())
