"""Play the same games with a plain evaluator and with isbench, and compare clicks and speed.

    python -m benchmarks.evaluate --data ../data    # a quarter of an hour
    python -m benchmarks.evaluate --model csfpn-mini --dataset sample --objects 4 --clicks 5

Every way to play runs in processes of its own, one way after the other: the plain evaluator
(`benchmarks/plain.py`: batch 1 with its mirror image, PyTorch as it is, all threads), then isbench
with each backend and number of workers. The objects are the same, evenly spaced; games go on to
the last click. A way's clicks a second count from the first object's end on, so that imports and
the building of networks, which a long run does not feel, are left out for all alike. The ratios
within one run are what to look at; with --guard the exit code is 1 if the games of more than
a fifth of the objects differ or the ratio of the best way is below that number.
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
from isbench.evaluation import engine, job, runner, spec
from isbench.evaluation.clicker import CLICKERS
from isbench.evaluation.executors.processes import count_cores
from isbench.models.registry import load_model
from isbench.models.weights import load_weights
from isbench.nn.runtime import openvino
from isbench.nn.runtime.compute import load_network
from isbench.nn.runtime.cost import count_cost
from isbench.storage.environment import processor
from isbench.types import Dataset, Game, Model, Rules, Runtime


class Way(NamedTuple):
    """A way to play; a backend of None is the plain evaluator's."""

    backend: str | None
    workers: int
    threads: int

    @property
    def name(self) -> str:
        """Return what the table calls it."""
        if self.backend is None:
            return f"plain, {self.threads} threads"
        return f"{self.backend}, {self.workers} x {self.threads}"


class Clock(runner.Silent):
    """Notes when each game ended, and its clicks."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, int]] = []

    def played(self, game: Game) -> None:
        """Note it."""
        self.ends.append((perf_counter(), len(game.trajectory.clicks)))

    def rate(self, workers: int) -> float:
        """Return clicks a second, from when every worker has ended its first game."""
        ends = self.ends[min(workers, len(self.ends) - 1) - 1 :]
        return sum(clicks for _, clicks in ends[1:]) / (ends[-1][0] - ends[0][0])


def card_of(name: str, runtime: Runtime) -> Model:
    model = load_model(name)
    return load_weights(model, None if model.bundled else "random", runtime)


def data_of(name: str, folder: Path | None, objects: int) -> Dataset:
    dataset = load_dataset(name, folder)
    chosen = dict.fromkeys(
        dataset.keys[int(k)] for k in np.linspace(0, len(dataset.keys) - 1, objects)
    )
    return replace(dataset, keys=tuple(chosen), limit=len(chosen))


def play_plainly(card: Model, dataset: Dataset, rules: Rules, way: Way) -> dict[str, Any]:
    """Play with the plain evaluator; also say what sizes the network saw."""
    assert card.runtime is not None
    assert card.network is not None
    torch.set_num_threads(way.threads)
    cv2.setNumThreads(way.threads)
    card = spec.with_dataset_defaults(card, dataset)
    options = card.options
    sizes: dict[str, int] = {}
    network = load_network(partial(card.network, **options), card.runtime)

    def called(inputs: torch.Tensor, clicks: torch.Tensor) -> torch.Tensor:
        size = f"{inputs.shape[2]} {inputs.shape[3]}"
        sizes[size] = sizes.get(size, 0) + 1
        return network(inputs, clicks)

    clock, games, seconds, other = Clock(), {}, [], {"clicker": 0.0, "loading": 0.0}
    started = perf_counter()
    for game in plain.play(called, dataset, rules, plain.options(options)):
        clock.ends.append((perf_counter(), len(game.clicks)))
        games[game.key] = [list(click) for click in game.clicks]
        seconds += game.model
        other["clicker"] += game.clicker
        other["loading"] += game.loading
    wall = perf_counter() - started
    shares = {name: share / wall for name, share in other.items()}
    shares["model"] = sum(seconds) / wall
    return {"games": games, "seconds": seconds, "rate": clock.rate(1), "sizes": sizes, **shares}


def play_by_isbench(card: Model, dataset: Dataset, rules: Rules, way: Way) -> dict[str, Any]:
    """Play by `isbench run`; with one worker, also say where the time goes."""
    if way.workers == 1:
        return play_in_the_open(card, dataset, rules)
    clock = Clock()
    with TemporaryDirectory() as out:
        done = runner.run(card, dataset, rules, out=out, workers=way.workers, watch=clock)
    games = {one.key: [list(click) for click in one.clicks] for one in done.trajectories}
    return {"games": games, "rate": clock.rate(way.workers)}


def play_in_the_open(card: Model, dataset: Dataset, rules: Rules) -> dict[str, Any]:
    """Play as one worker does, the clicker and the loading timed."""
    other = {"clicker": 0.0, "loading": 0.0}

    def timed(name: str, call: Any, *given: Any) -> Any:
        started = perf_counter()
        try:
            return call(*given)
        finally:
            other[name] += perf_counter() - started

    cv2.setNumThreads(1)
    card = spec.with_dataset_defaults(card, dataset)
    predictor, clock, games, seconds = job.build_predictor(card), Clock(), {}, []
    engine.CLICKERS = {"centre": partial(timed, "clicker", CLICKERS["centre"])}
    started = perf_counter()
    for game in engine.play(
        predictor, map(partial(timed, "loading", dataset.load), dataset.keys), rules
    ):
        clock.played(game)
        games[game.trajectory.key] = [list(click) for click in game.trajectory.clicks]
        seconds += game.seconds
    wall = perf_counter() - started
    shares = {name: share / wall for name, share in other.items()}
    shares["model"] = sum(seconds) / wall
    return {"games": games, "seconds": seconds, "rate": clock.rate(1), **shares}


def peak(threads: int) -> float:
    """Return FLOP/s of large matrix products, the best of several."""
    torch.set_num_threads(threads)
    one, other = torch.rand(2, 2048, 2048)
    best = float("inf")
    for _ in range(12):
        started = perf_counter()
        torch.mm(one, other)
        best = min(best, perf_counter() - started)
    return 2 * 2048**3 / best


def child(task: str) -> None:
    """Play one way and print what came of it."""
    model, dataset, folder, objects, clicks, way = json.loads(task)
    way = Way(*way)
    card = card_of(model, Runtime(threads=way.threads, backend=way.backend or "eager"))
    data = data_of(dataset, Path(folder) if folder else None, objects)
    made = (play_plainly if way.backend is None else play_by_isbench)(
        card, data, Rules(clicks, 1.01), way
    )
    most = [
        resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    print(json.dumps({**made, "memory": max(most) / 1024}))


def played(task: Sequence[Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.evaluate", "--child", json.dumps(task)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ways(backend: str | None) -> list[Way]:
    there = count_cores()
    names = [backend] if backend else ["eager", *(["openvino"] if openvino.is_installed() else [])]
    made = [Way(None, 1, there)]
    for name in names:
        made += [Way(name, 1, 1), Way(name, 1, there), Way(name, there, 1)]
    return list(dict.fromkeys(made))


def flops(name: str, sizes: dict[str, int]) -> float:
    """Return the operations of all passes with their mirror images, two a multiply-add."""
    card = load_model(name)
    assert card.network is not None
    network = partial(card.network, **card.options)
    total = 0.0
    for size, count in sizes.items():
        rows, cols = map(int, size.split())
        total += 4 * count * count_cost(network, (rows, cols)).whole.macs
    return total


def rows(model: str, dataset: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Play every way and yield its line of the table."""
    folder = str(options.data) if options.data else None
    base: dict[str, Any] = {}
    for way in ways(options.backend):
        found = played([model, dataset, folder, options.objects, options.clicks, way])
        base = base or found
        total = sum(map(len, found["games"].values()))
        alike = sum(found["games"][key] == game for key, game in base["games"].items())
        work = flops(model, base["sizes"]) / total * found["rate"]
        ratio = found["rate"] / base["rate"]
        seconds = found.get("seconds")
        yield {
            "model": model,
            "dataset": dataset,
            "way": way.name,
            "objects": len(base["games"]),
            "clicks": total,
            "alike": alike,
            "ratio": ratio,
            "objects_per_s": found["rate"] * len(base["games"]) / total,
            "p50_s": float(np.percentile(seconds, 50)) if seconds else None,
            "p95_s": float(np.percentile(seconds, 95)) if seconds else None,
            **{f"{share}_share": found.get(share) for share in ("model", "clicker", "loading")},
            "of_peak": work / peak(way.workers * way.threads),
            "memory_mib": found["memory"],
        }
        print(".", end="", file=sys.stderr, flush=True)


