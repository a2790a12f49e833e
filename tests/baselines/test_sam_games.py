"""Games of the official SAM under RClicks' rule, and the policies that the options name."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("transformers")

from baselines.sam.cards import OPTIONS
from baselines.sam.image_step import STEPS, draw_frame, enlarge, fit_frame, map_point, shrink
from baselines.sam.keys import SAM
from baselines.sam.predictor import State, check_options, choose_decoder, choose_prompt
from isbench.errors import IsbenchError
from isbench.types import Click, Image, Turn
from tests.support import sam
from tests.support.official_games import draw_gradient

GAMES: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "games" / "sam_standin_encoder.json").read_text()
)
FILES = {"GrabCut/106024": "GrabCut/data_GT/106024.jpg", "DAVIS/000": "DAVIS/img/000.jpg"}
TOLERANCE, PIXELS = 2e-3, 1e-3  # of probabilities and logits, and share of the image's pixels


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    """Return the networks of the recorded games: a stand-in encoder and the real decoder."""
    made = sam.make_networks("sam")
    sam.fill(made, SAM, GAMES["tweak"])
    return {**made, "encoder": sam.encode_colours}


def sample_grid(x: Any) -> Any:
    """Return 8 x 8 values of a map, as the records have them."""
    rows, cols = ([((2 * k + 1) * side) // 16 for k in range(8)] for side in x.shape)
    return np.asarray(x)[np.ix_(rows, cols)].ravel()


def check_game(game: dict[str, Any], image: Image, networks: dict[str, Any]) -> None:
    assert zlib.crc32(image.tobytes()) == game["rgb_crc32"], "another decoder"
    scores: list[Tensor] = []

    def decode(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        masks, found = networks["decoder"](*inputs)
        scores.append(found[0])
        return masks, found

    predictor = sam.make_predictor({**networks, "decoder": decode})
    clicks: tuple[Click, ...] = ()
    state = predictor.start(predictor.begin(image), None)
    for step in game["steps"]:
        row, col, positive = step["click"]
        clicks = (*clicks, Click(row, col, bool(positive)))
        fed = choose_prompt(predictor.options, state, clicks)
        assert (fed is not None) == step["mask_prompt_fed"]
        ((mask, state),) = predictor.predict([Turn(state, clicks)])
        probability = torch.sigmoid(enlarge(state.answer, state.encoded.frame))[0, 0].numpy()
        assert scores[-1].tolist() == pytest.approx(step["iou_pred"], abs=TOLERANCE)
        assert int(scores[-1].argmax()) == step["chosen"]
        assert probability.mean(dtype=float) == pytest.approx(step["prob_mean"], abs=TOLERANCE)
        assert sample_grid(probability) == pytest.approx(step["prob_grid"], abs=TOLERANCE)
        assert sample_grid(state.answer[0, 0]) == pytest.approx(step["logit_grid"], abs=TOLERANCE)
        assert int(mask.sum()) == pytest.approx(step["mask_pixels"], abs=PIXELS * mask.size)


def find_game(image: str) -> dict[str, Any]:
    (game,) = (game for game in GAMES["games"] if game["image"] == image)
    found: dict[str, Any] = game
    return found


def test_a_game_is_that_of_the_official_sam(networks: dict[str, Any]) -> None:
    check_game(find_game("gradient"), draw_gradient(), networks)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_games_on_real_images_are_those_of_the_official_sam(
    name: str, networks: dict[str, Any], real_data: Path
) -> None:
    image = cv2.imread(str(real_data / FILES[name]))
    assert image is not None
    check_game(find_game(name), np.ascontiguousarray(image[..., ::-1]), networks)


def make_state(answer: float | None = None, initial: float | None = None) -> State:
    tensors = [None if x is None else torch.tensor(x) for x in (initial, answer)]
    return State(None, *tensors)  # type: ignore[arg-type]


POSITIVE, NEGATIVE = Click(0, 0, True), Click(0, 1, False)


@pytest.mark.parametrize(
    ("policy", "clicks", "fed"),
    [
        ("rclicks", (POSITIVE,), False),
        ("rclicks", (POSITIVE, NEGATIVE), False),
        ("rclicks", (POSITIVE, POSITIVE), True),
        ("rclicks", (NEGATIVE, NEGATIVE), True),
        ("rclicks", (POSITIVE, NEGATIVE, NEGATIVE), True),
        ("always", (POSITIVE, NEGATIVE), True),
        ("never", (POSITIVE, POSITIVE, NEGATIVE), False),
    ],
)
def test_the_last_answer_is_fed_back_as_the_policy_says(
    policy: str, clicks: tuple[Click, ...], fed: bool
) -> None:
    options = {**OPTIONS, "feed_back": policy}
    found = choose_prompt(options, make_state(answer=1.0), clicks)
    assert (found is not None) == fed
    # an initial mask is a prompt wherever no answer is
    found = choose_prompt(options, make_state(answer=1.0, initial=2.0), clicks)
    assert found == (1 if fed else 2)
    assert choose_prompt(options, make_state(initial=2.0), clicks) == 2
    assert choose_prompt(options, make_state(), clicks) is None


def test_the_policy_chooses_one_mask_of_three_or_a_single_one() -> None:
    for policy, first, later in (
        ("always", "decoder", "decoder"),
        ("first", "decoder", "single_decoder"),
        ("never", "single_decoder", "single_decoder"),
    ):
        options = {**OPTIONS, "multimask": policy}
        assert choose_decoder(options, (POSITIVE,)) == first
        assert choose_decoder(options, (POSITIVE, NEGATIVE)) == later


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("multimask", "sometimes", "wanted always, first or never"),
        ("feed_back", "on", "wanted rclicks, always or never"),
        ("image_step", "pil", "wanted rclicks, official or transformers"),
        ("threshold", 1.0, "wanted above 0 and below 1"),
    ],
)
def test_a_value_that_an_option_does_not_have_is_refused(
    name: str, value: str | float, said: str
) -> None:
    with pytest.raises(IsbenchError, match=f"option {name} is {value}; {said}"):
        check_options({**OPTIONS, name: value})


def fake_networks(answers: list[Tensor], scores: list[float]) -> dict[str, Any]:
    """Return networks that answer any prompts with these masks, and note the prompts."""
    prompts: list[tuple[Tensor, ...]] = []

    def decode(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        prompts.append(inputs)
        return torch.cat(answers, dim=1), torch.tensor([scores])

    encode = sam.encode_colours
    return {"encoder": encode, "decoder": decode, "single_decoder": decode, "prompts": prompts}


def test_the_mask_with_the_best_score_is_the_answer() -> None:
    maps = [torch.full((1, 1, 256, 256), value) for value in (-1.0, 1.0, -2.0)]
    fake = fake_networks(maps, [0.1, 0.9, 0.5])
    predictor = sam.make_predictor(fake)
    state = predictor.start(predictor.begin(draw_gradient()), None)
    ((mask, state),) = predictor.predict([Turn(state, (POSITIVE,))])
    assert mask.all()
    assert torch.equal(state.answer, maps[1])
    predictor = sam.make_predictor(fake, threshold=0.8)  # of the sigmoid of 1, 0.73
    ((mask, _),) = predictor.predict([Turn(state, (POSITIVE,))])
    assert not mask.any()


def test_sam_2_is_fed_logits_within_its_bound() -> None:
    answer = torch.linspace(-100, 100, 256 * 256).reshape(1, 1, 256, 256)
    fake = fake_networks([answer], [0.5])
    for kind, bound in (("sam2", 32.0), ("sam", 100.0)):
        predictor = sam.make_predictor(fake, kind)
        state = predictor.start(predictor.begin(draw_gradient()), None)
        ((_, state),) = predictor.predict([Turn(state, (POSITIVE,))])
        ((_, _),) = predictor.predict([Turn(state, (POSITIVE, POSITIVE))])
        *_, mask, given = fake["prompts"][-1]
        assert torch.equal(mask, answer.clamp(-bound, bound))
        assert given.item() == 1


def test_points_are_in_the_order_of_time_and_in_the_frame() -> None:
    fake = fake_networks([torch.zeros(1, 1, 256, 256)], [0.5])
    clicks = (Click(10, 20, False), Click(90, 120, True))
    for kind, wanted in (
        ("sam", [[20 * 1024 / 240, 10 * 768 / 180], [120 * 1024 / 240, 90 * 768 / 180]]),
        ("sam2", [[20 * 1024 / 240, 10 * 1024 / 180], [120 * 1024 / 240, 90 * 1024 / 180]]),
    ):
        predictor = sam.make_predictor(fake, kind)
        state = predictor.start(predictor.begin(draw_gradient()), None)
        predictor.predict([Turn(state, clicks)])
        _, points, labels, *_ = fake["prompts"][-1]
        assert points[0].tolist() == [pytest.approx(point, rel=1e-6) for point in wanted]
        assert labels.tolist() == [[0, 1]]


def test_states_share_the_encoded_image() -> None:
    predictor = sam.make_predictor(fake_networks([torch.zeros(1, 1, 256, 256)], [0.5]))
    encoded = predictor.begin(draw_gradient())
    first, second = (predictor.start(encoded, None) for _ in range(2))
    ((_, after),) = predictor.predict([Turn(first, (POSITIVE,))])
    assert first.encoded is second.encoded is after.encoded is encoded


def test_an_encoded_image_is_the_same_after_it_was_packed() -> None:
    predictor, image = sam.make_predictor({"encoder": sam.encode_colours}), draw_gradient()
    encoded = predictor.begin(image)
    again = predictor.unpack(predictor.pack(encoded), image)
    assert again.frame == encoded.frame
    assert all(torch.equal(*pair) for pair in zip(again.maps, encoded.maps, strict=True))


def test_logits_that_are_not_numbers_are_refused() -> None:
    predictor = sam.make_predictor(fake_networks([torch.full((1, 1, 256, 256), np.nan)], [0.5]))
    state = predictor.start(predictor.begin(draw_gradient()), None)
    with pytest.raises(IsbenchError, match="not a number"):
        predictor.predict([Turn(state, (POSITIVE,))])


@pytest.mark.parametrize("square", [False, True])
def test_an_initial_mask_is_a_prompt_that_gives_it_back(square: bool) -> None:
    mask = np.zeros((90, 70), bool)
    mask[20:60, 15:50] = True
    frame = fit_frame((90, 70), square)
    logits = shrink(mask, frame)
    assert logits.shape == (1, 1, 256, 256)
    assert (logits.min(), logits.max()) == (-10, 10)
    back = enlarge(logits, frame)[0, 0] > 0
    assert np.count_nonzero(back.numpy() != mask) <= 0.01 * mask.size


@pytest.mark.parametrize("shape", [(1, 4000), (3000, 7), (1, 1), (101, 103)])
def test_an_initial_mask_of_the_whole_image_is_one_up_to_the_border(
    shape: tuple[int, int],
) -> None:
    frame = fit_frame(shape, square=False)
    logits = shrink(np.ones(shape, bool), frame)
    assert (enlarge(logits, frame) > 0).all()
    rows, cols = (-(-side // 4) for side in frame.inside)
    assert torch.allclose(logits[..., :rows, :cols], torch.tensor(10.0))
    assert (logits[..., rows:, :] == -10).all()


@pytest.mark.parametrize("shape", [(180, 240), (300, 200), (2000, 30)])
def test_the_image_steps_differ_by_rounding_only(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    frame = fit_frame(shape, square=False)
    level = 1 / 57.12  # of colour, normalised
    wanted = draw_frame(image, frame, "rclicks")
    rows, cols = frame.inside
    assert max(rows, cols) == 1024
    assert not wanted[..., rows:, :].any()
    assert not wanted[..., cols:].any()
    for step in STEPS:
        found = draw_frame(image, frame, step)
        assert float((found - wanted).abs().max()) <= 1.5 * level
        whole = (found * 57.12 + 116.28)[0, 1, :rows, :cols]
        rounded = float((whole - whole.round()).abs().max()) < 1e-3
        assert rounded == (step != "rclicks")


def test_the_official_step_is_that_of_pillow_in_transformers() -> None:
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    image = np.random.default_rng(1).integers(0, 255, (77, 101, 3), dtype=np.uint8)
    wanted = torch.as_tensor(SamImageProcessorPil()(image, return_tensors="pt").pixel_values)
    found = draw_frame(image, fit_frame((77, 101), square=False), "official")
    assert torch.allclose(found, wanted, atol=1e-5)


def test_sam_2_sees_a_square_and_its_official_step_rounds_nothing() -> None:
    image = np.random.default_rng(1).integers(0, 255, (77, 101, 3), dtype=np.uint8)
    frame = fit_frame((77, 101), square=True)
    assert frame.inside == (1024, 1024)
    assert torch.equal(draw_frame(image, frame, "official"), draw_frame(image, frame, "rclicks"))
    # RClicks makes whole levels of the image again before that, which changes none of them
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal((levels.float() / 255 * 255).to(torch.uint8), levels)


@given(st.integers(1, 3000), st.integers(1, 3000), st.booleans(), st.data())
def test_every_pixel_is_mapped_into_the_frame(
    rows: int, cols: int, square: bool, data: st.DataObject
) -> None:
    frame = fit_frame((rows, cols), square)
    assert max(frame.inside) == 1024
    assert min(frame.inside) >= 1
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    x, y = map_point(row, col, frame)
    assert 0 <= x < frame.inside[1]
    assert 0 <= y < frame.inside[0]


def test_the_same_turn_is_answered_the_same_alone_and_among_others(
    networks: dict[str, Any],
) -> None:
    predictor = sam.make_predictor(networks)
    state = predictor.start(predictor.begin(draw_gradient()), None)
    turns = [Turn(state, (POSITIVE,)), Turn(state, (POSITIVE, Click(90, 120, True)))]
    for answer, turn in zip(predictor.predict(turns), turns, strict=True):
        (alone,) = predictor.predict([turn])
        assert np.array_equal(alone.mask, answer.mask)
