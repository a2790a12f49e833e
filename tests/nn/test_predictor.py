"""The predictor of the RITM family: games of the original, and crops that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.datasets import load_dataset
from isbench.evaluation.engine import play
from isbench.nn.inference.predictor import (
    CropPredictor,
    InferenceConfig,
    State,
    answer_mask_guided,
    crop_inputs,
)
from isbench.nn.inference.predictor import encode_image as seen_by_networks
from isbench.nn.inference.zoom_in import Box, Zoom
from isbench.nn.runtime import openvino
from isbench.nn.runtime.backends import Computed, accelerate
from isbench.types import Prediction, Rules, Runtime, Turn
from tests.support.official_games import probe, read_golden

pytestmark = pytest.mark.usefixtures("one_thread")


class Recording(CropPredictor):
    """Keeps the states it answered with."""

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        answers = super().predict(turns)
        seen.extend(answer.state for answer in answers)
        return answers


seen: list[State] = []


@pytest.fixture(scope="module", params=["eager", "openvino"])
def network(request: pytest.FixtureRequest) -> Computed:
    if request.param == "openvino" and not openvino.is_installed():
        pytest.skip("openvino is not installed")
    return accelerate(probe, Runtime(backend=request.param))


@pytest.mark.parametrize(
    "game", read_golden("predictor_probe"), ids=lambda g: f"{g['id']}-{g['flip']}"
)
def test_the_predictor_plays_as_the_original_one(
    game: dict[str, Any], network: Computed, real_data: Path
) -> None:
    dataset = load_dataset(game["dataset"].lower(), real_data)
    key = next(key for key in dataset.keys if key.partition("#")[0] == game["id"])
    seen.clear()
    view = InferenceConfig(Zoom(game["target_size"]), game["flip"])
    predictor = Recording(view, partial(answer_mask_guided, network))
    (played,) = play(predictor, [dataset.load(key)], Rules(len(game["steps"]), 1.01))
    for step, click, overlapped, state in zip(
        game["steps"], played.trajectory.clicks, played.trajectory.overlap, seen, strict=True
    ):
        row, col, positive, iou, box, mean = step
        assert tuple(click) == (row, col, bool(positive))
        assert (None if state.box is None else list(state.box)) == box
        assert overlapped[0] / overlapped[1] == pytest.approx(iou, abs=1e-3)
        assert float(state.probability.mean()) == pytest.approx(mean, abs=1e-4)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 39)] * 2, *[st.integers(0, 59)] * 2, *[st.integers(1, 90)] * 2),
        min_size=1,
        max_size=6,
    )
)
def test_kept_crops_are_what_all_channels_resized_at_once_are(
    cuts: list[tuple[int, ...]],
) -> None:
    rng = np.random.default_rng(0)
    shown = seen_by_networks(rng.integers(0, 256, (40, 60, 3), np.uint8), "cpu")
    for top, bottom, left, right, rows, cols in [*cuts, *cuts]:
        box = Box(*sorted((top, bottom)), *sorted((left, right)))
        last = torch.from_numpy(rng.random((1, 1, 40, 60), np.float32))
        joined = torch.cat([shown.pixels, last], dim=1)
        wanted, _ = crop_inputs(joined, (), box, (rows, cols))
        found = shown.with_map(last, box, (rows, cols))
        assert torch.equal(found, wanted)
        found.fill_(0)  # whoever has it may write into it
