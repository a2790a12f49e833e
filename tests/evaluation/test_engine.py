"""The laws of the game."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.clickers.registry import list_clicker_names, parse_clicker
from isbench.evaluation.engine import play
from isbench.types import Image, Prediction, Rules, Sample, Turn
from tests.support import toys

SAMPLES = [toys.blob(number) for number in range(9)]
CLICKERS = [name for name in list_clicker_names() if name != "replay"]  # needs a file


def games(samples: list[Sample], rules: Rules, batch: int = 1) -> dict[str, object]:
    return {g.trajectory.key: g.trajectory for g in play(toys.Disks(), samples, rules, batch)}


@settings(max_examples=40)
@given(
    batch=st.integers(1, 12),
    max_clicks=st.integers(1, 12),
    stop=st.sampled_from([0.3, 0.7, 0.9, 1.0, 1.01]),
    perfect=st.booleans(),
    clicker=st.sampled_from(CLICKERS),
)
def test_batching_never_changes_a_trajectory(
    batch: int, max_clicks: int, stop: float, perfect: bool, clicker: str
) -> None:
    rules = Rules(max_clicks, stop, perfect, clicker=clicker, seed=3)
    assert games(SAMPLES, rules, batch) == games(SAMPLES, rules)


@pytest.mark.parametrize("clicker", CLICKERS)
def test_order_never_changes_a_trajectory(clicker: str) -> None:
    rules = Rules(6, 1.01, clicker=clicker)
    assert games(SAMPLES[::-1], rules) == games(SAMPLES, rules)


@pytest.mark.parametrize("clicker", CLICKERS)
def test_another_seed_changes_the_games_of_stochastic_clickers_only(clicker: str) -> None:
    one, other = (games(SAMPLES, Rules(6, 1.01, clicker=clicker, seed=seed)) for seed in (0, 1))
    assert (one != other) == parse_clicker(clicker).card.stochastic


@settings(max_examples=30)
@given(short=st.integers(1, 10), stop=st.sampled_from([0.2, 0.5, 0.8]))
def test_a_shorter_game_is_the_beginning_of_a_longer_one(short: int, stop: float) -> None:
    full = games(SAMPLES, Rules(10, 1.01))
    for key, game in games(SAMPLES, Rules(short, stop)).items():
        assert full[key].clicks[: len(game.clicks)] == game.clicks
        assert full[key].overlap[: len(game.clicks)] == game.overlap


def test_a_game_ends_at_the_first_click_that_reaches_the_iou() -> None:
    for game in games(SAMPLES, Rules(20, 0.6)).values():
        reached = [i / u >= 0.6 for i, u in game.overlap]
        assert not any(reached[:-1])
        assert reached[-1] or len(game.clicks) == 20


def perfect_sample() -> Sample:
    rows, cols = np.ogrid[:20, :30]
    truth = (rows - 10) ** 2 + (cols - 15) ** 2 <= 16
    image = np.zeros((20, 30, 3), np.uint8)
    return Sample("perfect#1", image, truth, np.zeros((20, 30), bool))


def test_after_a_perfect_mask_ritm_goes_on_at_0_0_and_strict_ends() -> None:
    ritm = games([perfect_sample()], Rules(4, 1.01))["perfect#1"]
    strict = games([perfect_sample()], Rules(4, 1.01, end_on_perfect=True))["perfect#1"]
    assert [tuple(click) for click in ritm.clicks[1:]] == [(0, 0, False)] * 3
    assert len(strict.clicks) == 1
    assert strict.overlap[0][0] == strict.overlap[0][1]


def test_an_empty_truth_is_refused_by_strict_and_never_solved_by_ritm() -> None:
    nothing = np.zeros((20, 30), bool)
    empty = Sample("empty#1", np.zeros((20, 30, 3), np.uint8), nothing, nothing)
    with pytest.raises(IsbenchError, match="empty#1 has no scored pixel"):
        games([empty], Rules(reject_empty=True))
    assert len(games([empty], Rules(5, 0.1))["empty#1"].clicks) == 5


def test_ignored_pixels_are_neither_clicked_nor_scored() -> None:
    for sample in SAMPLES:
        game = games([sample], Rules(12, 1.01))[sample.key]
        scored = np.count_nonzero(~sample.ignore)
        for click, (_, union) in zip(game.clicks, game.overlap, strict=True):
            at_ignored = sample.ignore[click.row, click.col]
            assert not at_ignored or tuple(click) == (0, 0, False)
            assert union <= scored


class Counting(toys.Disks):
    begun: int = 0

    def begin(self, image: Image) -> tuple[int, ...]:
        object.__setattr__(self, "begun", self.begun + 1)
        return super().begin(image)


def test_an_image_is_encoded_once_for_all_its_objects() -> None:
    image = SAMPLES[0].image
    shared = [Sample(s.key, image, s.truth, s.ignore) for s in SAMPLES[:3]]
    predictor = Counting()
    assert len(list(play(predictor, shared, Rules(2)))) == 3
    assert predictor.begun == 1


class Watchful(toys.Disks):
    """Notes which threads call it."""

    threads: ClassVar[set[int]] = set()

    def begin(self, image: Image) -> tuple[int, ...]:
        self.threads.add(threading.get_ident())
        return super().begin(image)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        self.threads.add(threading.get_ident())
        return super().predict(turns)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_predictor_is_called_by_one_thread_only(batch: int) -> None:
    Watchful.threads.clear()
    assert len(list(play(Watchful(), SAMPLES, Rules(3, 1.01), batch))) == len(SAMPLES)
    assert len(Watchful.threads) == 1


def test_what_cannot_be_loaded_ends_the_games_side_by_side_too() -> None:
    def samples() -> Iterator[Sample]:
        yield from SAMPLES[:2]
        raise IsbenchError("torn image")

    with pytest.raises(IsbenchError, match="torn image"):
        list(play(toys.Disks(), samples(), Rules(3, 1.01), batch=2))


def test_a_correction_task_starts_from_the_initial_mask() -> None:
    sample = perfect_sample()
    half = sample.truth.copy()
    half[:, :15] = False
    task = Sample(sample.key, sample.image, sample.truth, sample.ignore, half)
    first = games([task], Rules(1))[sample.key].clicks[0]
    assert first.positive
    assert first.col < 15


def test_seconds_are_measured_one_by_one_only() -> None:
    alone = list(play(toys.Disks(), SAMPLES, Rules(3, 1.01)))
    together = list(play(toys.Disks(), SAMPLES, Rules(3, 1.01), batch=2))
    assert all(len(game.seconds) == 3 for game in alone)
    assert all(game.seconds == () for game in together)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (toys.shape_card, r"image000#0.*shape \(3, 3\) of bool; wanted shape \(20, 30\) of bool"),
        (toys.dtype_card, r"image000#0.*shape \(20, 30\) of uint8"),
        (toys.few_card, "image000#0: predict returned 0 for 1 turns"),
        (toys.bare_card, "image000#0: predict returned a ndarray for a turn"),
        (toys.raising_card, "image000#0: the model raised ZeroDivisionError: one divided by zero"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_broken_contract_names_the_object(card: toys.ModelCard, said: str) -> None:
    with pytest.raises(PredictorError, match=said):
        list(play(card.build(), SAMPLES, Rules()))


def test_an_unknown_clicker_is_named_with_the_nearest() -> None:
    with pytest.raises(IsbenchError, match="did you mean centre"):
        list(play(toys.Disks(), SAMPLES, Rules(clicker="center")))


class Spy(toys.Disks):
    """Remembers all that it was ever given."""

    given: tuple[object, ...] = ()

    def begin(self, image: Image) -> tuple[int, ...]:
        object.__setattr__(self, "given", (*self.given, image.tobytes()))
        return super().begin(image)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        shown = tuple((turn.state.tobytes(), turn.clicks) for turn in turns)
        object.__setattr__(self, "given", (*self.given, shown))
        return super().predict(turns)


def test_the_truth_never_reaches_a_predictor() -> None:
    # two truths over one image whose deepest pixel is the same: until the first answer is scored,
    # nothing that a model is given may tell them apart
    sample, wider = perfect_sample(), perfect_sample().truth.copy()
    wider[10, 15:21] = True
    other = Sample(sample.key, sample.image, wider, sample.ignore)
    shown = []
    for one in (sample, other):
        spy = Spy()
        list(play(spy, [one], Rules(1)))
        shown.append(spy.given)
    assert shown[0] == shown[1]


@pytest.mark.parametrize("error", [SystemExit(0), KeyError("x"), RuntimeError("a\nb")])
def test_whatever_a_model_raises_is_its_fault_and_names_the_object(error: BaseException) -> None:
    def answer(turns: object) -> None:
        raise error

    with pytest.raises(PredictorError, match="object image000#0: the model raised"):
        list(play(toys.Broken(answer), SAMPLES, Rules()))


def test_a_sample_that_would_be_scored_wrongly_is_refused() -> None:
    sample = perfect_sample()
    everything = np.ones_like(sample.truth)
    for truth, ignore in (
        (sample.truth, everything),
        (sample.truth[:5], sample.ignore),
        (sample.truth.astype(np.uint8), sample.ignore),
    ):
        with pytest.raises(IsbenchError, match=r"object perfect#1: (truth|ignore)"):
            games([Sample(sample.key, sample.image, truth, ignore)], Rules())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("initial", np.zeros((5, 5), bool)),
        ("initial", perfect_sample().truth.astype(np.uint8) * 255),
        ("initial", np.where(perfect_sample().truth, 0.9, 0.3)),
        ("initial", [[True]]),
        ("truth", None),
        ("image", perfect_sample().image[..., 0]),
        ("image", perfect_sample().image[..., :2]),
        ("image", perfect_sample().image.astype(float)),
        ("image", np.zeros((0, 0, 3), np.uint8)),
        ("image", "photo.jpg"),
    ],
)
def test_a_part_of_a_sample_of_another_kind_is_refused_by_name(name: str, value: object) -> None:
    sample = replace(perfect_sample(), **{name: value})  # type: ignore[arg-type]
    with pytest.raises(IsbenchError, match=rf"object perfect#1: {name} is .*; wanted "):
        games([sample], Rules())
