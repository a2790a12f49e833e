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

from csfpn.network import Csfpn, Graphs
from isbench.errors import IsbenchError
from isbench.nn.inference.predictor import (
    Glance,
    Passes,
    Passing,
    State,
    View,
    concluded,
    mask_guided,
    pasted,
    view,
)
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.runtime.backends import Computed
from isbench.nn.runtime.compute import ready
from isbench.nn.trunk import Trunk
from isbench.types import Click, Runtime

PAPER = Zoom(after=0, least=0, keep_iou=1.0)
RELEASED = Zoom(after=0, least=0, keep_iou=1.0, dynamic=True)
SWITCHES = {"sgm": True, "hsgm": True, "g2l": True}  # of the paper's Table 3


@dataclass(frozen=True)
class Form:
    """A size of the network."""

    trunk: Callable[[], Trunk]
    graphs: Graphs
    previous_mask: bool = True


def network(form: Form, **options: Any) -> Csfpn:
    """Return the network of a card and its options."""
    graphs = replace(
        form.graphs,
        sgm=options["sgm"],
        hsgm=options["hsgm"],
        released=options.get("released", False),
    )
    return Csfpn(form.trunk(), graphs, form.previous_mask)


def build(form: Form, *, runtime: Runtime, **options: Any) -> Passing:
    """Return the predictor of a card: global to local, or with g2l=off as RITM's.

    `released` needs two networks and takes two files of weights: of the pass over the whole image,
    and of the pass over the crop.
    """
    make = partial(network, form, **options)
    if options.get("released"):
        if not all(options[switch] for switch in SWITCHES):
            raise IsbenchError(
                "released=on is the released pair of networks: leave sgm, hsgm, g2l on"
            )
        pair = ready(make, runtime, 0, of=2), ready(make, runtime, 1, of=2)
        return Passing(view(options, RELEASED, runtime), partial(global_to_local, pair, True))
    made = ready(make, runtime)
    if options["g2l"]:
        answer = partial(global_to_local, (made, made), False)
        return Passing(view(options, PAPER, runtime), answer)
    return Passing(view(options, Zoom(), runtime), partial(mask_guided, made))


def global_to_local(
    networks: tuple[Computed, Computed],
    released: bool,
    view: View,
    state: State,
    clicks: tuple[Click, ...],
) -> Passes:
    """Answer by a pass over the whole image, and one over the box of what that found."""
    overall, detail = networks
    zoom, picture = view.zoom, state.picture
    answer = yield from view.looked(overall, picture, state.probability, clicks, None)
    box, fresh = state.box, None
    if zoom is not None:
        (certain,) = yield Glance((answer[0, 0] > zoom.threshold,))
        fresh = zoom.box(certain, clicks, state.box)
        box = fresh or state.box
    if fresh is not None or released:
        answer = yield from view.looked(detail, picture, answer, clicks, fresh)
        if box is not None:
            answer = pasted(answer, box, state.probability.shape)
    return (yield from concluded(view, state, answer, box))
