"""Passes of networks: what the inference of a click asks for, and how many games share a pass.

The inference of one click is a generator that yields requests: a forward pass, to which it is sent
the outputs, or maps to copy to the host. `compute_answers` serves many generators at once. So a
system reads top to bottom, while the batching of passes (one by one on a CPU, equal shapes stacked
on a GPU) and the copies from the GPU (all maps of a kind at once) are implemented once.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from isbench.errors import IsbenchError
from isbench.nn.network import Computed
from isbench.nn.runtime.compute import inference
from isbench.types import Prediction, Runtime

T = TypeVar("T")


class ForwardRequest(NamedTuple):
    """A request for a forward pass of a network; answered with the tuple of its outputs."""

    network: Computed
    inputs: tuple[Tensor, ...]  # dimension 0 of each is the batch


class HostRequest(NamedTuple):
    """A request to copy maps to the host; answered with (h, w) arrays of their dtype."""

    maps: tuple[Tensor, ...]  # each (h, w), of one dtype


Requests: TypeAlias = Generator[ForwardRequest | HostRequest, Any, T]  # a part of an answer
Passes: TypeAlias = Requests[Prediction]  # an answer


def refuse_nan(broken: bool) -> None:
    """Raise IsbenchError if an output was found not to be a number."""
    if broken:
        raise IsbenchError(
            "the network's output is not a number (NaN): its weights are wrong or damaged; use "
            "others",
            setting="weights",
        )


def compute_games(games: Sequence[Passes], runtime: Runtime) -> list[Prediction]:
    """Return the predictions of games, computed with the runtime's settings."""
    with inference(runtime):
        return compute_answers(games, stack=runtime.device != "cpu")


def compute_answers(games: Sequence[Passes], stack: bool) -> list[Prediction]:
    """Run the generators of several games and return their predictions.

    With `stack` passes of equal shape are computed together; otherwise one by one, since on a CPU
    the results depend on the batch.
    """
    waiting: dict[int, ForwardRequest | HostRequest] = {
        k: next(game) for k, game in enumerate(games)
    }
    answers: dict[int, Prediction] = {}
    while waiting:
        groups: dict[object, list[int]] = {}
        for k, request in waiting.items():
            groups.setdefault(_group_key(request, k, stack), []).append(k)
        for group in groups.values():
            for k, result in zip(group, _serve([waiting[k] for k in group]), strict=True):
                try:
                    waiting[k] = games[k].send(result)
                except StopIteration as end:
                    answers[k] = end.value
                    del waiting[k]
    return [answers[k] for k in range(len(games))]


def _group_key(request: ForwardRequest | HostRequest, game: int, stack: bool) -> object:
    """Return the key of the group in which a request is served."""
    if isinstance(request, HostRequest):
        return HostRequest, request.maps[0].dtype
    if not stack:
        return game
    return id(request.network), *(x.shape for x in request.inputs)


def _serve(requests: Sequence[ForwardRequest | HostRequest]) -> Sequence[Any]:
    """Return the results of requests of one group."""
    if isinstance(requests[0], ForwardRequest):
        return _forward([one for one in requests if isinstance(one, ForwardRequest)])
    maps_of = [request.maps for request in requests if isinstance(request, HostRequest)]
    flat = torch.cat([one.flatten() for maps in maps_of for one in maps]).cpu().numpy()
    start, results = 0, []
    for maps in maps_of:
        arrays = []
        for one in maps:
            arrays.append(flat[start : start + one.numel()].reshape(one.shape))
            start += one.numel()
        results.append(arrays)
    return results


def _forward(requests: Sequence[ForwardRequest]) -> list[tuple[Tensor, ...]]:
    """Return the outputs of passes with the same network and shapes, computed in one pass."""
    network, inputs = requests[0]
    if len(requests) == 1:
        return [network(*inputs)]
    columns = zip(*(request.inputs for request in requests), strict=True)
    outputs = network(*(torch.cat(column) for column in columns))
    return list(zip(*(output.chunk(len(requests)) for output in outputs), strict=True))
