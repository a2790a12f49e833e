"""A library or a model that is missing costs what needs it, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import isbench
from isbench.errors import IsbenchError
from isbench.models.known_weights import describe_readiness
from isbench.models.registry import describe_missing_library, list_model_names, load_card
from isbench.models.weights import find_weights_folder
from tests.support import toys
from tests.support.packages import install_package

Isbench = Callable[..., tuple[int, str, str]]
OPTIONAL = (
    "skimage", "openvino", "ray", "starlette", "uvicorn", "tensorboard", "transformers"
)  # fmt: skip
# that need some of them
MODELS = ("baselines.classical_cards", "baselines.random_walker", "baselines.sam.cards")
WALKER = "pip install 'isbench[walker]'"
SAM = "pip install 'isbench[sam]'"
LISTINGS = (
    ("models",),
    ("models", "--cost"),
    ("doctor",),
    ("report", "--table", "1", "--runs", "results"),
    ("datasets",),
    ("clickers",),
)


@pytest.fixture
def no_optional_library() -> Iterator[None]:
    """Let none of the optional libraries be imported, and import again what uses one."""
    with pytest.MonkeyPatch.context() as patch:
        for module in [name for name in sys.modules if name.partition(".")[0] in OPTIONAL]:
            patch.setitem(sys.modules, module, None)
        for name in OPTIONAL:
            patch.setitem(sys.modules, name, None)
        before = {name: sys.modules.pop(name, None) for name in MODELS}
        yield
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


@pytest.mark.usefixtures("no_optional_library", "few_models")
@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_no_listing_fails_without_the_optional_libraries(
    isbench: Isbench, words: tuple[str, ...]
) -> None:
    code, printed, errors = isbench(*words)
    assert (code, errors) == (0, "")
    assert any(name in printed for name in ("grabcut", "ritm-mini", "centre"))
    if words in (("models",), ("doctor",)):
        (line,) = (one for one in printed.splitlines() if WALKER in one)
        assert "random-walker" in line
    if words[0] in ("models", "doctor"):
        (line,) = (one for one in printed.splitlines() if SAM in one)
        assert "sam-vit-b" in line
    if words[0] == "report":  # what is recorded is shown, whoever can play it
        (row,) = (one for one in printed.splitlines() if "random-walker  " in one)
        assert "14.18" in row


@pytest.mark.usefixtures("no_optional_library")
def test_a_model_without_its_library_names_the_extra(isbench: Isbench, tmp_path: Path) -> None:
    for model, library, remedy in (
        ("sam-vit-b", "transformers", SAM),
        ("random-walker", "scikit-image", WALKER),
    ):
        wanted = f"isbench: model {model} needs {library}, which is not installed: {remedy}\n"
        words = ("--model", model, "--dataset", "sample", "--out", tmp_path / "runs")
        assert isbench("run", *words) == (2, "", wanted)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(IsbenchError, match=r"isbench\[walker\]"):
        isbench_run_by_hand(tmp_path)
    assert not (tmp_path / "runs").exists()


def isbench_run_by_hand(tmp_path: Path) -> None:
    card = load_card("random-walker")
    isbench.run(isbench.LoadedModel(card, card.options), toys.blobs(1), out=tmp_path / "runs")


@pytest.fixture
def few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """List four models: counting the costs of all of them takes long."""
    names = ("nearest", "random-walker", "ritm-mini", "sam-vit-b")
    for command in ("models", "doctor"):
        monkeypatch.setattr(f"isbench.cli.{command}.list_model_names", lambda: names)


SIX = 'import solver\nfrom isbench import ModelCard\ncard = ModelCard("six", build=print)\n'
LATE = """
from isbench import ModelCard

def build():
    import solver

card = ModelCard("six", build=build)
"""


@pytest.mark.parametrize("code", [SIX, LATE], ids=["at import", "when built"])
def test_a_model_of_another_package_names_the_extra_of_that_package(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    points = {"isbench.models": {"six": "six_model:card"}}
    monkeypatch.delitem(sys.modules, "six_model", raising=False)
    install_package(
        monkeypatch, tmp_path / "six", {"six_model": code}, points, {"fast": ("solver>=2",)}
    )
    words = ("--model", "six", "--dataset", "sample", "--out", tmp_path / "runs")
    exit_code, _, errors = isbench("run", *words)
    assert exit_code == 2
    assert "solver, which is not installed: pip install 'six[fast]'" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "code",
    [
        SIX,
        "1 / 0",
        "raise SystemExit(3)",
        "card = 1",
        "import broken_six.part",
        "from os import six",
    ],
)
def test_a_table_with_a_broken_model_leaves_that_row_blank(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    paper = (
        "from isbench.papers import Paper, PaperTable, Question\n"
        "from isbench.papers.rows import project_rows\n"
        "question = Question('davis', 20, 'noc@90')\n"
        "rows = tuple(project_rows('six', 'nearest'))\n"
        "table = PaperTable('9', 'toys', rows=rows, questions=(question,), published={})\n"
        "paper = Paper('toys', 'Toys', tables=(table,))\n"
    )
    points = {
        "isbench.models": {"six": "broken_six:card"},
        "isbench.papers": {"toys": "toys9:paper"},
    }
    install_package(monkeypatch, tmp_path / "six", {"broken_six": code, "toys9": paper}, points)
    monkeypatch.delitem(sys.modules, "broken_six", raising=False)
    words = ("--table", "toys:9", "--runs", "results", "--format", "markdown")
    exit_code, printed, errors = isbench("report", *words)
    assert (exit_code, errors) == (0, "")
    assert "19.95" in printed or "nearest" in printed
    assert "six is left blank: " in printed
    for listing in (("models",), ("doctor",)):
        exit_code, printed, errors = isbench(*listing)
        assert (exit_code, errors) == (0, "")
        assert any("six" in line and len(line) > 40 for line in printed.splitlines())
    results = tmp_path / "results"
    exit_code, _, errors = isbench(
        "reproduce", "--paper", "toys", "--results", results, "--data", tmp_path
    )
    assert exit_code == 0, errors
    assert "left out: six: " in errors
    assert (results / "TABLES.md").is_file()


def test_a_model_is_ready_only_if_it_plays_with_its_defaults() -> None:
    for name in list_model_names():
        card, said = load_card(name), describe_readiness(load_card(name))
        if missing := describe_missing_library(card):
            assert said == missing
            continue
        plays = card.networks is None or bool(card.bundled)
        assert (said == "ready") == plays, said
        if not plays:
            assert "--weights" in said


def test_published_weights_are_ready_once_they_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    card = load_card("ritm-hrnet18s")
    (name,) = card.weights
    file = replace(card.weights[name], sha256=None, size=None, md5=None)
    card = replace(card, weights={name: file})
    assert describe_readiness(card) == f"needs a download, with `--weights {name}`"
    find_weights_folder().mkdir(parents=True)
    (find_weights_folder() / file.name).write_bytes(b"weights")
    assert describe_readiness(card) == "ready"
    two = replace(card, weights={name: file, "other": replace(file, name="o.pth", size=3_000_000)})
    assert describe_readiness(two) == (
        f"ready with `--weights {name}`; needs a download, with `--weights other` (3 MB)"
    )
