"""`isbench models NAME`: everything that a user needs to know before playing a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isbench.models.option_meanings import find_meaning
from isbench.models.registry import describe_restriction, list_model_names, load_card
from tests.support.packages import install_package

Isbench = Callable[..., tuple[int, str, str]]
CARD = """
from isbench.nn.network import Network
from isbench.types import File, ModelCard
from tests.support.toys import Disks

card = ModelCard(
    "by-hand",
    Disks,
    {"radius": 3},
    meanings={"radius": "of the disk around a click"},
    summary="Disks",
    source="a paper",
    licence="CC BY-NC 4.0",
    restriction="non-commercial use only",
    libraries={"nothing-like-it": ""},
    networks=dict,
    weights={
        "sbd": File("disks.pth", page="https://example.org/disks", size=1234567),
        "lvis": File("more.pth", ("https://example.org/a", "https://example.org/b")),
    },
)
"""


@pytest.fixture
def by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a model whose weights have no mirror and whose licence restricts its use."""
    points = {"isbench.models": {"by-hand": "by_hand:card"}}
    install_package(monkeypatch, tmp_path / "third_party", {"by_hand": CARD}, points)


@pytest.mark.usefixtures("by_hand")
def test_one_model_is_described_with_its_weights_licence_and_options(isbench: Isbench) -> None:
    code, printed, errors = isbench("models", "by-hand")
    assert (code, errors) == (0, "")
    for words in (
        "a paper",
        "CC BY-NC 4.0",
        "non-commercial use only",
        "nothing-like-it, which is not installed",
        "disks.pth, 1.2 MB (1,234,567 bytes), downloaded by hand from https://example.org/disks",
        "https://example.org/a",
        "https://example.org/b",
        "of the disk around a click",
    ):
        assert words in printed


def test_the_weights_that_a_model_is_played_with_by_default_are_marked(isbench: Isbench) -> None:
    _, printed, _ = isbench("models", "csfpn-lite", "ritm-hrnet18")
    (line,) = [one for one in printed.splitlines() if "default: " in one]
    assert line.split()[0] == load_card("csfpn-lite").default_weights
    _, printed, _ = isbench("models", "fbrs-r34")  # one set of published weights
    assert "sbd     default: " in printed


def test_the_list_says_under_which_licence_weights_come_with_isbench(isbench: Isbench) -> None:
    code, printed, _ = isbench("models")
    assert code == 0
    for name in ("ritm-mini", "csfpn-lite"):
        terms = load_card(name).bundled_terms
        (line,) = [one for one in printed.splitlines() if one.endswith(f": {terms}")]
        assert name in line


def test_several_models_are_described_one_after_the_other(isbench: Isbench) -> None:
    code, printed, _ = isbench("models", "ritm-r101", "grabcut")
    assert code == 0
    assert printed.index("never released") < printed.index("OpenCV's GrabCut")
    assert "--weights" not in printed.partition("grabcut")[2]  # it has no network


def test_a_model_about_which_nothing_is_said_has_its_name(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare_model.py").write_text(
        "from isbench.types import ModelCard\ncard = ModelCard('bare', build=dict)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, out, _ = isbench("models", "bare_model:card")
    assert (code, out.split()[0]) == (0, "bare")


@pytest.mark.parametrize("name", list_model_names())
def test_every_option_of_a_model_says_what_it_does(name: str) -> None:
    card = load_card(name)
    assert [option for option in card.options if not find_meaning(card, option)] == []


RESTRICTED = """
from dataclasses import replace

from tests.support import toys

card = replace(toys.card, name="restricted", restriction="research only", licence="its own")
"""


def test_what_a_licence_does_not_allow_is_said_before_a_run(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_set: Path
) -> None:
    points = {"isbench.models": {"restricted": "restricted:card"}}
    install_package(monkeypatch, tmp_path / "third_party", {"restricted": RESTRICTED}, points)
    words = ("--dataset", f"folder:{folder_set}", "--limit", 1, "--max-clicks", 1)
    code, _, said = isbench("run", "--model", "restricted", *words, "--out", tmp_path / "runs")
    assert code == 0
    assert said.splitlines()[0] == "isbench: note: restricted: research only (its own)"
    image = next((folder_set / "images").iterdir())
    words = ("--clicks", "3,3,+", "--out", tmp_path / "mask.png")
    code, _, said = isbench("predict", image, "--model", "restricted", *words)
    assert (code, said) == (0, "isbench: note: restricted: research only (its own)\n")
    restricted = load_card("restricted")
    same = replace(restricted, licence=restricted.restriction)
    assert describe_restriction(same) == "restricted: research only"
