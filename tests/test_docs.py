"""What the documents show works as it is written."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import pandas as pd
import pytest

from benchmarks.evaluate import TABLES, format_table
from isbench.cli import cli
from isbench.datasets import load_dataset
from isbench.evaluation.runner import Silent, run
from isbench.models.loading import load_model
from isbench.nn.runtime import openvino
from isbench.papers.all_tables import make_pages
from isbench.papers.register import read_register
from isbench.papers.registry import load_paper
from isbench.reporting.chosen_runs import choose_runs
from isbench.storage.store import find, parse_digest, read
from isbench.testing import check_clicker, check_predictor
from isbench.types import Rules
from tests.support.packages import install_package
from tests.support.recorded import record_on_davis

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


PLUGIN = ROOT / "tests" / "plugin" / "isbench_toy_plugin"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_row_of_a_table_is_one_line(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert [line for line in text.splitlines() if line.startswith("| ") and line[-1] != "|"] == []


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "adding-a-model.md"])
def test_the_model_that_is_shown_keeps_the_contract(page: Path) -> None:
    names: dict[str, Any] = {}
    code, *_ = blocks(page, "python")
    exec(code, names)
    check_predictor(names["card"])


@pytest.mark.parametrize(
    ("page", "module"),
    [
        ("adding-a-model.md", "threshold.py"),
        ("adding-a-clicker.md", "shaky.py"),
        ("datasets.md", "tiles.py"),
        ("datasets.md", "scans.py"),
        ("reports.md", "metrics.py"),
    ],
)
def test_the_code_that_is_shown_is_installed_and_played_by_the_tests(
    page: str, module: str
) -> None:
    code = (PLUGIN / module).read_text()
    assert code in blocks(ROOT / "docs" / page, "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 25


def test_the_answer_of_two_networks_that_is_shown_is_the_one_of_the_installed_model() -> None:
    *_, code = blocks(ROOT / "docs" / "adding-a-model.md", "python")
    assert code.startswith("    def _mask")
    assert code in (PLUGIN / "two.py").read_text()


def tiny_model() -> str:
    """Return the model with a network of the documentation."""
    (code,) = (c for c in blocks(ROOT / "docs" / "adding-a-model.md", "python") if "Tiny" in c)
    return code


def test_the_model_with_a_network_that_is_shown_takes_20_lines_without_the_network() -> None:
    code = tiny_model()
    (network,) = (
        node
        for node in ast.parse(code).body
        if isinstance(node, ast.ClassDef) and [ast.unparse(b) for b in node.bases]
    )
    lines = code.splitlines()
    rest = lines[: network.lineno - 1] + lines[network.end_lineno :]
    assert len([line for line in rest if line.strip()]) <= 20
    assert max(map(len, lines)) <= 100


def test_the_model_with_a_network_that_is_shown_plays_alike_on_every_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_package(monkeypatch, tmp_path / "site", {"documented_network": tiny_model()}, {})
    name = "documented_network:card"
    check_predictor(name)
    runs = []
    for backend in ("eager", "openvino")[: 1 + openvino.is_installed()]:
        model = load_model(name, weights="random", backend=backend)
        check_predictor(model)
        dataset = load_dataset("sample", limit=2)
        runs.append(run(model, dataset, Rules(3, 1.01), out=tmp_path / backend, watch=Silent()))
    clicks = [[game.clicks for game in one.trajectories] for one in runs]
    assert all(one == clicks[0] for one in clicks)


def test_the_model_in_contributing_takes_20_lines() -> None:
    (code,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20


def test_the_paper_that_is_shown_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isbench: Callable[..., tuple[int, str, str]]
) -> None:
    page = ROOT / "docs" / "reports.md"
    (code,) = (block for block in blocks(page, "python") if "Paper(" in block)
    (entry,) = (block for block in blocks(page, "toml") if "isbench.papers" in block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    group, name = re.findall(r'"(isbench.\w+)"\]\n(\w+) = "\w+\.\w+:paper"', entry)[0]
    points = {group: {name: "documented_paper:paper"}}
    install_package(monkeypatch, tmp_path / "site", {"documented_paper": code}, points)
    played = record_on_davis(tmp_path / "runs", load_model("nearest"))
    words = ("--table", f"{name}:1", "--runs", tmp_path / "runs", "--format", "markdown")
    exit_code, printed, said = isbench("report", *words)
    assert exit_code == 0, said
    assert printed.splitlines()[2:4] == [
        "| RITM | HRNet-18 | SBD | ritm-hrnet18 | 3.22 | 6.71 |",
        "|  |  |  | nearest |  | – / 2.00 |",
    ]
    assert parse_digest(played.path) in printed


def test_the_clicker_that_is_shown_takes_20_lines_and_keeps_the_contract() -> None:
    names: dict[str, Any] = {}
    (code,) = blocks(ROOT / "docs" / "adding-a-clicker.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    exec(code, names)
    check_clicker(names["card"])


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "README.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    exec(code, {})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[4:8]] == [
        "model",
        "nearest",
        "grabcut",
        "NoC_5@80:",
    ]
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert {read(path).spec.preset for path in find(tmp_path / "runs")} == {"strict"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"(?<!\")\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.slow  # `reproduce --check`, a step of its own in CI, compares them too
def test_the_committed_tables_are_those_of_the_committed_runs() -> None:
    runs, notes = choose_runs([], ROOT / "results")
    assert notes == []
    register = read_register(ROOT / "results", runs)
    for name, text in make_pages(load_paper(), runs, register).items():
        assert (ROOT / "results" / name).read_bytes() == text.encode(), name


@pytest.mark.parametrize(
    ("record", "formats"), [("processes", TABLES[0]), ("performance", TABLES[1])]
)
def test_the_measured_tables_are_the_recorded_ones(record: str, formats: dict[str, str]) -> None:
    recorded = format_table(pd.read_csv(ROOT / "results" / f"{record}.csv"), formats)
    assert recorded in (ROOT / "docs" / "performance.md").read_text()


def test_the_figures_of_avx2_are_the_recorded_ones() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    record = pd.read_csv(ROOT / "results" / "instructions.csv")
    assert (record.identical == record.objects).all()
    for (instructions, model), rows in record.groupby(["instructions", "model"]):
        plain, one, two, run = (
            rows[rows.way == way].iloc[0]
            for way in ("plain, 2 threads", "openvino, 1 x 1", "openvino, 2 x 1", "isbench run")
        )
        assert (
            f"| {instructions} | `{model}` | {run.whole_ratio:.2f} | {plain.start_s:.1f} | "
            f"{run.start_s:.1f} | {two.ratio:.2f} | {plain.p50_s:.3f} | {one.p50_s:.3f} |"
        ) in page


PYTHON = [
    pytest.param(
        page,
        code,
        id=f"{page.name}-{number}",
        marks=[pytest.mark.slow] if "isbench.train(" in code else [],
    )
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"))
]


@pytest.mark.parametrize(("page", "code"), PYTHON)
def test_every_python_block_runs(
    page: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if code.startswith("    def _mask"):
        return  # a part of an installed module, see above
    if page.name == "README.md":
        return  # run by `test_the_python_example_runs`
    if page.name == "onnx.md":
        return  # needs an exported model, see tests/nn/test_onnx.py
    monkeypatch.chdir(tmp_path)
    started = perf_counter()
    exec(compile(code, page.name, "exec"), {"__name__": "shown"})
    if page.name == "training.md":
        assert (tmp_path / "runs/training/quick/weights.safetensors").is_file()
        assert perf_counter() - started < 600  # two minutes on a machine that does nothing else


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_shown_in_blocks_of_its_own(page: Path) -> None:
    assert [
        line for line in list_shell_lines(page) if re.match(r"isbench\.|import |from ", line)
    ] == []


def list_shell_lines(page: Path) -> list[str]:
    """Return the indented lines of a page, those that go on in the next joined."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^    +(\S.*)$", re.sub(r"\\\n +", "", text), re.MULTILINE)


