"""All commands: their help, the completion of names, and those that only look around."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from isbench import cli
from isbench.cli import COMMANDS
from tests.test_docs import ROOT

Isbench = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("command", ["datasets", "models", "doctor"])
def test_the_commands_that_look_around_work_without_data(
    isbench: Isbench, tmp_path: Path, command: str
) -> None:
    options = () if command == "models" else ("--data", tmp_path / "none")
    code, printed, errors = isbench(command, *options)
    assert code == 0
    assert errors == ""
    assert "grabcut" in printed


@pytest.mark.parametrize(
    "command",
    [
        "clickers",
        "data list",
        "datasets",
        "models",
        "models --cost",
        "models csfpn-lite",
        "published",
    ],
)
def test_lines_in_a_pipe_have_no_spaces_at_their_ends(isbench: Isbench, command: str) -> None:
    code, printed, _ = isbench(*command.split())
    assert code == 0
    assert [line for line in printed.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["data", "get"]])
def test_every_help_has_an_example(isbench: Isbench, command: list[str]) -> None:
    code, printed, _ = isbench(*command, "--help")
    assert code == 0
    assert "Example:\n" in printed
    assert f"isbench {' '.join(command)}".strip() in printed


@pytest.mark.parametrize("command", [[], ["data"]])
def test_a_group_alone_shows_its_help(isbench: Isbench, command: list[str]) -> None:
    code, printed, errors = isbench(*command)
    assert code == 0
    assert printed.count("\n") > 10
    assert errors == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_front_page_says_what_the_command_says(name: str) -> None:
    command = cli.cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.short_help == COMMANDS[name]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("isbench run --model ne", "nearest"),
        ("isbench run --clicker la", "largest"),
        ("isbench report --plot iou", "iou_k"),
        ("isbench report --dataset da", "davis"),
        ("isbench compare --metric noc@8", "noc@85"),
        ("isbench compare --correction ho", "holm"),
    ],
)
def test_the_shell_completes_names(line: str, name: str) -> None:
    environment = {**os.environ, "_ISBENCH_COMPLETE": "bash_complete", "COMP_WORDS": line}
    code = "from isbench.cli import main; main([])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "COMP_CWORD": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert name in done.stdout


@pytest.mark.parametrize("words", ["report {}", "compare nearest {}", "export {}"])
def test_the_shell_completes_runs_of_the_folder(words: str) -> None:
    completion = ShellComplete(cli.cli, {}, "isbench", "_ISBENCH_COMPLETE")
    given = words.format("").split()
    for start, wanted in (("near", "nearest"), ("867640", "867640f26b54"), ("dav", "davis")):
        line = [given[0], "--runs", str(ROOT / "results"), *given[1:]]
        found = completion.get_completions(line, start)
        assert wanted in [one.value for one in found]
    (path,) = completion.get_completions(given, "./runs")
    assert path.type == "file"


def test_the_installed_clickers_are_listed(isbench: Isbench) -> None:
    code, printed, errors = isbench("clickers")
    assert (code, errors) == (0, "")
    for name in ("centre", "largest", "random"):
        assert name in printed
