"""IA+SA: weights that adapt to clicks, and what holds them; games that depend on their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from baselines.adaptation.cards import mini
from baselines.adaptation.predictor import (
    AdaptationPredictor,
    choose_clicks,
    digest_weights,
    make_adaptation,
)
from baselines.ritm import Ritm
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.runner import run
from isbench.files.json_text import parse_json
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.nn.backbones.mini import Mini
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.options import OPTIONS as FAMILY
from isbench.nn.inference.predictor import make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.reporting.qualitative import make_examples
from isbench.reporting.recorded_masks import recompute_masks
from isbench.storage import store
from isbench.testing import check_predictor
from isbench.training import Checks, Crop, Recipe, train
from isbench.types import Click, Dataset, ModelCard, Prediction, Rules, Runtime, Scalar, Turn
from tests.support import toys
from tests.support.networks import eager, make_object

CLICKS = (Click(12, 14, True), Click(3, 3, False), Click(20, 24, True), Click(22, 4, False))


class Small(nn.Module):
    """Two convolutions over colours and disks, and a norm with statistics of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(5, 8, 5, padding=2)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Conv2d(8, 1, 3, padding=1)
        self.unused = nn.Conv2d(1, 1, 1)

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        disks = draw_disks(clicks, (inputs.shape[-2], inputs.shape[-1]), 5.0)
        x = self.norm(self.first(torch.cat([inputs[:, :3], disks], dim=1)))
        return (self.last(self.drop(torch.relu(x))),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return example_image(size, 3), example_points(size, points)


def make_networks(**options: Any) -> dict[str, nn.Module]:
    return {"network": Small()}


def build(*, runtime: Runtime, **options: Any) -> AdaptationPredictor:
    network: Any = build_networks(make_networks, runtime)["network"]
    config = make_config({**FAMILY, **options, "zoom": False, "flip": False}, Zoom(), runtime)
    return AdaptationPredictor(network, config, make_adaptation(options))


# rates at which a network of a few hundred weights changes its masks
FAST = {"image_rate": 1e-2, "sequence_rate": 3e-3, "sequence_steps": 3}
WHOLE = {"overview": 0, "longest_side": 0}
card = ModelCard(
    "adapting",
    build,
    {**mini.options, **FAST, **WHOLE},
    make_networks,
    adaptive=True,
    gradients=True,
)


def make(**options: Scalar) -> Any:
    return build_predictor(load_model(card, options, "random", device="cpu"))


def image(seed: int = 0, rows: int = 24, cols: int = 32) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (rows, cols, 3), dtype=np.uint8)


def ask(predictor: Any, clicks: Sequence[Click], seed: int = 0) -> list[Prediction]:
    """Play an object: return the answers to the first click, to the first two, and so on."""
    state, answers = predictor.start(predictor.begin(image(seed)), None), []
    for k in range(1, len(clicks) + 1):
        answers.append(predictor.predict([Turn(state, tuple(clicks[:k]))])[0])
        state = answers[-1].state
    return answers


def probabilities(answers: Sequence[Prediction]) -> list[Tensor]:
    return [answer.state.probability for answer in answers]


# Image adaptation


def test_frozen_is_the_plain_network_over_the_whole_image(tmp_path: Path) -> None:
    weights = str(load_card("ritm-mini").bundled["pack"])
    plain = Ritm(Mini(), previous_mask=False)
    stored = {
        key: value.float()
        for key, value in load_file(weights).items()
        if key in plain.state_dict() and value.shape == plain.state_dict()[key].shape
    }
    plain.load_state_dict(stored, strict=False)
    path = tmp_path / "plain.safetensors"
    save_file(plain.state_dict(), path)
    options = {"longest_side": 0, "threshold": 0.5, "overview": 64}
    ritm = eager("ritm-mini", str(path), previous_mask="off", zoom="off", flip="off", **options)
    frozen = eager("adaptation-mini", str(path), mode="frozen", **options)
    sample = make_object((40, 60))
    states = []
    for model in (ritm, frozen):
        predictor = build_predictor(model)
        state = predictor.start(predictor.begin(sample.image), None)
        answers = [predictor.predict([Turn(state, CLICKS[:k])])[0] for k in (1, 3)]
        states.append(answers)
    for one, other in zip(*states, strict=True):
        assert (one.mask == other.mask).all()
        assert torch.equal(one.state.probability, other.state.probability)


