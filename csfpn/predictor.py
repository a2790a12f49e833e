"""CSFPN's global-to-local inference (BMVC 2023), as in the paper and as in the released code.

The paper: one network segments the whole image, then the object's box in the result, enlarged by
40 %; the box is recomputed at every click. The released code differs: it has a separate network for
each pass, a larger box for smaller objects, and if the first pass finds no object, the second pass
sees the whole image and its result is pasted into the last crop. In both the second pass receives
the probabilities of the first as its previous mask.

Both take two passes at every click. With `global_clicks` only the first clicks do; from then on the
crop follows the last answer as in RITM's zoom-in, whose previous mask is as fine as the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from csfpn.config import SWITCHES, CsfpnConfig
from csfpn.network import Csfpn
from isbench.errors import IsbenchError, check_option
from isbench.nn.inference.passes import HostRequest, Passes
from isbench.nn.inference.predictor import (
    CropPredictor,
    InferenceConfig,
    State,
    answer_mask_guided,
    conclude,
    make_config,
    paste,
)
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import Computed
from isbench.nn.runtime.compute import build_networks
from isbench.types import Click, Runtime

PAPER = Zoom(after=0, least=0, keep_iou=1.0)
RELEASED = Zoom(after=0, least=0, keep_iou=1.0, dynamic=True)


def make_networks(config: CsfpnConfig, **options: Any) -> dict[str, nn.Module]:
    """Return the network of a card and its options; `released` has one for each pass."""
    graphs = replace(
        config.graphs,
        sgm=options["sgm"],
        hsgm=options["hsgm"],
        released=options.get("released", False),
    )
    names = ("global", "local") if options.get("released") else ("network",)
    return {name: Csfpn(config.trunk(), graphs, config.previous_mask) for name in names}


def build_predictor(config: CsfpnConfig, *, runtime: Runtime, **options: Any) -> CropPredictor:
    """Return the predictor of a card: global to local, or RITM's with g2l=off.

    `released` uses two networks and needs two weight files: one for the pass over the whole image,
    one for the pass over the crop.
    """
    released = bool(options.get("released"))
    if released and not all(options[switch] for switch in SWITCHES):
        raise IsbenchError(
            "released=on uses the released pair of networks and needs sgm, hsgm and g2l on",
            setting="options",
        )
    count = int(options["global_clicks"])
    check_option("global_clicks", count, count >= 0, "0 or more")
    if released and count:
        raise IsbenchError(
            "released=on passes over the whole image at every click; wanted global_clicks=0",
            setting="options",
        )
    networks = build_networks(partial(make_networks, config, **options), runtime)
    if released:
        pair = networks["global"], networks["local"]
        return CropPredictor(
            make_config(options, RELEASED, runtime, config.previous_mask),
            partial(answer_global_to_local, pair, True),
        )
    network = networks["network"]
    if options["g2l"]:
        answer = partial(answer_global_to_local, (network, network), False)
        if count:
            guided = make_config(options, Zoom(), runtime, config.previous_mask)
            answer = partial(answer_first_globally, answer, network, count, guided)
        return CropPredictor(make_config(options, PAPER, runtime, config.previous_mask), answer)
    return CropPredictor(
        make_config(options, Zoom(), runtime, config.previous_mask),
        partial(answer_mask_guided, network),
    )


def answer_first_globally(
    answer_global: Callable[[InferenceConfig, State, tuple[Click, ...]], Passes],
    network: Computed,
    count: int,
    guided: InferenceConfig,
    config: InferenceConfig,
    state: State,
    clicks: tuple[Click, ...],
) -> Passes:
    """Answer the first `count` clicks with two passes, and further ones by zooming in.

    While no object has been found, further clicks take two passes too.
    """
    if len(clicks) <= count or not state.certain.any():
        return (yield from answer_global(config, state, clicks))
    return (yield from answer_mask_guided(network, guided, state, clicks))


def answer_global_to_local(
    networks: tuple[Computed, Computed],
    released: bool,
    config: InferenceConfig,
    state: State,
    clicks: tuple[Click, ...],
) -> Passes:
    """Answer with a pass over the whole image, then one over the box of the object found."""
    global_network, local_network = networks
    zoom, picture = config.zoom, state.picture
    probability = yield from config.forward_crop(
        global_network, picture, state.probability, clicks, None
    )
    box, new_box = state.box, None
    if zoom is not None:
        (certain,) = yield HostRequest((probability[0, 0] > zoom.threshold,))
        new_box = zoom.box(certain, clicks, state.box)
        box = new_box or state.box
    if new_box is not None or released:
        probability = yield from config.forward_crop(
            local_network, picture, probability, clicks, new_box
        )
        if box is not None:
            probability = paste(probability, box, state.probability.shape)
    return (yield from conclude(config, state, probability, box))
