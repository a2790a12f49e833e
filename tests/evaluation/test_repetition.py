"""A model that answers the same turn differently twice is noticed at the start of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isbench.errors import PredictorError
from isbench.evaluation.engine import play
from isbench.evaluation.job import Job
from isbench.evaluation.runner import Silent, run
from isbench.models.loading import load_model
from isbench.storage import store
from isbench.testing import check_predictor
from isbench.types import Game, Image, Mask, ModelCard, Prediction, Rules, Turn
from tests.support import toys


class Notes(Silent):
    """A watch that keeps its messages."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.games = 0
        self.at: list[int] = []  # games played before each note

    def add_game(self, game: Game) -> None:
        self.games += 1

    def note(self, text: str) -> None:
        self.texts.append(text)
        self.at.append(self.games)


@dataclass
class Random:
    """Draws random numbers for a pixel of the mask, in the way that `kind` says."""

    kind: str = "global"
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    calls: int = 0
    toy: toys.Disks = field(default_factory=toys.Disks)

    def begin(self, image: Image) -> tuple[int, ...]:
        return self.toy.begin(image)

    def start(self, encoded: tuple[int, ...], initial: Mask | None) -> Mask:
        return self.toy.start(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        self.calls += len(turns)
        return [self._answer_randomly(turn) for turn in turns]

    def _answer_randomly(self, turn: Turn) -> Prediction:
        ((mask, state),) = self.toy.predict([turn])
        mask = mask.copy()
        if self.kind == "mutable":
            turn.state[:] = state  # the next turn is asked from another state
            state = turn.state
            mask[0, :3] = self.calls % 2
        if self.kind == "counter":
            mask[0, : self.calls % 7] ^= True
        if self.kind == "own":
            mask[0] = self.rng.random(mask.shape[1]) < 0.5
        if self.kind == "global":
            mask[0] = np.random.random(mask.shape[1]) < 0.5  # noqa: NPY002
        if self.kind == "seeded":
            row, col, _ = turn.clicks[-1]
            mask[0] = np.random.default_rng([row, col]).random(mask.shape[1]) < 0.5
        return Prediction(mask, state)


def random_card(kind: str, **facts: Any) -> ModelCard:
    return ModelCard("random", build=lambda: Random(kind=kind), **facts)


@pytest.mark.parametrize("kind", ["global", "own", "counter"])
@pytest.mark.parametrize("clicks", [1, 3])
def test_random_masks_are_said_at_the_start_of_a_run(
    kind: str, clicks: int, tmp_path: Path
) -> None:
    notes = Notes()
    data = toys.blobs(5)
    run(random_card(kind), data, Rules(clicks, 1.01), out=tmp_path, watch=notes)
    (said,) = (text for text in notes.texts if "differently each time" in text)
    assert "model random" in said
    assert data.keys[0] in said
    assert notes.at[notes.texts.index(said)] == 1


@pytest.mark.parametrize("kind", ["global", "own"])
@pytest.mark.parametrize("batch", [2, 8])
def test_random_masks_are_said_where_objects_are_played_in_batches(
    kind: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "batch", batch)
    data = toys.blobs(6)
    job = Job(load_model(random_card(kind)), data, Rules(3, 1.01), {}, repeated=data.keys[0])
    games = list(job.play(job.build(), data.keys))
    assert [game.trajectory.key for game in games if game.note] == [data.keys[0]]


def test_random_masks_are_said_with_several_workers(tmp_path: Path) -> None:
    notes = Notes()
    run(NOISE, toys.blobs(4), Rules(2, 1.01), out=tmp_path, watch=notes, workers=2)
    assert sum("differently each time" in text for text in notes.texts) == 1


def build_noise() -> Random:
    return Random(kind="global")


NOISE = ModelCard("random", build=build_noise)


@pytest.mark.parametrize(
    "card",
    [toys.card, random_card("seeded"), random_card("global", adaptive=True)],
    ids=["toy", "seeded by the click", "adaptive"],
)
def test_nothing_is_said_of_other_models(card: ModelCard, tmp_path: Path) -> None:
    notes = Notes()
    run(card, toys.blobs(3), Rules(3, 1.01), out=tmp_path, watch=notes)
    assert not any("differently" in text for text in notes.texts)


@pytest.mark.parametrize("batch", [1, 3])
def test_asking_again_changes_no_game(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "batch", batch)
    data, rules = toys.blobs(5), Rules(4, 1.01)
    model = load_model(toys.card)
    plain = list(play(toys.Disks(), map(data.load, data.keys), rules, batch))
    job = Job(model, data, rules, {}, repeated=data.keys[0])
    games = list(job.play(job.build(), data.keys))
    assert [game.trajectory for game in games] == [game.trajectory for game in plain]


@pytest.mark.parametrize("objects", [1, 5])
def test_it_costs_two_turns(objects: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data, predictor = toys.blobs(objects), Random(kind="seeded")
    job = Job(load_model(toys.card), data, Rules(4, 1.01), {}, repeated=data.keys[0])
    games = list(job.play(predictor, data.keys))
    assert predictor.calls == sum(len(game.trajectory.clicks) for game in games) + 2


def test_a_resumed_run_asks_its_next_object_again(tmp_path: Path) -> None:
    class Stopping(Notes):
        def add_game(self, game: Game) -> None:
            super().add_game(game)
            if self.games == 2:
                raise KeyboardInterrupt

    data = toys.blobs(4)
    with pytest.raises(KeyboardInterrupt):
        run(random_card("seeded"), data, Rules(2, 1.01), out=tmp_path, watch=Stopping())
    (path,) = store.find(tmp_path)
    assert len(store.read(path).trajectories) == 2
    notes = Notes()
    run(random_card("global"), data, Rules(2, 1.01), out=tmp_path, watch=notes)
    assert any(data.keys[2] in text for text in notes.texts if "differently" in text)


def test_a_model_that_keeps_the_contract_is_reported_as_such(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_predictor(toys.card)
    printed = capsys.readouterr().out
    assert (
        printed
        == f"model {toys.card.name} keeps the contract of isbench.Predictor: 7 turns checked\n"
    )


@pytest.mark.parametrize("kind", ["global", "own", "counter", "mutable"])
def test_the_check_of_the_contract_finds_random_masks(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PredictorError, match="model random: "):
        check_predictor(random_card(kind))
    assert capsys.readouterr().out == ""


def test_random_numbers_of_a_build_are_found() -> None:
    radii = iter((3, 4))
    card = ModelCard("drawn", build=lambda: toys.Disks(next(radii)))
    with pytest.raises(PredictorError, match="when a new predictor played the same games"):
        check_predictor(card)


@pytest.mark.parametrize("missing", [("begin",), ("start",), ("predict",), ("begin", "predict")])
@pytest.mark.parametrize("value", [None, "text"])
def test_a_missing_function_is_named_with_all_three(
    missing: tuple[str, ...], value: Any, tmp_path: Path
) -> None:
    functions: dict[str, Any] = {name: lambda *_: None for name in ("begin", "start", "predict")}
    functions |= dict.fromkeys(missing, value)
    card = ModelCard("partial", build=lambda: type("Partial", (), functions)())
    wanted = (
        f"model partial is built as a Partial without {' and '.join(missing)}; wanted "
        "begin(image), start(encoded, initial) and predict(turns)"
    )
    with pytest.raises(PredictorError) as error:
        check_predictor(card)
    assert str(error.value) == wanted
    with pytest.raises(PredictorError) as error:
        run(card, toys.blobs(1), Rules(1), out=tmp_path)
    assert str(error.value) == wanted
    assert store.find(tmp_path) == []
