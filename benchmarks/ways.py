"""The ways of playing the same games that `benchmarks.evaluate` compares, each as a process.

A way is the original evaluator (`benchmarks/original.py`), the plain one (`benchmarks/plain.py`),
the command `isbench run` as a user types it, or isbench with a given backend and number of workers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import cv2

from benchmarks import original, plain
from isbench.datasets import load_dataset
from isbench.datasets.pairs import Pairs
from isbench.datasets.registry import find_folder
from isbench.evaluation import engine, runner, spec
from isbench.evaluation.clickers.registry import make_clicker
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.storage import store
from isbench.types import Dataset, Game, LoadedModel, Rules

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[1]
# networks of RITM's own evaluator, by card
ORIGINAL_NETWORKS = {
    "ritm-hrnet18s": {"width": 18, "ocr_width": 48, "small": True},
    "ritm-hrnet18": {"width": 18, "ocr_width": 64, "small": False},
    "ritm-hrnet32": {"width": 32, "ocr_width": 128, "small": False},
}


@dataclass(frozen=True)
class Way:
    """A player, and its numbers of processes and of threads in each."""

    player: str  # original, plain, command, or a backend of isbench
    workers: int
    threads: int

    @property
    def name(self) -> str:
        """Return the name in the table."""
        if self.player == "command":
            return "isbench run"
        if self.player in ("original", "plain"):
            return f"{self.player}, {self.threads} threads"
        return f"{self.player}, {self.workers} x {self.threads}"


@dataclass(frozen=True)
class Task:
    """What is played: the first objects of a data set, each to the last click."""

    model: str
    weights: str | None
    dataset: str
    data: str | None
    objects: int
    clicks: int
    checkout: str | None = None  # of the original evaluator
    python: str = sys.executable  # that runs it


@dataclass(frozen=True)
class Process:
    """What a process printed, and what it took from its start to its end."""

    result: dict[str, Any]
    seconds: float
    cpu_seconds: float  # of the process and those that it started
    memory: float  # MiB, of the largest of these processes


class Clock(runner.Silent):
    """Records when each game ended, and its number of clicks."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, int]] = []

    def add_game(self, game: Game) -> None:
        """Record the end of a game."""
        self.ends.append((perf_counter(), len(game.trajectory.clicks)))


def count_rate(ends: list[tuple[float, int]], workers: int) -> float | None:
    """Return clicks per second, counted once every worker has finished its first game."""
    ends = ends[min(workers, len(ends) - 1) - 1 :]
    if len(ends) < 2:
        return None
    return sum(clicks for _, clicks in ends[1:]) / (ends[-1][0] - ends[0][0])


def run_way(task: Task, way: Way, cache: Path) -> Process:
    """Play a task in a process of its own; compiled networks are kept in the folder `cache`."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONWARNINGS": "ignore"}
    result: dict[str, Any]
    with TemporaryDirectory() as out:
        command = make_command(task, way, Path(out))
        started = perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout as pipe:
            printed = pipe.read()
        # rather than process.wait(): also what the process, and those it waited for, used
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{way.name} failed with exit code {process.returncode}")
        if way.player == "command":
            [path] = store.find(Path(out))
            result = {"games": _list_clicks(store.read(path).trajectories)}
        else:
            result = json.loads(printed.splitlines()[-1])
        if way.player == "original":
            games = result["games"]
            result["games"] = {key: games[image] for key, image in name_images(task).items()}
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Process(result, seconds, cpu_seconds, usage.ru_maxrss / 1024)


def name_images(task: Task) -> dict[str, str]:
    """Return the stem of each object's image, by which the original evaluator finds it."""
    dataset = load_dataset(task.dataset, task.data, limit=task.objects)
    assert isinstance(dataset.load, Pairs)  # all that it plays are
    return {key: Path(dataset.load.files[key][0]).stem for key in dataset.keys}


