"""Laws of the clickers that see answers, worst and best, and of what is counted about clicks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isbench.errors import ClickerError, IsbenchError
from isbench.evaluation.clickers.registry import ChosenClicker, make_function, parse_clicker
from isbench.evaluation.engine import play
from isbench.evaluation.replay import replay_masks
from isbench.evaluation.runner import run
from isbench.metrics import count_overlap
from isbench.storage.store import locate_meta
from isbench.testing import check_clicker
from isbench.types import Click, Clicker, Game, Proposal, Rules
from tests.support import toys
from tests.support.click_inputs import draw_input

SAMPLES = [toys.blob(number) for number in range(6)]


def games(text: str, batch: int = 1, clicks: int = 4) -> dict[str, Game]:
    rules = Rules(clicks, 1.01, clicker=text, seed=2)
    return {g.trajectory.key: g for g in play(toys.Disks(), SAMPLES, rules, batch)}


def test_one_candidate_is_human() -> None:
    human = {key: game.trajectory for key, game in games("human").items()}
    for text in ("worst:1", "best:1"):
        assert {key: game.trajectory for key, game in games(text).items()} == human


def test_more_candidates_never_make_the_first_answer_better_or_worse_than_wanted() -> None:
    iou = {
        text: [np.divide(*game.trajectory.overlap[0]) for game in games(text, clicks=1).values()]
        for text in ("worst:8", "worst:3", "worst:1", "best:1", "best:3", "best:8")
    }
    # the candidates of a smaller number are the first ones of a larger number
    assert (np.diff([*iou.values()], axis=0) >= 0).all()
    assert (np.array(iou["worst:8"]) < iou["best:8"]).all()


@pytest.mark.parametrize("text", ["worst:5", "best:5"])
def test_candidates_are_answered_alike_in_batches_and_in_workers(text: str, tmp_path: Path) -> None:
    one = games(text)
    for batch in (2, 4):
        many = games(text, batch)
        assert {key: game.trajectory for key, game in many.items()} == {
            key: game.trajectory for key, game in one.items()
        }
    rules, data = Rules(3, 1.01, clicker=text), toys.blobs(5)
    alone = run(toys.card, data, rules, out=tmp_path / "one")
    workers = run(toys.card, data, rules, out=tmp_path / "two", workers=2)
    assert alone.path.read_bytes() == workers.path.read_bytes()


@pytest.mark.parametrize("text", ["worst:5", "best:5"])
def test_the_kept_clicks_give_the_recorded_answers_again(text: str) -> None:
    for sample, game in zip(SAMPLES, games(text).values(), strict=True):
        masks = replay_masks(toys.Disks(), sample, game.trajectory.clicks)
        again = [count_overlap(mask, sample.truth, sample.ignore) for mask in masks]
        assert tuple(again) == game.trajectory.overlap


def test_a_model_that_learns_from_clicks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="model learner learns from every click, also from"):
        run(toys.learner, toys.blobs(2), Rules(2, clicker="worst"), out=tmp_path)


def make_proposing(proposal: Proposal, sees_answers: bool) -> Clicker:
    return Clicker("bad", lambda: lambda given: proposal, sees_answers=sees_answers)


@pytest.mark.parametrize(
    ("proposal", "sees_answers", "said"),
    [
        (
            Proposal((Click(0, 0, True), Click(1, 1, True))),
            False,
            "wanted clicks: one, as its card",
        ),
        (Proposal(()), True, "wanted clicks: a tuple of one or more"),
        (Proposal((Click(0, 0, True),), "highest", "Two words"), False, "a word in lower case"),
        (Proposal((Click(0, 0, True),), "middle"), False, "wanted lowest or highest"),  # type: ignore[arg-type]
        (Proposal((Click(-1, 0, True),)), False, "returned Click.*wanted an isbench.Click"),
    ],
)
def test_a_wrong_proposal_is_named(proposal: Proposal, sees_answers: bool, said: str) -> None:
    function = make_function(ChosenClicker(make_proposing(proposal, sees_answers), {}))
    with pytest.raises(ClickerError, match=f"the clicker bad .*{said}"):
        function(draw_input("+. .-"))


def test_a_clicker_that_hides_its_chance_is_caught() -> None:
    card = parse_clicker("random").card
    with pytest.raises(ClickerError, match=r"with another seed, .*; wanted stochastic=True"):
        check_clicker(replace(card, stochastic=False))


def test_fall_backs_are_counted_in_the_meta_file_and_leave_the_record_alone(tmp_path: Path) -> None:
    data = toys.blobs(3)
    played = run(toys.card, data, Rules(3, 1.01, clicker="boundary"), out=tmp_path)
    assert set(played.marks) == set(data.keys)
    for marks in played.marks.values():
        assert marks["fallback"][0] == 1  # an empty mask has no outline
    for batch in (1, 2):
        found = play(toys.Disks(), map(data.load, data.keys), played.spec.rules, batch)
        assert {game.trajectory.key: game.marks for game in found} == played.marks


def test_games_without_marks_are_recorded_as_ever(tmp_path: Path) -> None:
    played = run(toys.card, toys.blobs(3), Rules(3, 1.01), out=tmp_path)
    assert played.marks == {}
    assert b"marks" not in locate_meta(played.path).read_bytes()
