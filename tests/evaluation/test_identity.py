"""What identifies a run: what decides its masks, and neither more nor less."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import baselines
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation.replay import model_from_spec
from isbench.evaluation.runner import run
from isbench.evaluation.spec import make_spec, record_options, restore_options
from isbench.files.limits import read_first_line
from isbench.models.registry import load_card
from isbench.models.source import digest_source
from isbench.storage import run_file, store
from isbench.storage.records import parse_spec
from isbench.types import Game, ModelCard, Rules, Scalar
from tests.support import toys
from tests.support.networks import eager

Isbench = Callable[..., tuple[int, str, str]]
RULES = Rules(4, 1.01)
FEW = load_dataset("sample", limit=2)


class Listening:
    """A watch that remembers what was said and played."""

    def __init__(self) -> None:
        self.games: list[Game] = []
        self.notes: list[str] = []

    def start(self, *_: object) -> None:
        pass

    def add_game(self, game: Game) -> None:
        self.games.append(game)

    def note(self, text: str) -> None:
        self.notes.append(text)


CARD = """

from isbench.lazy_function import LazyFunction
from isbench.types import ModelCard

options = {"longer_side": 256, "seed": 0.02, "reach": 0.1, "iterations": 2}
card = ModelCard(name="grabcut", build=%s, options=options)
"""


@pytest.fixture(
    params=[
        "GrabCut",
        pytest.param('LazyFunction("third_party.grabcut:GrabCut")', marks=pytest.mark.slow),
    ]
)
def package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """Return a third-party package: a copy of GrabCut and of the resampling that it shares."""
    folder = tmp_path / "place" / "third_party"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    for name in ("grabcut", "working_size"):
        text = Path(baselines.__file__).with_name(f"{name}.py").read_text()
        (folder / f"{name}.py").write_text(text.replace("baselines", "third_party"))
    with (folder / "grabcut.py").open("a") as file:
        file.write(CARD % request.param)
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def import_card(folder: Path) -> ModelCard:
    """Return the package's card as a new process would import it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "third_party"]:
        del sys.modules[name]
    for cache in folder.rglob("*.pyc"):
        cache.unlink()
    return load_card("third_party.grabcut:card")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_resampling_that_changed_in_another_module_is_not_answered_by_an_old_record(
    package: Path, tmp_path: Path
) -> None:
    first = run(import_card(package), FEW, RULES, out=tmp_path / "runs")
    edit(package / "working_size.py", "INTER_AREA", "INTER_NEAREST")
    with pytest.raises(IsbenchError, match="bump the card's version") as refused:
        run(import_card(package), FEW, RULES, out=tmp_path / "runs")
    assert "third_party.working_size" in str(refused.value)
    assert any(key in str(refused.value) for key in FEW.keys)
    edit(package / "grabcut.py", 'name="grabcut"', 'name="grabcut", version="2"')
    second = run(import_card(package), FEW, RULES, out=tmp_path / "runs")
    assert second.path != first.path
    assert first.path.exists()


def test_code_that_changed_without_changing_masks_is_checked_once_and_answers(
    package: Path, tmp_path: Path
) -> None:
    first = run(import_card(package), FEW, RULES, out=tmp_path)
    with (package / "working_size.py").open("a") as file:
        file.write("\n\ndef unused() -> int:\n    return 1\n")
    checked, known = Listening(), Listening()
    again = run(import_card(package), FEW, RULES, out=tmp_path, watch=checked)
    assert again.path == first.path
    assert checked.games == known.games == []
    assert any("2 games were replayed with the same result" in note for note in checked.notes)
    run(import_card(package), FEW, RULES, out=tmp_path, watch=known)
    assert not any("replayed" in note for note in known.notes)


def test_a_comment_or_docstring_is_no_change(package: Path) -> None:
    before = digest_source(import_card(package))
    assert set(before) == {"third_party.grabcut", "third_party.working_size"}
    with (package / "working_size.py").open("a") as file:
        file.write("# more\n")
    assert digest_source(import_card(package)) == before


def test_an_unfinished_run_is_not_continued_by_code_that_plays_otherwise(
    package: Path, tmp_path: Path
) -> None:
    card = import_card(package)
    half = run(card, FEW, RULES, out=tmp_path / "whole")
    with run_file.open_run(tmp_path / "runs", half.spec) as file:
        assert file is not None
        file.append(Game(half.trajectories[0], ()))
    edit(package / "working_size.py", "INTER_AREA", "INTER_NEAREST")
    with pytest.raises(IsbenchError, match="bump the card's version"):
        run(import_card(package), FEW, RULES, out=tmp_path / "runs")
    (left,) = store.find(tmp_path / "runs")
    assert list(store.read(left).trajectories) == [half.trajectories[0]]


