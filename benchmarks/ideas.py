"""Ideas for faster networks, each as a ratio to a pass as isbench makes it with OpenVINO.

    python -m benchmarks.ideas ritm-hrnet18 --out results/ideas.csv

A pass is a crop with its mirror image, as a batch of two, on one thread. Ideas for one core are
timed in turn, so that all see the same machine, and the fastest of several rounds counts; those
that use two cores count passes per second instead. Weights are random, which does not affect time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks import CLICKS
from isbench.errors import IsbenchError
from isbench.models.registry import load_card
from isbench.nn.clickmaps import encode_points
from isbench.nn.inference.predictor import add_mirrored, average_mirrored
from isbench.nn.network import simplify
from isbench.nn.runtime import openvino
from isbench.nn.runtime.backends import accelerate
from isbench.nn.runtime.compute import inference, load_networks
from isbench.reporting.text_table import format_rows
from isbench.types import Runtime

SETTINGS = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
}
SECONDS = 10.0  # for which passes are counted


class Mirrored(nn.Module):
    """A network that takes a crop alone, and makes and joins its mirror image itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner, self.example_inputs = simplify(network), network.example_inputs

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the probability."""
        return torch.sigmoid(average_mirrored(self.inner(*add_mirrored(inputs, clicks))[0]))


def make_network(name: str) -> nn.Module:
    card = load_card(name)
    if card.networks is None:
        sys.exit(f"{name} has no network")
    networks = load_networks(partial(card.networks, **card.options), Runtime())
    return next(iter(networks.values()))


def make_inputs(size: tuple[int, int], batch: int = 2) -> tuple[Tensor, Tensor]:
    return torch.rand(batch, 4, *size), encode_points(CLICKS).expand(batch, -1, -1)


def call_model(model: Any, inputs: tuple[Tensor, ...]) -> Callable[[], object]:
    """Return a call of a compiled OpenVINO model."""
    request, arrays = model.create_infer_request(), [x.contiguous().numpy() for x in inputs]
    return lambda: request.infer(arrays, share_inputs=True, share_outputs=True)


def compile_graph(graph: Any, inputs: tuple[Tensor, ...], **settings: Any) -> Callable[[], object]:
    """Return a call of a graph compiled with other settings."""
    core = openvino._make_core()
    return call_model(core.compile_model(graph, "CPU", {**SETTINGS, **settings}), inputs)


def answer_around(graph: Any, inputs: Tensor, clicks: Tensor) -> Callable[[], Tensor]:
    """Return a call that does what `Mirrored` does, with only the network in OpenVINO."""
    request = openvino._make_core().compile_model(graph, "CPU", SETTINGS).create_infer_request()

    def answer() -> Tensor:
        arrays = [x.contiguous().numpy() for x in add_mirrored(inputs, clicks)]
        outputs = request.infer(arrays, share_inputs=True, share_outputs=True)
        return torch.sigmoid(average_mirrored(torch.from_numpy(outputs[0])))

    return answer


def list_ideas(network: nn.Module, size: tuple[int, int]) -> Iterator[tuple[str, Any, int]]:
    """Yield what to call for each idea for one core, and for how many passes it counts."""
    inputs = make_inputs(size)
    simple = simplify(network)
    graph = openvino._trace(simple)
    yield "OpenVINO, as isbench uses it", compile_graph(graph, inputs), 1
    yield "eager", lambda: network(*inputs), 1
    try:
        yield (
            "onnxruntime",
            partial(accelerate(network, Runtime(backend="onnxruntime")), *inputs),
            1,
        )
    except IsbenchError as error:  # not installed
        print(f"onnxruntime: {error}")
    if simple is not network:
        yield "the network as written", compile_graph(openvino._trace(network), inputs), 1
    four = make_inputs(size, 4)
    yield "two objects of one crop shape in a batch", compile_graph(graph, four), 2
    one = make_inputs(size, 1)
    yield (
        "the network, and mirror image, sigmoid and mean in PyTorch",
        answer_around(graph, *one),
        1,
    )
    whole = compile_graph(openvino._trace(Mirrored(network)), one)
    yield "the same, and all of it in the graph", whole, 1
    yield "bf16", compile_graph(graph, inputs, INFERENCE_PRECISION_HINT="bf16"), 1
    fixed = openvino._trace(simple)
    fixed.reshape(dict(zip(fixed.inputs, [list(x.shape) for x in inputs], strict=True)))
    yield "fixed shapes", compile_graph(fixed, inputs), 1


def time_in_turn(ideas: list[tuple[str, Any, int]], rounds: int) -> dict[str, float]:
    """Return the least seconds a pass of each idea."""
    least = {name: float("inf") for name, _, _ in ideas}
    for _ in range(1 + rounds):
        for name, call, passes in ideas:
            started = perf_counter()
            call()
            least[name] = min(least[name], (perf_counter() - started) / passes)
    return least


def count_in_processes(name: str, size: tuple[int, int], processes: int, threads: int) -> float:
    """Return passes per second of processes that each compute with a number of threads."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(processes), context.Queue()
    started = [
        context.Process(target=_count_passes, args=(name, size, threads, barrier, queue))
        for _ in range(processes)
    ]
    for one in started:
        one.start()
    total = sum(queue.get() for _ in started)
    for one in started:
        one.join()
    return float(total)


