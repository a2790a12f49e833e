"""The predictor of SAM, HQ-SAM and SAM 2.1: an image encoded once, every click decoded from it.

All clicks so far are the prompt, in the order of time. By default the clicks are played as RClicks
does (arXiv:2410.11722), whose games with the official SAM it repeats
(tests/baselines/test_sam_games.py): the best of three masks by the expected intersection over
union, which is fed back as a further prompt once there are two clicks of one sign. Other published
policies are options. Nothing is cropped or mirrored.

Our own: an initial mask is a prompt wherever no answer is fed back (no publication says how).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.sam.image_step import (
    STEPS,
    Frame,
    draw_frame,
    enlarge,
    fit_frame,
    map_point,
    shrink,
)
from baselines.sam.network import MASK, make_hq_sam, make_sam
from baselines.sam.network2 import make_sam2
from baselines.sam.sizes import Hiera, Vit
from isbench.errors import check_option
from isbench.nn.inference.passes import (
    ForwardRequest,
    HostRequest,
    Passes,
    compute_games,
    refuse_nan,
)
from isbench.nn.network import Computed, Networks
from isbench.nn.runtime.compute import build_networks, inference
from isbench.types import Click, Image, Mask, Prediction, Runtime, Scalar, Turn

# `multimask`: the clicks that are answered by the best of three masks, the others by a single one.
# `feed_back`: when the last answer is a prompt: `rclicks` once there are two clicks of one sign,
# `always` from the second click on.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "multimask": ("always", "first", "never"),
    "feed_back": ("rclicks", "always", "never"),
    "image_step": STEPS,
}
SAM2_BOUND = 32.0  # of the logits that SAM 2 is fed back, on both sides of 0


class Encoded(NamedTuple):
    """An image as decoders see it; all states of its objects share the tensors."""

    maps: tuple[Tensor, ...]
    frame: Frame


class State(NamedTuple):
    """The state of an object after a click."""

    encoded: Encoded
    initial: Tensor | None  # (1, 1, 256, 256) logits of the initial mask
    answer: Tensor | None  # (1, 1, 256, 256) logits of the last answer


@dataclass(frozen=True)
class Sam:
    """The predictor."""

    networks: Mapping[str, Computed]  # `encoder`, `decoder` and `single_decoder`
    options: Mapping[str, Scalar]
    runtime: Runtime
    square: bool = False  # the image fills a square, whatever its shape [SAM 2]
    bound: float | None = None  # see SAM2_BOUND

    def begin(self, image: Image) -> Encoded:
        """Return the encoded image."""
        frame = fit_frame((image.shape[0], image.shape[1]), self.square)
        with inference(self.runtime):
            pixels = draw_frame(image, frame, str(self.options["image_step"]))
            maps = self.networks["encoder"](pixels.to(self.runtime.device))
        # in single precision, as NumPy has no bf16, and in memory as `unpack` returns them:
        # the decoder may round differently for another order or alignment of the numbers
        return Encoded(tuple(x.float().contiguous() for x in maps), frame)

    def pack(self, encoded: Encoded) -> dict[str, NDArray[np.float32]]:
        """Return an encoded image as arrays by name, for the cache of encodings."""
        return {f"map{k}": x.cpu().numpy() for k, x in enumerate(encoded.maps)}

    def unpack(self, arrays: Mapping[str, NDArray[np.float32]], image: Image) -> Encoded:
        """Return the encoded image that was packed into these arrays."""
        maps = (torch.from_numpy(arrays[f"map{k}"]) for k in range(len(arrays)))
        frame = fit_frame((image.shape[0], image.shape[1]), self.square)
        # copied on a CPU too, since PyTorch aligns its memory and NumPy does not
        return Encoded(tuple(x.to(self.runtime.device, copy=True) for x in maps), frame)

    def start(self, encoded: Encoded, initial: Mask | None) -> State:
        """Return the state before the first click."""
        if initial is None:
            return State(encoded, None, None)
        return State(encoded, shrink(initial, encoded.frame).to(self.runtime.device), None)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return compute_games([self.answer(*turn) for turn in turns], self.runtime)

    def answer(self, state: State, clicks: tuple[Click, ...]) -> Passes:
        """Answer with one pass of a decoder.

        Raises ValueError for logits that are not numbers.
        """
        maps, frame = state.encoded
        prompts = self._encode_prompts(choose_prompt(self.options, state, clicks), clicks, frame)
        decoder = self.networks[choose_decoder(self.options, clicks)]
        logits, scores = yield ForwardRequest(decoder, (*maps, *prompts))
        best = scores.argmax(dim=1)
        chosen = logits.float()[torch.arange(len(best), device=best.device), best][:, None]
        probability = torch.sigmoid(enlarge(chosen, frame))
        mask, broken = yield HostRequest(
            (
                probability[0, 0] > float(self.options["threshold"]),
                probability.isnan().any().reshape(1, 1),
            )
        )
        refuse_nan(bool(broken.any()))
        fed = chosen if self.bound is None else chosen.clamp(-self.bound, self.bound)
        return Prediction(mask, state._replace(answer=fed))

    def _encode_prompts(
        self, mask: Tensor | None, clicks: Sequence[Click], frame: Frame
    ) -> tuple[Tensor, ...]:
        """Return the inputs of a decoder that follow the maps."""
        device = self.runtime.device
        points = torch.tensor([[map_point(c.row, c.col, frame) for c in clicks]])
        labels = torch.tensor([[float(click.positive) for click in clicks]])
        given = torch.tensor([[float(mask is not None)]])
        if mask is None:
            mask = torch.zeros(1, 1, MASK, MASK, device=device)
        return points.to(device), labels.to(device), mask, given.to(device)


def choose_decoder(options: Mapping[str, Scalar], clicks: Sequence[Click]) -> str:
    """Return the name of the decoder that answers, three masks or a single one."""
    policy = options["multimask"]
    several = policy == "always" or (policy == "first" and len(clicks) == 1)
    return "decoder" if several else "single_decoder"


def choose_prompt(
    options: Mapping[str, Scalar], state: State, clicks: Sequence[Click]
) -> Tensor | None:
    """Return the logits of the mask that is a prompt: the last answer or the initial mask."""
    positive = sum(click.positive for click in clicks)
    several = max(positive, len(clicks) - positive) > 1
    policy = options["feed_back"]
    if policy == "always" or (policy == "rclicks" and several):
        return state.initial if state.answer is None else state.answer
    return state.initial


def check_options(options: Mapping[str, Scalar]) -> None:
    """Raise IsbenchError for a value of an option that there is not."""
    for name, choices in CHOICES.items():
        wanted = f"{', '.join(choices[:-1])} or {choices[-1]}"
        check_option(name, options[name], options[name] in choices, wanted)
    threshold = float(options["threshold"])
    check_option("threshold", threshold, 0 < threshold < 1, "above 0 and below 1")


def build_sam(size: Vit, *, runtime: Runtime, **options: Scalar) -> Sam:
    """Return the predictor of a card of SAM."""
    return Sam(_build_networks(partial(make_sam, size), options, runtime), options, runtime)


def build_hq_sam(size: Vit, *, runtime: Runtime, **options: Scalar) -> Sam:
    """Return the predictor of a card of HQ-SAM."""
    return Sam(_build_networks(partial(make_hq_sam, size), options, runtime), options, runtime)


def build_sam2(size: Hiera, *, runtime: Runtime, **options: Scalar) -> Sam:
    """Return the predictor of a card of SAM 2.1."""
    networks = _build_networks(partial(make_sam2, size), options, runtime)
    return Sam(networks, options, runtime, square=True, bound=SAM2_BOUND)


def _build_networks(
    make: Callable[..., Networks], options: Mapping[str, Scalar], runtime: Runtime
) -> Mapping[str, Computed]:
    check_options(options)
    return build_networks(partial(make, **options), runtime)