def _list_clicks(trajectories: Iterable[Any]) -> dict[str, list[list[int]]]:
    return {one.key: [list(click) for click in one.clicks] for one in trajectories}


def make_command(task: Task, way: Way, out: Path) -> list[str]:
    """Return the command line of a way; `out` is the folder of the records of `isbench run`."""
    if way.player == "command":
        options = {
            "--model": task.model,
            "--weights": task.weights,
            "--dataset": task.dataset,
            "--data": task.data,
            "--limit": task.objects,
            "--max-clicks": task.clicks,
            "--stop-iou": 1.01,
            "--device": "cpu",  # like the other ways
            "--out": out,
        }
        given = [str(x) for pair in options.items() if pair[1] is not None for x in pair]
        return [sys.executable, "-m", "isbench", "run", *given]
    if way.player == "original":
        folder = find_folder(task.dataset, Path(task.data) if task.data else None)
        return [
            task.python,
            original.__file__,
            json.dumps(
                {
                    "checkout": task.checkout,
                    "checkpoint": task.weights,
                    "dataset": task.dataset,
                    "folder": str(folder),
                    "images": list(name_images(task).values()),
                    "clicks": task.clicks,
                    "threads": way.threads,
                }
            ),
        ]
    described = json.dumps(["play", [asdict(task), asdict(way)]])
    return [sys.executable, "-m", "benchmarks.evaluate", "--child", described]


def call_in_child(name: str, *arguments: Any) -> Any:
    """Return what a function of this module returns in a process of its own.

    Linux counts the memory of the process that starts another to that of the other one, so this
    process must stay small: it leaves PyTorch to its children.
    """
    described = json.dumps([name, arguments])
    command = [sys.executable, "-m", "benchmarks.evaluate", "--child", described]
    done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_child(described: str) -> None:
    """Call one of this module's functions as described and print what it returns, as JSON."""
    name, arguments = json.loads(described)
    functions: list[Callable[..., Any]] = [play, count_flops, measure_peak, write_checkpoint]
    function = next(one for one in functions if one.__name__ == name)
    print(json.dumps(function(*arguments)))


def play(task: dict[str, Any], way: dict[str, Any]) -> dict[str, Any]:
    """Play a task in this process, plainly or with a backend of isbench."""
    played, by = Task(**task), Way(**way)
    backend = "eager" if by.player == "plain" else by.player
    model = load_model(
        played.model, None, played.weights, device="cpu", backend=backend, threads=by.threads
    )
    dataset = load_dataset(played.dataset, played.data, limit=played.objects)
    rules = Rules(played.clicks, 1.01)
    return (_play_plain if by.player == "plain" else _play)(model, dataset, rules, by)


def measure_peak(threads: int) -> float:
    """Return the FLOP/s of large matrix products, the best of several."""
    import torch

    torch.set_num_threads(threads)
    one, other = torch.rand(2, 2048, 2048)
    best = float("inf")
    for _ in range(12):
        started = perf_counter()
        torch.mm(one, other)
        best = min(best, perf_counter() - started)
    return 2 * 2048**3 / best


def count_flops(name: str, sizes: dict[str, int]) -> float:
    """Return the operations of all passes with their mirror images, two per multiply-add."""
    from isbench.nn.runtime.cost import count_cost

    card = load_card(name)
    assert card.networks is not None
    make = partial(card.networks, **card.options)
    total = 0.0
    for size, count in sizes.items():
        rows, cols = map(int, size.split())
        total += 4 * count * count_cost(make, (rows, cols)).whole.macs
    return total


