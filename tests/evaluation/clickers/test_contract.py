"""What a clicker is given, and what is made of what it returns, in games."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isbench import protocol
from isbench.errors import ClickerError, IsbenchError
from isbench.evaluation.engine import play
from isbench.evaluation.runner import run
from isbench.evaluation.spec import make_spec
from isbench.reporting.checklist import make_checklist
from isbench.reporting.labels import make_labels
from isbench.storage import records, store
from isbench.types import Click, Rules
from tests.support import third_party_clickers as clickers
from tests.support import toys

pytestmark = pytest.mark.usefixtures("third_party_clickers")
RULES = Rules(4, 1.01, clicker="tremble:2")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "none",
            "returned None; wanted an isbench.Click: a row from 0 to 19, a column from 0 to 29",
        ),
        ("far", "returned Click"),
        ("negative-row", "returned Click"),
        ("half", r"returned \(0.5, 0, True\)"),
        ("unsigned", r"returned \(0, 0, 1\)"),
        ("pair", r"returned \(0, 0\)"),
        ("failing", "raised KeyError: 'lost'"),
        ("paints-mask", "raised ValueError: .*read-only"),
        ("paints-truth", "raised ValueError: .*read-only"),
    ],
)
def test_a_broken_contract_names_the_clicker_and_the_object(
    name: str, said: str, batch: int
) -> None:
    with pytest.raises(ClickerError, match=f"object image000#0: the clicker {name} {said}") as got:
        list(play(toys.Disks(), [toys.blob(0)], Rules(2, clicker=name), batch))
    assert got.value.exit_code == 1


def test_numbers_of_numpy_are_recorded_as_those_of_python() -> None:
    (game,) = play(toys.Disks(), [toys.blob(0)], Rules(1, clicker="numpy-like"))
    assert game.trajectory.clicks == (Click(1, 2, True),)
    assert [type(value) for value in game.trajectory.clicks[0]] == [int, int, bool]


def test_a_clicker_is_given_the_game_so_far() -> None:
    clickers.SEEN.clear()
    sample = toys.blob(0)
    (game,) = play(toys.Disks(), [sample], Rules(3, 1.01, clicker="watching", seed=5))
    assert [given.clicks for given in clickers.SEEN] == [
        game.trajectory.clicks[:count] for count in range(3)
    ]
    overlaps = [int((given.mask & sample.truth).sum()) for given in clickers.SEEN[1:]]
    assert overlaps == [intersection for intersection, _ in game.trajectory.overlap[:-1]]
    for given in clickers.SEEN:
        assert given.key == sample.key
        for name in ("image", "truth", "ignore"):
            assert np.array_equal(getattr(given, name), getattr(sample, name))
        for name in ("image", "mask", "truth", "ignore"):
            assert not getattr(given, name).flags.writeable
    assert sample.truth.flags.writeable  # the view is read-only, not the sample


def test_a_clicker_plays_the_same_in_batches_and_in_workers(tmp_path: Path) -> None:
    data = toys.blobs(7)
    one = run(toys.card, data, RULES, out=tmp_path / "one")
    many = run(toys.card, data, RULES, out=tmp_path / "many", workers=2)
    assert many.path.read_bytes() == one.path.read_bytes()
    batched = play(toys.Disks(), map(data.load, data.keys), RULES, batch=3)
    games = {game.trajectory.key: game.trajectory for game in batched}
    assert games == {game.key: game for game in one.trajectories}


def test_equal_meanings_are_one_run_and_others_are_not(tmp_path: Path) -> None:
    data = toys.blobs(3)
    first = run(toys.card, data, RULES, out=tmp_path)
    assert first.spec.rules.clicker == "tremble:sigma=2.0,first=off"
    assert first.spec.clicker_version == "3"
    assert first.spec.preset == protocol.CUSTOM
    for text in ("tremble", "tremble:sigma=2", "tremble:2.0,off"):
        assert run(toys.card, data, replace(RULES, clicker=text), out=tmp_path) == first
    other = run(toys.card, data, replace(RULES, clicker="tremble:2,first"), out=tmp_path)
    assert other.path != first.path
    assert make_labels([first, other]) == [
        "disks, clicker tremble",
        "disks, clicker tremble:sigma=2.0,first=on",
    ]


def test_a_first_version_leaves_no_trace_in_the_spec() -> None:
    spec = make_spec(toys.model, toys.blobs(2), Rules(), content="made")
    assert "clicker_version" not in records.encode_spec(spec)["spec"]
    assert records.encode_spec(spec)["spec"]["rules"]["clicker"] == "centre"
    later = replace(spec, clicker_version="2")
    assert store.digest_spec(later) != store.digest_spec(spec)
    for one in (spec, later):
        line = records.format_line(records.encode_spec(one))
        assert records.parse_spec(Path("made"), line) == one


def test_another_version_of_the_clicker_is_another_run_and_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = toys.blobs(3)
    runs = [run(toys.card, data, RULES, out=tmp_path)]
    monkeypatch.setattr(clickers, "tremble", replace(clickers.tremble, version="4"))
    runs.append(run(toys.card, data, RULES, out=tmp_path))
    assert runs[0].path != runs[1].path
    labels = make_labels(runs)
    assert "clicker version" not in labels[0]
    assert "clicker version 4" in labels[1]
    shown = {row[0]: row[1:] for row in make_checklist(runs).rows}["next click"]
    assert shown == tuple(f"tremble:sigma=2.0,first=off version {n}, seed 0" for n in "34")


def test_a_longer_run_with_another_clicker_answers_nothing(tmp_path: Path) -> None:
    data = toys.blobs(3)
    run(toys.card, data, RULES, out=tmp_path)
    shorter = replace(RULES, max_clicks=2)
    spec = make_spec(toys.model, data, shorter)
    assert store.find_longer_run(tmp_path, spec) is not None
    assert store.find_longer_run(tmp_path, replace(spec, clicker_version="4")) is None
    other = make_spec(toys.model, data, replace(shorter, clicker="tremble:3"))
    assert store.find_longer_run(tmp_path, other) is None


@pytest.mark.parametrize("text", ["centre:2", "tremble:-1", "function-less", "nobody"])
def test_no_file_is_made_for_a_clicker_that_cannot_play(tmp_path: Path, text: str) -> None:
    with pytest.raises(IsbenchError, match="clicker") as got:
        run(toys.card, toys.blobs(2), Rules(clicker=text), out=tmp_path)
    assert got.value.exit_code == 2
    assert store.find(tmp_path) == []