def test_the_first_click_is_answered_as_frozen_and_corrections_adapt() -> None:
    frozen, adapted = (probabilities(ask(make(mode=mode), CLICKS)) for mode in ("frozen", "IA"))
    assert torch.equal(frozen[0], adapted[0])
    for plain, other in zip(frozen[1:], adapted[1:], strict=True):
        assert not torch.equal(plain, other)
    places = [(row, col) for row, col, _ in CLICKS]
    signs = torch.tensor([1.0 if click.positive else 0.0 for click in CLICKS])

    def error(probability: Tensor) -> float:
        return float((probability[0, 0][tuple(zip(*places, strict=True))] - signs).abs().mean())

    assert error(adapted[-1]) < error(frozen[-1])


def test_a_low_precision_sees_every_step() -> None:
    answers = []
    for steps in (1, 4):
        options: dict[str, Scalar] = {"mode": "IA", "image_steps": steps}
        model = load_model(card, options, "random", device="cpu", precision="bf16")
        answers.append(probabilities(ask(build_predictor(model), CLICKS[:2])))
    exact = probabilities(ask(make(mode="IA"), CLICKS[:2]))
    assert torch.allclose(answers[1][1], exact[1], atol=0.05)
    assert not torch.allclose(answers[0][1], answers[1][1], atol=0.05)


def test_adaptation_can_start_later_or_with_the_first_click() -> None:
    frozen = probabilities(ask(make(mode="frozen"), CLICKS[:3]))
    for first in (1, 3):
        answers = probabilities(ask(make(mode="IA", adapt_from=first), CLICKS[:3]))
        equal = [torch.equal(a, b) for a, b in zip(answers, frozen, strict=True)]
        assert equal == [k + 1 < first for k in range(3)]


def test_undo_within_an_object_gives_the_answers_of_before() -> None:
    predictor = make(mode="IA")
    first, second, third = ask(predictor, CLICKS[:3])
    undone = predictor.predict([Turn(first.state, CLICKS[:2])])[0]
    assert torch.equal(undone.state.probability, second.state.probability)
    other = (*CLICKS[:2], Click(1, 30, False))
    branch = predictor.predict([Turn(undone.state, other)])[0]
    assert torch.equal(branch.state.probability, ask(make(mode="IA"), other)[-1].state.probability)
    redone = predictor.predict([Turn(second.state, CLICKS[:3])])[0]
    assert torch.equal(redone.state.probability, third.state.probability)


def test_clicks_in_one_turn_are_adapted_to_one_after_the_other() -> None:
    predictor = make(mode="IA")
    state = predictor.start(predictor.begin(image()), None)
    at_once = predictor.predict([Turn(state, CLICKS)])[0]
    assert torch.equal(
        at_once.state.probability, ask(make(mode="IA"), CLICKS)[-1].state.probability
    )


def test_objects_asked_in_turns_are_answered_as_if_alone() -> None:
    predictor = make(mode="IA")
    starts = [predictor.start(predictor.begin(image(seed)), None) for seed in (0, 1)]
    for k in range(1, 4):
        turns = [Turn(start, CLICKS[:k]) for start in starts]
        answers = predictor.predict(turns)
    for seed, answer in enumerate(answers):
        alone = ask(make(mode="IA"), CLICKS[:3], seed)[-1]
        assert torch.equal(answer.state.probability, alone.state.probability)