def _play_plain(model: LoadedModel, dataset: Dataset, rules: Rules, way: Way) -> dict[str, Any]:
    import torch

    from isbench.nn.runtime.compute import load_networks

    assert model.runtime is not None
    assert model.card.networks is not None
    torch.set_num_threads(way.threads)
    cv2.setNumThreads(way.threads)
    options = spec.with_dataset_defaults(model, dataset).options
    sizes: dict[str, int] = {}
    make = partial(model.card.networks, **options)
    networks = load_networks(make, model.runtime)
    if [*networks] != ["network"]:
        sys.exit(
            f"the plain evaluator plays models with one network; {model.card.name} has "
            f"{', '.join(networks)}"
        )
    network = networks["network"]

    def run_network(inputs: torch.Tensor, clicks: torch.Tensor) -> tuple[torch.Tensor, ...]:
        size = f"{inputs.shape[2]} {inputs.shape[3]}"
        sizes[size] = sizes.get(size, 0) + 1
        outputs: tuple[torch.Tensor, ...] = network(inputs, clicks)
        return outputs

    ends, games, other_seconds = [], {}, {"clicker": 0.0, "loading": 0.0}
    seconds: list[float] = []
    started = perf_counter()
    for game in plain.play(run_network, dataset, rules, plain.choose_options(options)):
        ends.append((perf_counter(), len(game.clicks)))
        games[game.key] = [list(click) for click in game.clicks]
        seconds += game.model
        other_seconds["clicker"] += game.clicker
        other_seconds["loading"] += game.loading
    shares = _share(perf_counter() - started, {**other_seconds, "model": sum(seconds)})
    return {"games": games, "seconds": seconds, "ends": ends, "sizes": sizes, **shares}


def _play(model: LoadedModel, dataset: Dataset, rules: Rules, way: Way) -> dict[str, Any]:
    """Play with `isbench.run`; with one worker, also return where the time goes."""
    if way.workers == 1:
        return _play_timed(model, dataset, rules)
    clock = Clock()
    with TemporaryDirectory() as out:
        done = runner.run(model, dataset, rules, out=out, workers=way.workers, watch=clock)
    return {"games": _list_clicks(done.trajectories), "ends": clock.ends}


def _play_timed(model: LoadedModel, dataset: Dataset, rules: Rules) -> dict[str, Any]:
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
    predictor, clock, games = build_predictor(model), Clock(), {}
    seconds: list[float] = []
    timed = lambda text: partial(time_call, "clicker", make_clicker(text))  # noqa: E731
    setattr(engine, "make_clicker", timed)  # noqa: B010 (mypy knows no other name of it)
    started = perf_counter()
    for game in engine.play(
        predictor, map(partial(time_call, "loading", dataset.load), dataset.keys), rules
    ):
        clock.add_game(game)
        games[game.trajectory.key] = [list(click) for click in game.trajectory.clicks]
        seconds += game.seconds
    shares = _share(perf_counter() - started, {**other_seconds, "model": sum(seconds)})
    return {"games": games, "seconds": seconds, "ends": clock.ends, **shares}


def _share(wall: float, seconds: dict[str, float]) -> dict[str, float]:
    return {name: part / wall for name, part in seconds.items()}


def write_checkpoint(model: str, path: str) -> None:
    """Write random weights of a model in the format of the original evaluator's checkpoints.

    Raises KeyError for a model that the evaluator does not have (`ORIGINAL_NETWORKS`).
    """
    import torch

    from isbench.nn.runtime.compute import load_networks

    loaded = load_model(model, None, "random", device="cpu", backend="eager")
    assert loaded.runtime is not None
    card = load_card(model)
    assert card.networks is not None
    network = load_networks(partial(card.networks, **loaded.options), loaded.runtime)["network"]
    given = {
        **ORIGINAL_NETWORKS[model],
        **dict(getattr(network, "checkpoint_config")),  # noqa: B009 (typed as a tensor otherwise)
        "with_aux_output": True,
        "use_rgb_conv": False,
    }
    config = {
        "class": "isegm.model.is_hrnet_model.HRNetModel",
        "params": {
            name: {"type": "builtin", "value": value, "specified": True}
            for name, value in given.items()
        },
    }
    torch.save({"state_dict": network.state_dict(), "config": config}, path)