def shown(table: pd.DataFrame) -> str:
    """Return the table in markdown."""
    forms = {
        "ratio": "{:.2f}", "objects_per_s": "{:.3f}", "p50_s": "{:.3f}", "p95_s": "{:.3f}",
        "model_share": "{:.1%}", "clicker_share": "{:.2%}", "loading_share": "{:.2%}",
        "of_peak": "{:.0%}", "memory_mib": "{:.0f}",
    }  # fmt: skip
    lines = [list(table.columns), ["---"] * len(table.columns)]
    for line in table.to_dict("records"):
        lines.append(
            [
                "" if pd.isna(value) else forms.get(str(name), "{}").format(value)
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
    parser.add_argument("--backend", help="only this one of isbench's")
    parser.add_argument("--out", type=Path, help="write the table as CSV")
    parser.add_argument("--guard", type=float, help="least ratio of the best way")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    lines = [
        line
        for model in options.model or ["ritm-hrnet18", "csfpn-mini"]
        for dataset in options.dataset or ["grabcut", "davis"]
        for line in rows(model, dataset, options)
    ]
    table = pd.DataFrame(lines)
    print(f"\n{processor()}, {count_cores()} cores, torch {torch.__version__}\n")
    print(shown(table))
    if options.out:
        table.to_csv(options.out, index=False, float_format="%.6g")
    if options.guard is not None:
        best = table.groupby(["model", "dataset"]).ratio.max().min()
        # on a processor that rounds otherwise a pixel, and with it a game, may go another way
        if best < options.guard or (table.alike < 0.8 * table.objects).any():
            sys.exit(f"ratio {best:.2f}, wanted {options.guard}; or clicks differ: see the table")


if __name__ == "__main__":
    main()
