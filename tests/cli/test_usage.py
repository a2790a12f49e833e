"""Command lines that cannot be parsed, and lists where an option is repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.evaluation.rules import rules
from isbench.evaluation.runner import run
from isbench.types import Rules
from tests.cli.test_paths import list_parameters
from tests.support import toys

Isbench = Callable[..., tuple[int, str, str]]
REQUIRED = {
    path: [
        parameter for other, parameter in list_parameters() if other == path and parameter.required
    ]
    for path, _ in list_parameters()
}
BARE = [path for path, parameters in REQUIRED.items() if parameters]
REPEATED = [
    (path, parameter)
    for path, parameter in list_parameters()
    if isinstance(parameter, click.Option) and parameter.multiple and parameter.name != "given"
]


@pytest.mark.parametrize("path", BARE, ids=" ".join)
def test_a_bare_command_says_what_it_needs_and_points_to_its_help(
    isbench: Isbench, path: tuple[str, ...]
) -> None:
    code, printed, errors = isbench(*path)
    assert (code, printed) == (2, "")
    assert errors.count("\n") == 1
    assert errors.endswith(f"; see `isbench {' '.join(path)} --help`\n")
    for parameter in REQUIRED[path]:
        assert str(parameter.metavar or parameter.opts[0]) in errors or (
            parameter.opts[0].upper() in errors or parameter.opts[0] in errors
        )


def test_many_commands_need_something() -> None:
    assert {("run",), ("train",), ("compare",), ("data", "get")} <= set(BARE)


@pytest.mark.parametrize("path", sorted({path for path, _ in list_parameters()}), ids=" ".join)
@pytest.mark.parametrize("word", ["--nonesuch", "--hlep"])
def test_an_unknown_option_points_to_the_help_of_its_command(
    isbench: Isbench, path: tuple[str, ...], word: str
) -> None:
    code, printed, errors = isbench(*path, word)
    assert (code, printed) == (2, "")
    assert errors.count("\n") == 1
    assert errors.endswith(f"; see `{' '.join(('isbench', *path))} --help`\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rnu",), "did you mean run?"),
        (("help",), "see `isbench --help`"),
        (("data", "lst"), "Did you mean 'list'?"),
        (("run", "--modle", "nearest"), "Did you mean '--model'?"),
        (("run", "--workers"), "requires an argument; see `isbench run --help`"),
        (("run", "nearest", "sample"), "run needs --model; see"),
    ],
)
def test_a_slip_names_what_was_meant(isbench: Isbench, words: tuple[str, ...], said: str) -> None:
    code, printed, errors = isbench(*words)
    assert (code, printed) == (2, "")
    assert said in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "option"), REPEATED, ids=lambda x: x if isinstance(x, str) else getattr(x, "name", "")
)
@pytest.mark.parametrize("comma", [",", ", "])
def test_an_option_that_takes_one_value_each_time_is_repeated(
    isbench: Isbench, path: tuple[str, ...], option: click.Option, comma: str
) -> None:
    flag = option.opts[0]
    values = {
        "--set": ("nonesuch=1", "other=2"),
        "--url": ("https://a.org/x", "https://b.org/x"),
        "--trust-model": ("a:card", "b:card"),
    }
    first, second = values.get(flag, ("nearest", "grabcut"))
    needed: list[str] = {"run": ["--model", "nearest", "--dataset", "sample"]}.get(path[0], [])
    needed += ["a", "b"] * (path[0] == "compare")
    needed += {"train": ["ritm-mini", "--data", "x"], "predict": [__file__]}.get(path[0], [])
    needed += ["nearest"] * (path[0] == "export-model")
    needed += ["grabcut"] * (path == ("data", "get")) + ["--clicks", "1,1,+"] * (
        path[0] == "predict"
    )
    if flag in needed:
        needed = []
    code, printed, errors = isbench(*path, *needed, flag, f"{first}{comma}{second}")
    assert (code, printed) == (2, "")
    if path[0] != "predict":  # it reads the image first
        assert f"repeat {flag}: {flag} {first} {flag} {second}" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--model", "nearest", "--dataset", "folder:a,b"),
        ("run", "--model", "nearest", "--dataset", "coco:pictures,some.json"),
        ("run", "--model", "csfpn-mini", "--dataset", "none", "--weights", "a.pth,b.pth"),
        ("data", "verify", "folder:a,b"),
    ],
)
def test_commas_in_places_and_files_are_taken_as_they_are(
    isbench: Isbench, words: tuple[str, ...]
) -> None:
    code, _, errors = isbench(*words)
    assert code == 2
    assert "repeat" not in errors
    assert "is a list" not in errors


@given(st.floats(min_value=2, exclude_min=True, allow_nan=False))
def test_an_iou_above_2_is_refused_with_the_share_that_was_meant(value: float) -> None:
    with pytest.raises(IsbenchError, match="for full games") as error:
        rules(stop_iou=value)
    assert error.value.setting == "stop_iou"
    with pytest.raises(IsbenchError, match="for full games"):
        run(toys.card, toys.blobs(1), Rules(stop_iou=value))
    if value <= 100:
        share = float(str(error.value).partition("did you mean ")[2].rstrip("?"))
        assert share == pytest.approx(value / 100, rel=1e-4)
    else:
        assert "did you mean" not in str(error.value)


@given(st.floats(min_value=0, exclude_min=True, max_value=2))
def test_an_iou_up_to_2_is_taken(value: float) -> None:
    assert rules(stop_iou=value).stop_iou == value


@pytest.mark.parametrize(("typed", "meant"), [("90", "0.90"), ("85", "0.85"), ("97.5", "0.975")])
def test_a_percentage_is_refused_before_anything_is_written(
    isbench: Isbench, tmp_path: Path, typed: str, meant: str
) -> None:
    words = ("--model", "nearest", "--dataset", "sample", "--out", tmp_path / "runs")
    code, _, errors = isbench("run", *words, "--stop-iou", typed)
    assert code == 2
    assert errors.endswith(f"did you mean {meant}? (--stop-iou)\n")
    assert not (tmp_path / "runs").exists()