def _count_passes(name: str, size: tuple[int, int], threads: int, barrier: Any, queue: Any) -> None:
    torch.set_num_threads(threads)
    graph, inputs = openvino._trace(simplify(make_network(name))), make_inputs(size)
    call = compile_graph(graph, inputs, INFERENCE_NUM_THREADS=threads)
    call()
    barrier.wait()
    begun, passes = perf_counter(), 0
    while perf_counter() < begun + SECONDS:
        call()
        passes += 1
    queue.put(passes / (perf_counter() - begun))


def count_in_streams(network: nn.Module, size: tuple[int, int], streams: int) -> float:
    """Return passes per second of one process with several streams of one thread."""
    graph, inputs = openvino._trace(simplify(network)), make_inputs(size)
    settings = {"INFERENCE_NUM_THREADS": streams, "NUM_STREAMS": streams}
    model = openvino._make_core().compile_model(graph, "CPU", {**SETTINGS, **settings})
    requests = [model.create_infer_request() for _ in range(streams)]
    arrays = [x.contiguous().numpy() for x in inputs]
    for one in requests:
        one.infer(arrays)
    begun, passes = perf_counter(), 0
    while perf_counter() < begun + SECONDS:
        for one in requests:
            one.start_async(arrays, share_inputs=True)
        for one in requests:
            one.wait()
        passes += streams
    return passes / (perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="ritm-hrnet18")
    parser.add_argument("--size", type=int, nargs=2, default=[304, 400], metavar=("ROWS", "COLS"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="csv file")
    options = parser.parse_args()
    size = (options.size[0], options.size[1])
    torch.set_num_threads(1)
    network = make_network(options.model)
    with inference(Runtime()):
        least = time_in_turn(list(list_ideas(network, size)), options.rounds)
    first = next(iter(least.values()))
    print(f"{options.model}, a crop of {size[0]}x{size[1]} with its mirror image\n")
    lines = [("one core", idea, first / seconds) for idea, seconds in least.items()]
    two = count_in_processes(options.model, size, 2, 1)
    threads = count_in_processes(options.model, size, 1, 2)
    lines += [
        ("two cores", "two processes of one thread", 1.0),
        ("two cores", "one process of two threads", threads / two),
        ("two cores", "one process of two streams", count_in_streams(network, size, 2) / two),
    ]
    for cores, idea, ratio in lines:
        print(f"{cores}, {idea}: {ratio:.2f} times as fast")
    if options.out:
        rows = [(options.model, *line[:2], f"{line[2]:.3f}") for line in lines]
        options.out.write_text(format_rows(("model", "cores", "idea", "times_as_fast"), rows))


if __name__ == "__main__":
    main()
