"""Play the same games with a plain evaluator and with isbench, and compare clicks and speed.

    python -m benchmarks.evaluate --data ../data    # takes 15 minutes
    python -m benchmarks.evaluate --model csfpn-mini --dataset sample --objects 4 --clicks 5

Each configuration ("way") runs in its own processes, one after the other: the plain evaluator
(`benchmarks/plain.py`: batch 1 with its mirror image, eager PyTorch, all threads), then isbench
with each backend and number of workers. The objects are the same, evenly spaced; games run to the
last click. Clicks per second are counted from the end of the first object, which excludes imports
and building the networks for all ways; they do not matter in long runs. Only the ratios within one
run are meaningful. With --guard the exit code is 1 if the games of more than a fifth of the objects
differ, or if the ratio of the best way is below the given number.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch

from benchmarks import plain
from isbench.datasets import load_dataset
from isbench.evaluation import engine, runner, spec
from isbench.evaluation.clickers.registry import make_clicker
from isbench.evaluation.executors.processes import count_cores
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.nn.runtime import openvino
from isbench.nn.runtime.compute import load_networks
from isbench.nn.runtime.cost import count_cost
from isbench.storage.environment import processor
from isbench.types import Dataset, Game, LoadedModel, Rules


class Way(NamedTuple):
    """A configuration; a backend of None is the plain evaluator."""

    backend: str | None
    workers: int
    threads: int

    @property
    def name(self) -> str:
        """Return the name in the table."""
        if self.backend is None:
            return f"plain, {self.threads} threads"
        return f"{self.backend}, {self.workers} x {self.threads}"


class Clock(runner.Silent):
    """Records when each game ended, and its number of clicks."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, int]] = []

    def add_game(self, game: Game) -> None:
        """Record the end of a game."""
        self.ends.append((perf_counter(), len(game.trajectory.clicks)))

    def rate(self, workers: int) -> float:
        """Return clicks per second, counted once every worker has finished its first game."""
        ends = self.ends[min(workers, len(self.ends) - 1) - 1 :]
        return sum(clicks for _, clicks in ends[1:]) / (ends[-1][0] - ends[0][0])


def load(name: str, backend: str, threads: int) -> LoadedModel:
    card = load_card(name)
    weights = None if card.bundled else "random"
    return load_model(card, None, weights, device="cpu", backend=backend, threads=threads)


def load_data(name: str, folder: Path | None, objects: int) -> Dataset:
    dataset = load_dataset(name, folder)
    keys = dict.fromkeys(
        dataset.keys[int(k)] for k in np.linspace(0, len(dataset.keys) - 1, objects)
    )
    return replace(dataset, keys=tuple(keys), limit=len(keys))


def run_plain(model: LoadedModel, dataset: Dataset, rules: Rules, way: Way) -> dict[str, Any]:
    """Play with the plain evaluator; also return the input sizes of the network."""
    assert model.runtime is not None
    assert model.card.networks is not None
    torch.set_num_threads(way.threads)
    cv2.setNumThreads(way.threads)
    options = spec.with_dataset_defaults(model, dataset).options
    sizes: dict[str, int] = {}
    make = partial(model.card.networks, **options)
    network = load_networks(make, model.runtime)["network"]

    def run_network(inputs: torch.Tensor, clicks: torch.Tensor) -> tuple[torch.Tensor, ...]:
        size = f"{inputs.shape[2]} {inputs.shape[3]}"
        sizes[size] = sizes.get(size, 0) + 1
        outputs: tuple[torch.Tensor, ...] = network(inputs, clicks)
        return outputs

    clock, games, seconds, other_seconds = Clock(), {}, [], {"clicker": 0.0, "loading": 0.0}
    started = perf_counter()
    for game in plain.play(run_network, dataset, rules, plain.options(options)):
        clock.ends.append((perf_counter(), len(game.clicks)))
        games[game.key] = [list(click) for click in game.clicks]
        seconds += game.model
        other_seconds["clicker"] += game.clicker
        other_seconds["loading"] += game.loading
    wall = perf_counter() - started
    shares = {name: share / wall for name, share in other_seconds.items()}
    shares["model"] = sum(seconds) / wall
    return {"games": games, "seconds": seconds, "rate": clock.rate(1), "sizes": sizes, **shares}


def run_isbench(model: LoadedModel, dataset: Dataset, rules: Rules, way: Way) -> dict[str, Any]:
    """Play with `isbench.run`; with one worker, also return where the time goes."""
    if way.workers == 1:
        return run_isbench_timed(model, dataset, rules)
    clock = Clock()
    with TemporaryDirectory() as out:
        done = runner.run(model, dataset, rules, out=out, workers=way.workers, watch=clock)
    games = {one.key: [list(click) for click in one.clicks] for one in done.trajectories}
    return {"games": games, "rate": clock.rate(way.workers)}


def run_isbench_timed(model: LoadedModel, dataset: Dataset, rules: Rules) -> dict[str, Any]:
    """Play like one worker, timing the clicker and the loading."""
    other_seconds = {"clicker": 0.0, "loading": 0.0}

    def time_call(name: str, call: Any, *args: Any) -> Any:
        started = perf_counter()
        try:
            return call(*args)
        finally:
            other_seconds[name] += perf_counter() - started

    cv2.setNumThreads(1)
    model = spec.with_dataset_defaults(model, dataset)
    predictor, clock, games, seconds = build_predictor(model), Clock(), {}, []
    engine.make_clicker = lambda text: partial(time_call, "clicker", make_clicker(text))
    started = perf_counter()
    for game in engine.play(
        predictor, map(partial(time_call, "loading", dataset.load), dataset.keys), rules
    ):
        clock.add_game(game)
        games[game.trajectory.key] = [list(click) for click in game.trajectory.clicks]
        seconds += game.seconds
    wall = perf_counter() - started
    shares = {name: share / wall for name, share in other_seconds.items()}
    shares["model"] = sum(seconds) / wall
    return {"games": games, "seconds": seconds, "rate": clock.rate(1), **shares}


