"""Validation is what `isbench run` gives on the held-out objects, and it disturbs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isbench.errors import IsbenchError
from isbench.evaluation import runner
from isbench.metrics import clicks_to, curves
from isbench.training import Checks
from isbench.training.corpus import is_held_out
from isbench.training.loop import WEIGHTS, Verdict, take_steps
from isbench.training.training_run import TrainingRun, open_training
from isbench.training.validation import TARGETS, Scores, play_games, score_games
from isbench.types import Click, ModelCard, Rules, Trajectory
from tests.support.networks import eager
from tests.support.tiny import RECIPE, card
from tests.training.test_pack import write_pack

pytestmark = pytest.mark.usefixtures("one_thread")


def validate(run: TrainingRun) -> Scores:
    return score_games(run, list(play_games(run)), seconds=0)


def test_validation_is_a_run_of_held_out_objects(toy_pack: str, tmp_path: Path) -> None:
    with open_training(card, RECIPE, toy_pack, tmp_path) as run:
        verdicts = [event for event in take_steps(run) if isinstance(event, Verdict)]
        assert not {k.partition("#")[0] for k in run.validation_objects.keys} & {
            one.name for one in run.corpus.entries
        }
    assert [one.step for one in verdicts] == [4, 8, 9]
    for one in verdicts:
        assert one.scores.objects == 2
        assert all(1 <= noc <= 3 for noc in one.scores.noc)
        assert all(0 <= iou <= 1 for iou in one.scores.iou[:3])
        assert np.isnan(one.scores.iou[3:]).all()  # after 5 clicks and more: 3 were played
    assert verdicts[0].best


@contextmanager
def open_with(model: ModelCard, data: str, out: Path) -> Iterator[TrainingRun]:
    checks = Checks(validation=9, objects=3, clicks=4)
    with open_training(model, replace(RECIPE, checks=checks), data, out) as run:
        yield run


@pytest.mark.parametrize(
    "options",
    [
        {"flip": True, "zoom_target": 96},
        {"overview": 24, "threshold": 0.4},
        {"zoom": False, "longest_side": 32},
        {"zoom_target": 0, "longest_side": -1},
    ],
)
def test_validation_is_what_a_run_gives_with_the_weights_that_ship(
    options: dict[str, float], toy_pack: str, tmp_path: Path
) -> None:
    model = replace(card, options={**card.options, **options})
    with open_with(model, toy_pack, tmp_path / "training") as run:
        (verdict,) = (event for event in take_steps(run) if isinstance(event, Verdict))
        played = eager(model, str(tmp_path / "training" / WEIGHTS))
        recorded = runner.run(played, run.validation_objects, Rules(4, TARGETS[-1]), out=tmp_path)
        iou = curves(recorded.trajectories, 4)
    assert verdict.scores.noc == tuple(clicks_to(iou, target).mean() for target in TARGETS)
    assert verdict.scores.iou[:3] == pytest.approx(iou[:, :3].mean(axis=0), abs=1e-12)


def test_the_cards_own_answer_is_what_is_validated(toy_pack: str, tmp_path: Path) -> None:
    scores = []
    for threshold in (0.01, 0.99):
        model = replace(card, options={**card.options, "threshold": threshold})
        with open_with(model, toy_pack, tmp_path / str(threshold)) as run:
            scores.append(validate(run).iou[0])
    assert scores[0] != scores[1]


def test_validation_leaves_the_training_as_it_was(toy_pack: str, tmp_path: Path) -> None:
    with open_with(card, toy_pack, tmp_path) as run:
        run.network.train()
        rng_state, state = torch.get_rng_state(), run.network.state_dict()
        before = {key: value.clone() for key, value in state.items()}
        validate(run)
        assert torch.equal(torch.get_rng_state(), rng_state)
        assert all(module.training for module in run.network.modules())
        assert all(torch.equal(value, before[key]) for key, value in state.items())
        assert [one.name for one in tmp_path.iterdir()] in ([], ["board"])


def test_nothing_to_validate_on_is_an_error_before_the_first_step(tmp_path: Path) -> None:
    names = [f"toy/img/{number:03}.png" for number in range(60)]
    broken = [number for number, name in enumerate(names) if is_held_out(name)]
    pack = str(write_pack(tmp_path / "pack", broken=broken))
    with (
        pytest.raises(IsbenchError, match=r"none of the .* held-out images .* checks.validation=0"),
        open_with(card, pack, tmp_path / "training"),
    ):
        pass


def test_empty_objects_alone_give_no_scores(toy_pack: str, tmp_path: Path) -> None:
    with open_with(card, toy_pack, tmp_path) as run:
        empty = Trajectory("a#1", (Click(0, 0, True),), ((0, 0),))
        with pytest.raises(IsbenchError, match="all held-out objects of the validation are empty"):
            score_games(run, [empty], seconds=0)


def test_a_card_that_cannot_be_played_is_an_error_before_the_first_step(
    toy_pack: str, tmp_path: Path
) -> None:
    model = replace(card, options={**card.options, "threshold": 2.0})
    message = "validation cannot play tiny: option threshold is 2.0.* checks.validation=0"
    with (
        pytest.raises(IsbenchError, match=message),
        open_with(model, toy_pack, tmp_path / "first"),
    ):
        pass
    silent = replace(RECIPE, steps=1, checks=Checks(validation=0))
    with open_training(model, silent, toy_pack, tmp_path / "second") as run:
        assert len(list(take_steps(run))) == 1