def test_an_initial_mask_is_what_the_answer_should_stay_like() -> None:
    initial = np.zeros((24, 32), bool)
    initial[6:18, 8:24] = True
    answers = []
    for mask in (initial, ~initial):
        predictor = make(mode="IA", image_share=0.1, image_steps=60)
        state = predictor.start(predictor.begin(image()), mask)
        answers.append(predictor.predict([Turn(state, CLICKS[:1])])[0].mask)
    agreeing = [
        np.mean(answer == mask) for answer, mask in zip(answers, (initial, ~initial), strict=True)
    ]
    assert min(agreeing) > 0.7


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    predictor = make(mode="IA", image_rate=1e30, image_steps=3)
    with pytest.raises(ValueError, match="the loss of its adaptation is not finite"):
        ask(predictor, CLICKS[:2])


# Sequence adaptation


def test_the_sequence_learns_at_the_start_of_the_next_object() -> None:
    predictor = make(mode="SA")
    facts = [predictor.facts()]
    ask(predictor, CLICKS)
    facts.append(predictor.facts())
    second = ask(predictor, CLICKS[:1], seed=1)
    facts.append(predictor.facts())
    assert [one["updates"] for one in facts] == [0, 0, 1]
    assert facts[0]["weights"] == facts[1]["weights"] != facts[2]["weights"]
    fresh = ask(make(mode="SA"), CLICKS[:1], seed=1)
    assert not torch.equal(second[0].state.probability, fresh[0].state.probability)


def test_image_adaptation_is_thrown_away_with_its_object() -> None:
    predictor = make(mode="IA")
    ask(predictor, CLICKS)
    after = ask(predictor, CLICKS, seed=1)
    alone = ask(make(mode="IA"), CLICKS, seed=1)
    assert torch.equal(after[-1].state.probability, alone[-1].state.probability)
    assert predictor.facts() == {}


def test_earlier_objects_keep_the_weights_that_they_started_from() -> None:
    predictor = make()
    first = ask(predictor, CLICKS[:3])
    ask(predictor, CLICKS[:2], seed=1)
    again = predictor.predict([Turn(first[1].state, CLICKS[:3])])[0]
    assert torch.equal(again.state.probability, first[2].state.probability)


def test_the_order_of_objects_changes_the_outcome() -> None:
    outcomes = []
    for order in ((0, 1, 2), (1, 0, 2), (0, 1, 2)):
        predictor = make()
        last = [ask(predictor, CLICKS[:3], seed)[-1] for seed in order][-1]
        outcomes.append((last.state.probability, predictor.facts()["weights"]))
    assert torch.equal(outcomes[0][0], outcomes[2][0])
    assert outcomes[0][1] == outcomes[2][1] != outcomes[1][1]
    assert not torch.equal(outcomes[0][0], outcomes[1][0])


def test_seven_of_ten_clicks_are_shown_always_with_the_first() -> None:
    clicks = tuple(Click(k, k, k % 2 == 0) for k in range(10))
    drawn = [choose_clicks(clicks, np.random.default_rng(seed)) for seed in range(30)]
    assert {len(chosen) for chosen in drawn} == {7}
    assert all(chosen[0] == clicks[0] for chosen in drawn)
    assert all(list(chosen) == sorted(chosen) for chosen in drawn)
    assert len(set(drawn)) > 10
    assert set().union(*drawn) == set(clicks)
    assert choose_clicks(clicks[:1], np.random.default_rng(0)) == clicks[:1]


def test_a_digest_of_weights_is_of_names_and_values() -> None:
    weights = {"a": torch.zeros(2), "b": torch.ones(2)}
    assert digest_weights(weights) == digest_weights(dict(reversed(weights.items())))
    assert digest_weights(weights) != digest_weights({"a": torch.ones(2), "b": torch.zeros(2)})


# Runs


def play(data: Dataset, out: Path, **options: Scalar) -> store.Run:
    model = load_model(card, options, "random", device="cpu")
    return run(model, data, Rules(4, 1.01), out=out, workers=3)