def measure_peak(threads: int) -> float:
    """Return the FLOP/s of large matrix products, the best of several."""
    torch.set_num_threads(threads)
    one, other = torch.rand(2, 2048, 2048)
    best = float("inf")
    for _ in range(12):
        started = perf_counter()
        torch.mm(one, other)
        best = min(best, perf_counter() - started)
    return 2 * 2048**3 / best


def run_child(task: str) -> None:
    """Run one way and print its result as JSON."""
    model, dataset, folder, objects, clicks, way = json.loads(task)
    way = Way(*way)
    loaded = load(model, way.backend or "eager", way.threads)
    data = load_data(dataset, Path(folder) if folder else None, objects)
    result = (run_plain if way.backend is None else run_isbench)(
        loaded, data, Rules(clicks, 1.01), way
    )
    most = [
        resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    print(json.dumps({**result, "memory": max(most) / 1024}))


def run_way(task: Sequence[Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.evaluate", "--child", json.dumps(task)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def list_ways(backend: str | None) -> list[Way]:
    cores = count_cores()
    names = [backend] if backend else ["eager", *(["openvino"] if openvino.is_installed() else [])]
    ways = [Way(None, 1, cores)]
    for name in names:
        ways += [Way(name, 1, 1), Way(name, 1, cores), Way(name, cores, 1)]
    return list(dict.fromkeys(ways))


def count_flops(name: str, sizes: dict[str, int]) -> float:
    """Return the operations of all passes with their mirror images, two per multiply-add."""
    card = load_card(name)
    assert card.networks is not None
    make = partial(card.networks, **card.options)
    total = 0.0
    for size, count in sizes.items():
        rows, cols = map(int, size.split())
        total += 4 * count * count_cost(make, (rows, cols)).whole.macs
    return total


def measure_ways(model: str, dataset: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run every way and yield its row of the table."""
    folder = str(options.data) if options.data else None
    reference: dict[str, Any] = {}
    for way in list_ways(options.backend):
        result = run_way([model, dataset, folder, options.objects, options.clicks, way])
        reference = reference or result
        total = sum(map(len, result["games"].values()))
        equal_games = sum(result["games"][key] == game for key, game in reference["games"].items())
        work = count_flops(model, reference["sizes"]) / total * result["rate"]
        ratio = result["rate"] / reference["rate"]
        seconds = result.get("seconds")
        yield {
            "model": model,
            "dataset": dataset,
            "way": way.name,
            "objects": len(reference["games"]),
            "clicks": total,
            "alike": equal_games,
            "ratio": ratio,
            "objects_per_s": result["rate"] * len(reference["games"]) / total,
            "p50_s": float(np.percentile(seconds, 50)) if seconds else None,
            "p95_s": float(np.percentile(seconds, 95)) if seconds else None,
            **{f"{share}_share": result.get(share) for share in ("model", "clicker", "loading")},
            "of_peak": work / measure_peak(way.workers * way.threads),
            "memory_mib": result["memory"],
        }
        print(".", end="", file=sys.stderr, flush=True)


def format_table(table: pd.DataFrame) -> str:
    """Return the table as markdown."""
    formats = {
        "ratio": "{:.2f}", "objects_per_s": "{:.3f}", "p50_s": "{:.3f}", "p95_s": "{:.3f}",
        "model_share": "{:.1%}", "clicker_share": "{:.2%}", "loading_share": "{:.2%}",
        "of_peak": "{:.0%}", "memory_mib": "{:.0f}",
    }  # fmt: skip
    lines = [list(table.columns), ["---"] * len(table.columns)]
    for line in table.to_dict("records"):
        lines.append(
            [
                "" if pd.isna(value) else formats.get(str(name), "{}").format(value)
                for name, value in line.items()
            ]
        )
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="repeatable")
    parser.add_argument("--dataset", action="append", help="repeatable")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--objects", type=int, default=16)
    parser.add_argument("--clicks", type=int, default=6)
    parser.add_argument("--backend", help="run only this backend of isbench")
    parser.add_argument("--out", type=Path, help="write the table as CSV")
    parser.add_argument("--guard", type=float, help="smallest acceptable ratio of the best way")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(options.child)
        return
    lines = [
        line
        for model in options.model or ["ritm-hrnet18", "csfpn-mini"]
        for dataset in options.dataset or ["grabcut", "davis"]
        for line in measure_ways(model, dataset, options)
    ]
    table = pd.DataFrame(lines)
    print(f"\n{processor()}, {count_cores()} cores, torch {torch.__version__}\n")
    print(format_table(table))
    if options.out:
        table.to_csv(options.out, index=False, float_format="%.6g")
    if options.guard is not None:
        best = table.groupby(["model", "dataset"]).ratio.max().min()
        # on a processor that rounds differently a pixel, and with it a game, may differ
        if best < options.guard or (table.alike < 0.8 * table.objects).any():
            sys.exit(f"ratio {best:.2f}, wanted {options.guard}; or games differ: see the table")


if __name__ == "__main__":
    main()
