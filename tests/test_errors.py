"""Errors of the library speak of values and name the argument; the command line adds the flag."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from isbench.cli import COMMANDS, cli
from isbench.cli.flags import find_command, format_error
from isbench.errors import (
    ClickerError,
    DatasetError,
    ExtensionError,
    IsbenchError,
    PredictorError,
    Unfit,
    make_unknown_error,
)
from isbench.evaluation.rules import rules
from isbench.evaluation.runner import run
from isbench.files.archives import Unusable
from tests.support import toys

ROOT = Path(__file__).parents[1]
LIBRARY = sorted(
    path
    for package in ("isbench", "csfpn", "baselines")
    for path in (ROOT / package).rglob("*.py")
    if not path.is_relative_to(ROOT / "isbench" / "cli")
)
TREES = {path: ast.parse(path.read_text()) for path in LIBRARY}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts(tree: ast.Module) -> Iterator[str]:
    """Yield every string with its replacement fields as {}, except docstrings and page styles."""
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inner.add(node.value)  # a docstring
        elif isinstance(node, ast.JoinedStr):
            inner |= {one for one in node.values if isinstance(one, ast.Constant)}
            yield "".join(
                str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            yield node.value


def flags_outside_commands(text: str) -> list[str]:
    """Return the flags outside whole commands, which stand in backticks."""
    return re.findall(r"(?<![\w-])--[a-z][\w-]*", re.sub(r"`[^`]*`", "", text))


def test_the_library_mentions_flags_in_whole_commands_only() -> None:
    style = "color-scheme"  # of a page: its variables start with two hyphens
    found = {
        (name(path), text)
        for path in LIBRARY
        for text in texts(TREES[path])
        if flags_outside_commands(text) and style not in text
    }
    assert found == set()


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("use --backend eager", ["--backend"]),
        ("`isbench run --weights NAME` downloads them, or pass --weights FILE", ["--weights"]),
        ("play with stop_iou above 1 (`isbench run --stop-iou 1.01`)", []),
        ("a dash -- or a well-known word", []),
    ],
)
def test_flags_in_a_message_are_found(text: str, flags: list[str]) -> None:
    assert flags_outside_commands(text) == flags


def commands() -> list[click.Command]:
    context = click.Context(cli)
    found = [command for word in COMMANDS if (command := cli.get_command(context, word))]
    groups = [command for command in found if isinstance(command, click.Group)]
    return [*found, *(one for group in groups for one in group.commands.values())]


PLACES = {
    "check_least": 0,
    "Remedy": 1,
    "make_unknown_error": 3,
    "parse_option": 3,
}  # of the setting


def settings() -> set[str]:
    """Return the settings that errors of the library name, as far as they are literal."""
    calls = [
        node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Call)
    ]
    given = [
        *(word.value for call in calls for word in call.keywords if word.arg == "setting"),
        *(
            call.args[place]
            for call in calls
            if isinstance(call.func, ast.Name)
            and (place := PLACES.get(call.func.id, len(call.args))) < len(call.args)
        ),
    ]
    return {str(one.value) for one in given if isinstance(one, ast.Constant)}


def test_every_setting_that_an_error_names_has_a_flag() -> None:
    named = settings()
    assert named >= {"backend", "clicker", "data", "limit", "options", "out", "resume", "weights"}
    for setting in named:
        error = IsbenchError("it is wrong", setting=setting)
        assert any(str(error) != format_error(error, command) for command in commands()), setting


@pytest.mark.parametrize(
    ("words", "setting", "flag"),
    [
        (["run"], "max_clicks", " (--max-clicks)"),
        (["run", "--model", "nearest"], "options", " (--set)"),
        (["train"], "settings", " (--set)"),
        (["data", "get", "grabcut"], "urls", " (--url)"),
        (["run"], "recheck", " (--recheck)"),
        (["report"], "backend", ""),  # the command has no such flag
        (["data"], "data", ""),
        (["run"], "", ""),
        ([], "data", ""),
        (["no-command"], "data", ""),
    ],
)
def test_a_flag_is_added_if_the_command_has_it(words: list[str], setting: str, flag: str) -> None:
    error = IsbenchError("it is wrong", setting=setting)
    assert format_error(error, find_command(cli, words)) == f"it is wrong{flag}"


@pytest.mark.parametrize(
    "kind",
    [IsbenchError, ExtensionError, PredictorError, ClickerError, DatasetError, Unfit, Unusable],
)
def test_an_error_survives_pickling(kind: type[IsbenchError]) -> None:
    error = pickle.loads(pickle.dumps(kind("it is wrong", setting="backend")))
    assert (type(error), str(error), error.setting) == (kind, "it is wrong", "backend")


def test_an_unknown_name_names_its_setting() -> None:
    error = make_unknown_error("backend", "opnvino", ("eager", "openvino"), "backend")
    assert (str(error), error.setting) == (
        "no backend named 'opnvino'; did you mean openvino?",
        "backend",
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_worker_keeps_its_setting(tmp_path: Path, workers: int) -> None:
    with pytest.raises(IsbenchError, match="use the preset ritm-2021") as raised:
        run(toys.card, toys.empty_blobs(2), rules("strict"), out=tmp_path, workers=workers)
    assert raised.value.setting == "preset"


def test_an_unknown_name_lists_the_first_known_ones_in_one_line() -> None:
    few = str(make_unknown_error("table", "?", ("b", "a")))
    assert few == "no table named '?'; available: a, b"
    many = str(make_unknown_error("object", "?", [f"{k:02}" for k in range(40)]))
    assert many.endswith("10, 11 and 28 more")
