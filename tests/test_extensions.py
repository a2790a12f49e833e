"""What holds for every kind of extension."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isbench.datasets.readers import load_reader
from isbench.errors import IsbenchError
from isbench.evaluation.clickers.registry import load_clicker
from isbench.models.registry import load_card
from isbench.papers.registry import load_paper
from tests.support.packages import install_package

CODE = """
from isbench import Clicker, ModelCard
from isbench.datasets.readers import Reader
from isbench.papers import Paper

models = ModelCard("two", build=print)
clickers = Clicker("two", make=print)
readers = Reader("two", "PATH", print)
papers = Paper("two", "Two", tables=())
"""


@pytest.mark.parametrize(
    ("kind", "noun", "load"),
    [
        ("models", "model", load_card),
        ("clickers", "clicker", load_clicker),
        ("readers", "reader", load_reader),
        ("papers", "paper", load_paper),
    ],
)
def test_an_extension_is_found_by_its_own_name_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    noun: str,
    load: Callable[[str], Any],
) -> None:
    points = {f"isbench.{kind}": dict.fromkeys(("one", "two"), f"two_names:{kind}")}
    install_package(monkeypatch, tmp_path / "site", {"two_names": CODE}, points)
    assert load("two").name == "two"
    with pytest.raises(IsbenchError, match=rf"^{noun} 'one' is named 'two'; wanted the same name"):
        load("one")
