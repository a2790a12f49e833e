"""How CSFPN answers a click: global to local (BMVC 2023), in the paper's way and in the code's.

The paper: one network segments the whole image, then the box of that answer, enlarged by 40 %; the
box is renewed at every click. Its released code: a network of its own for each pass, a larger box
around smaller objects, and a whole image whose answer goes to the last crop where the first pass
finds no object. Both give the second pass the first one's map as its previous mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from csfpn.network import Csfpn, PropagationConfig
from isbench.errors import IsbenchError
from isbench.nn.inference.predictor import (
    CropPredictor,
    HostRequest,
    InferenceConfig,
    Passes,
    State,
    answer_mask_guided,
    conclude,
    make_config,
    paste,
)
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.runtime.backends import Computed
from isbench.nn.runtime.compute import build_network
from isbench.nn.trunk import Trunk
from isbench.types import Click, Runtime

PAPER = Zoom(after=0, least=0, keep_iou=1.0)
RELEASED = Zoom(after=0, least=0, keep_iou=1.0, dynamic=True)
SWITCHES = {"sgm": True, "hsgm": True, "g2l": True}  # of the paper's Table 3


@dataclass(frozen=True)
class CsfpnConfig:
    """A size of the network."""

    trunk: Callable[[], Trunk]
    graphs: PropagationConfig
    previous_mask: bool = True


def make_network(form: CsfpnConfig, **options: Any) -> Csfpn:
    """Return the network of a card and its options."""
    graphs = replace(
        form.graphs,
        sgm=options["sgm"],
        hsgm=options["hsgm"],
        released=options.get("released", False),
    )
    return Csfpn(form.trunk(), graphs, form.previous_mask)


def build_predictor(form: CsfpnConfig, *, runtime: Runtime, **options: Any) -> CropPredictor:
    """Return the predictor of a card: global to local, or with g2l=off as RITM's.

    `released` needs two networks and takes two files of weights: of the pass over the whole image,
    and of the pass over the crop.
    """
    make = partial(make_network, form, **options)
    if options.get("released"):
        if not all(options[switch] for switch in SWITCHES):
            raise IsbenchError(
                "released=on is the released pair of networks: leave sgm, hsgm, g2l on"
            )
        pair = build_network(make, runtime, 0, of=2), build_network(make, runtime, 1, of=2)
        return CropPredictor(
            make_config(options, RELEASED, runtime), partial(answer_global_to_local, pair, True)
        )
    made = build_network(make, runtime)
    if options["g2l"]:
        answer = partial(answer_global_to_local, (made, made), False)
        return CropPredictor(make_config(options, PAPER, runtime), answer)
    return CropPredictor(make_config(options, Zoom(), runtime), partial(answer_mask_guided, made))


def answer_global_to_local(
    networks: tuple[Computed, Computed],
    released: bool,
    config: InferenceConfig,
    state: State,
    clicks: tuple[Click, ...],
) -> Passes:
    """Answer by a pass over the whole image, and one over the box of what that found."""
    overall, detail = networks
    zoom, picture = config.zoom, state.picture
    answer = yield from config.forward_crop(overall, picture, state.probability, clicks, None)
    box, fresh = state.box, None
    if zoom is not None:
        (certain,) = yield HostRequest((answer[0, 0] > zoom.threshold,))
        fresh = zoom.box(certain, clicks, state.box)
        box = fresh or state.box
    if fresh is not None or released:
        answer = yield from config.forward_crop(detail, picture, answer, clicks, fresh)
        if box is not None:
            answer = paste(answer, box, state.probability.shape)
    return (yield from conclude(config, state, answer, box))
