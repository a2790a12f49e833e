"""Time one pass with its mirror image, for several networks in one run.

Only the ratios to the first network are meaningful. Weights are random, which does not affect time.

    python benchmarks/networks.py ritm-hrnet18 ritm-mini csfpn-mini
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

import torch

from isbench.models.registry import load_card
from isbench.nn.network import make_examples
from isbench.nn.runtime.compute import build_networks, inference, load_networks
from isbench.types import Click, Runtime

CLICKS = (Click(100, 100, True), Click(50, 10, True), Click(40, 70, False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["ritm-hrnet18", "ritm-mini", "csfpn-mini"])
    parser.add_argument("--size", type=int, nargs=2, default=[304, 400], metavar=("ROWS", "COLS"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    runtime = Runtime(threads=options.threads)
    networks, inputs = {}, {}
    for name in options.models:
        card = load_card(name)
        if card.networks is None:
            sys.exit(f"{name} has no network")
        make = partial(card.networks, **card.options)
        networks[name] = next(iter(build_networks(make, runtime).values()))
        network = next(iter(load_networks(make, runtime).values()))
        examples = make_examples(network, tuple(options.size), 2 * len(CLICKS))
        inputs[name] = tuple(torch.cat([x, x]) for x in examples)
    least = dict.fromkeys(networks, float("inf"))
    with inference(runtime):
        for _ in range(1 + options.runs):  # warm-up included: the minimum is reported
            for name, compute in networks.items():
                started = time.perf_counter()
                compute(*inputs[name])
                least[name] = min(least[name], time.perf_counter() - started)
    first = next(iter(least.values()))
    print(f"one pass with its mirror image at {options.size}, {options.threads} thread(s)")
    for name, seconds in least.items():
        print(f"{name:22s} {seconds:8.4f} s  {seconds / first:6.3f} of {options.models[0]}")


if __name__ == "__main__":
    main()