def test_a_run_records_the_order_and_what_each_object_started_from(tmp_path: Path) -> None:
    data = toys.blobs(4)
    played = play(data, tmp_path)
    lines = [parse_json(line) for line in store.locate_meta(played.path).read_bytes().splitlines()]
    games = [line for line in lines if "key" in line]
    assert tuple(line["key"] for line in games) == data.keys
    assert [line["facts"]["updates"] for line in games] == [0, 1, 2, 3]
    assert len({line["facts"]["weights"] for line in games}) == 4
    assert store.read(played.path).seconds.keys() == set(data.keys)


def test_the_order_of_a_runs_objects_decides_its_games_unless_frozen(tmp_path: Path) -> None:
    data = toys.blobs(4)
    there, back = (
        play(replace(data, keys=keys), tmp_path / name, sequence_rate=3e-2)
        for name, keys in (("there", data.keys), ("back", data.keys[::-1]))
    )
    assert list(there.trajectories) != list(back.trajectories)
    frozen, other = (
        play(replace(data, keys=keys), tmp_path / name, mode="frozen")
        for name, keys in (("there", data.keys), ("back", data.keys[::-1]))
    )
    assert list(frozen.trajectories) == list(other.trajectories)


def test_masks_are_recomputed_in_the_order_of_the_run(tmp_path: Path) -> None:
    data = toys.blobs(4)
    played = play(data, tmp_path, sequence_rate=3e-2)
    keys = data.keys[3], data.keys[1]
    found = list(recompute_masks(played, data, keys, 3, {card.name: card}))
    assert [(one.game.key, len(one.masks)) for one in found] == [(key, 3) for key in keys]
    assert all(one.exact for one in found)


def test_an_example_of_two_runs_does_not_depend_on_the_others(tmp_path: Path) -> None:
    data = toys.blobs(3)
    pair = [play(data, tmp_path, sequence_rate=3e-2, mode=mode) for mode in ("SA", "IA+SA")]
    few, more = (make_examples(pair, data, 3, n, trusted={card.name: card}) for n in (1, 3))
    samples = {example.key: example for example in more}
    (alone,) = few
    assert len(samples) == 3
    last = list(samples)[-1]
    reverse = [replace(one, trajectories=_keep(one, last)) for one in pair]
    (again,) = make_examples(reverse, data, 3, 1, trusted={card.name: card})
    for one, other in ((alone, samples[alone.key]), (again, samples[last])):
        for side, same in zip(one.sides, other.sides, strict=True):
            assert np.array_equal(side.mask, same.mask)


def _keep(played: store.Run, key: str) -> Any:
    return tuple(game for game in played.trajectories if game.key == key)


def test_it_keeps_the_contract_of_predictors_in_every_mode() -> None:
    for mode in ("frozen", "IA", "IA+SA"):
        model = load_model(card, {"mode": mode}, "random", device="cpu")
        check_predictor(model)
    # image adaptation alone depends on nothing but the turn
    check_predictor(
        replace(
            load_model(card, {"mode": "IA"}, "random", device="cpu"),
            card=replace(card, adaptive=False),
        )
    )
    learning = load_model(card, {"sequence_rate": 3e-2}, "random", device="cpu")
    with pytest.raises(PredictorError, match="its mask changed at"):
        check_predictor(replace(learning, card=replace(card, adaptive=False)))


@pytest.mark.usefixtures("one_thread")
def test_its_validations_play_with_gradients(toy_pack: str, tmp_path: Path) -> None:
    recipe = Recipe(
        steps=1,
        batch=2,
        crops=(Crop(32, 32),),
        checks=Checks(validation=1, objects=1, clicks=2),
    )
    out = train("adaptation-mini", toy_pack, tmp_path, recipe=recipe, settings={"overview": 32})
    assert out.complete
    assert (tmp_path / "validation.csv").is_file()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mode", "SA+IA", r"no mode named 'SA\+IA'"),
        ("image_rate", 0.0, "option image_rate is 0.0; wanted above 0"),
        ("sequence_steps", -1, "option sequence_steps is -1; wanted 0 or more"),
        ("image_share", 1.5, "option image_share is 1.5; wanted 0 to 1"),
        ("adapt_from", 0, "option adapt_from is 0; wanted 1 or more"),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: Scalar, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        make(**{name: value})