def test_what_is_rechecked_can_be_chosen(package: Path, tmp_path: Path, isbench: Isbench) -> None:
    run(import_card(package), FEW, RULES, out=tmp_path)
    edit(package / "working_size.py", "INTER_AREA", "INTER_NEAREST")
    import_card(package)
    words = ("--model", "third_party.grabcut:card", "--dataset", "sample", "--limit", 2, "--out")
    ends = ("--stop-iou", 1.01, "--max-clicks", 4)
    code, _, said = isbench("run", *words, tmp_path, *ends)
    assert (code, said.count("bump the card's version")) == (2, 1)
    code, printed, _ = isbench("run", *words, tmp_path, *ends, "--recheck", 0)
    assert code == 0
    assert "grabcut" in printed


def test_an_unused_function_in_a_trunk_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = eager("ritm-mini", flip="off", longest_side="64")
    one = replace(FEW, keys=FEW.keys[:1], limit=1)
    before, sources = run(model, one, Rules(2, 1.01), out=tmp_path), digest_source(model.card)
    trunk, get = sys.modules["isbench.nn.trunk"], inspect.getsource
    more = "\n\ndef unused():\n    return 1\n"
    monkeypatch.setattr(inspect, "getsource", lambda m: get(m) + more * (m is trunk))
    assert digest_source(model.card) != sources
    assert make_spec(model, one, Rules(2, 1.01)) == before.spec
    listening = Listening()
    assert run(model, one, Rules(2, 1.01), out=tmp_path, watch=listening).path == before.path
    assert listening.games == []
    assert any("1 games were replayed with the same result" in note for note in listening.notes)


def test_the_code_of_a_network_is_that_of_all_its_parts() -> None:
    sources = digest_source(load_card("csfpn-mini"))
    assert {"csfpn.predictor", "csfpn.propagation", "isbench.nn.inference.zoom_in"} <= set(sources)
    assert not any(name.startswith("baselines") for name in sources)
    assert sources == digest_source(load_card("csfpn-r50"))  # sizes are in the cards


def test_a_model_of_the_same_name_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    run(toys.card, toys.blobs(3), RULES, out=tmp_path)

    class Other(toys.Disks):
        def __init__(self, radius: int) -> None:
            super().__init__(radius + 3)

    Other.__module__ = "somewhere.else"
    with pytest.raises(IsbenchError, match="bump the card's version"):
        run(replace(toys.card, build=Other), toys.blobs(3), RULES, out=tmp_path)


@pytest.mark.parametrize(
    "line",
    ["import third_party.heavy.part", "from .heavy import part", "from .heavy.part import x"],
)
def test_a_module_that_is_imported_late_counts_before_it_is_loaded(
    line: str, package: Path
) -> None:
    (package / "heavy").mkdir()
    (package / "heavy" / "__init__.py").write_text("raise ImportError('too early')\n")
    (package / "heavy" / "part.py").write_text("x = 1\n")
    with (package / "grabcut.py").open("a") as file:
        file.write(f"\n\ndef late():\n    {line}\n")
    before = digest_source(import_card(package))
    assert "third_party.heavy.part" in before
    assert "third_party.heavy" not in sys.modules
    (package / "heavy" / "part.py").write_text("x = 2\n")
    after = digest_source(import_card(package))
    assert {name for name in after if after[name] != before[name]} == {"third_party.heavy.part"}


# Options that were added after runs had been recorded


def test_committed_runs_keep_their_names_though_their_models_got_more_options() -> None:
    paths = store.find(Path(__file__).parents[2] / "results")
    assert paths
    for path in paths:
        spec = parse_spec(path, read_first_line(path))
        card = load_card(spec.model)
        options = restore_options(card, spec.options)
        assert set(options) == set(card.options)
        today = replace(spec, options=record_options(card, options))
        assert store.locate_run(path.parents[1], today) == path


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ({}, {}),
        ({"cascade_clicks": 3}, {"cascade_clicks": 3}),
        ({"cascade": 2, "cascade_adaptive": True}, {"cascade": 2, "cascade_adaptive": True}),
    ],
)
def test_an_added_option_is_recorded_where_it_plays_otherwise_and_replayed(
    given: dict[str, Scalar], recorded: dict[str, Scalar]
) -> None:
    model = eager("ritm-mini", longest_side=0, **given)
    spec = make_spec(model, FEW, RULES)
    assert {key: value for key, value in spec.options.items() if "cascade" in key} == recorded
    assert model_from_spec(spec).options == model.options


def test_a_default_that_changes_later_does_not_change_what_older_records_mean() -> None:
    model = eager("ritm-mini", longest_side=0)
    spec = make_spec(model, FEW, RULES)
    card = replace(model.card, options={**model.card.options, "cascade": 4})
    assert restore_options(card, spec.options)["cascade"] == 0
    assert record_options(card, card.options)["cascade"] == 4


def test_an_added_option_that_is_not_on_the_card_is_refused() -> None:
    card = replace(toys.card, added_options={"speed": 1})
    with pytest.raises(IsbenchError, match="added option speed of disks is not one of its options"):
        run(card, toys.blobs(2), RULES)
