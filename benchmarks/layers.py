"""Write the share of time of each kind of layer in a network compiled by OpenVINO.

    python -m benchmarks.layers results/layers.csv ritm-hrnet18 csfpn-lite

The times are OpenVINO's own performance counters of a pass on one thread: a crop with its mirror
image, as a batch of two, and the median of several passes. Weights are random, which does not
affect time.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ideas import SETTINGS, make_network
from isbench.nn.network import make_examples, simplify
from isbench.nn.runtime import openvino
from isbench.nn.runtime.compute import inference
from isbench.reporting.text_table import format_rows
from isbench.types import Runtime

CLICKS = 4
SMALL = 0.005  # of all time: kinds of layers below are added up


def time_layers(name: str, size: tuple[int, int], passes: int) -> dict[str, float]:
    """Return the share of time of each kind of layer, the largest first, small ones together."""
    network = make_network(name)
    inputs = [torch.cat([x, x]).numpy() for x in make_examples(network, size, CLICKS)]
    with inference(Runtime()):
        graph = openvino._trace(simplify(network))
    core = openvino._make_core()
    model = core.compile_model(graph, "CPU", {**SETTINGS, "PERF_COUNT": True})
    request = model.create_infer_request()
    request.infer(inputs)
    times = []
    for _ in range(passes):
        request.infer(inputs)
        times.append(add_up(request.get_profiling_info()))
    kinds = {kind for one in times for kind in one}
    medians = {kind: float(np.median([one.get(kind, 0.0) for one in times])) for kind in kinds}
    total = sum(medians.values())
    large = sorted((k for k in kinds if medians[k] >= SMALL * total), key=lambda k: -medians[k])
    shares = {kind: medians[kind] / total for kind in large}
    return {**shares, "others": 1 - sum(shares.values())}


def add_up(layers: Iterable[Any]) -> dict[str, float]:
    """Return the microseconds of each kind of layer."""
    times: dict[str, float] = defaultdict(float)
    for layer in layers:
        times[name_kind(layer)] += layer.real_time.total_seconds() * 1e6
    return times


def name_kind(layer: Any) -> str:
    """Return OpenVINO's name of the kind; convolutions are named by their kernel."""
    kind = str(layer.node_type)
    if kind not in ("Convolution", "GroupConvolution"):
        return kind
    if "_dw" in layer.exec_type:
        return "Convolution, depthwise"
    return "Convolution, 1x1" if "1x1" in layer.exec_type else "Convolution, larger"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="csv file")
    parser.add_argument("models", nargs="*", default=["ritm-hrnet18", "csfpn-lite"])
    parser.add_argument("--size", type=int, nargs=2, default=[304, 400], metavar=("ROWS", "COLS"))
    parser.add_argument("--passes", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        (name, *options.size, kind, f"{share:.4f}")
        for name in options.models
        for kind, share in time_layers(name, tuple(options.size), options.passes).items()
    ]
    options.out.write_text(format_rows(("model", "rows", "cols", "layer", "share"), rows))


if __name__ == "__main__":
    main()