def list_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words after `isbench` of every command that a page shows, variables filled in."""
    variables: dict[str, str] = {}
    for line in list_shell_lines(page):
        expanded = fill_in(line, variables)
        if re.match(r"\w+=", line):
            pairs = re.findall(r"(\w+)=(\"[^\"]*\"|[^;\s]+)", expanded)
            variables |= {name: value.strip('"') for name, value in pairs}
        elif found := re.search(r"(?:^|\s)isbench (?=[a-z-])(.*)", expanded):
            yield shlex.split(found[1], comments=True)


def fill_in(line: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: variables.get(found[1], "1"), line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_is_parsed(page: Path) -> None:
    for words in list_commands(page):
        command: click.Command | None = cli
        context, rest = click.Context(cli, info_name="isbench"), list(words)
        while isinstance(command, click.Group):
            command = command.get_command(context, rest.pop(0))
        assert command is not None, words
        command.make_context("isbench", rest, parent=context)  # raises for what cannot be parsed


def test_many_commands_are_shown() -> None:
    shown = [" ".join(words) for page in PAGES for words in list_commands(page)]
    assert len(shown) > 60
    assert any("--set init=runs/training/hsgm" in line for line in shown)  # with a variable
    assert any(line == "train ritm-hrnet18 --data sbd" for line in shown)  # by torchrun
    assert {line.split()[0] for line in shown} >= {"run", "train", "report", "predict", "data"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_sentence_exists_with_its_options(page: Path) -> None:
    for line in re.findall(r"`isbench ([a-z][^`]*)`", page.read_text()):
        words = line.replace(",", " ").split()  # also "data list, path, verify"
        command: click.Command | None = cli
        context = click.Context(cli)
        while isinstance(command, click.Group) and words:
            command = command.get_command(context, words.pop(0))
        assert command is not None, line
        known = {name for option in command.params for name in option.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_other_command_that_is_shown_exists(page: Path) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    extras = {one.partition("==")[2].strip(" '\"") for one in requires("isbench") or ()}
    for line in [*list_shell_lines(page), *re.findall(r"`([^`\n]+)`", page.read_text())]:
        if found := re.match(r"make (\w+)", line):
            assert found[1] in targets, line
        if found := re.match(r"python -m ([\w.]+)", line):
            assert find_spec(found[1]) is not None, line
        if found := re.search(r"pip install 'isbench\[(\w+)\]'", line):
            assert found[1] in extras, line
