"""SimpleClick's inference: RITM's, on squares.

Every pass sees a square: click 1 the whole image, squeezed; later clicks a crop around the last
answer. An initial mask counts as an answer: click 1 sees a crop around it and the click.

Written from a description of the code. Its "possible recalculation" of an answer is left out, since
it needs a game without a crop and there is a crop from click 1 on.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from baselines.simpleclick.network import STEP, SimpleClick
from baselines.simpleclick.sizes import Sizes
from isbench.errors import check_option
from isbench.nn.inference.options import OPTIONS
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.runtime.compute import build_networks
from isbench.types import Runtime

ZOOM = Zoom(448, square=True, after=-1)

_LARGEST = 4032  # pixels


def make_networks(sizes: Sizes, **options: Any) -> dict[str, nn.Module]:
    """Return the network of a card."""
    return {"network": SimpleClick(sizes)}


def build_predictor(sizes: Sizes, *, runtime: Runtime, **options: Any) -> CropPredictor:
    """Return the predictor of a card.

    Raises IsbenchError for a square that attention's windows do not tile.
    """
    side = options["zoom_square"] or ZOOM.target
    wanted = (
        f"a multiple of {STEP} pixels, the side of an attention window, such as 448 or 672, and at "
        f"most {_LARGEST}"
    )
    check_option("zoom_square", side, side % STEP == 0 and 0 < side <= _LARGEST, wanted)
    config = make_config({**OPTIONS, **options, "zoom_target": side}, ZOOM, runtime)
    networks = build_networks(partial(make_networks, sizes), runtime)
    return CropPredictor(config, partial(answer_mask_guided, networks["network"]))
