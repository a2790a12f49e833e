"""Play the same games with another evaluator and with isbench, and compare clicks and speed.

    python -m benchmarks.evaluate --data ../data    # takes 20 minutes
    python -m benchmarks.evaluate --model csfpn-lite --dataset sample --objects 4 --clicks 5
    python -m benchmarks.evaluate --model ritm-hrnet18 --dataset grabcut --original ../ritm --whole

Each way (`benchmarks/ways.py`) runs in its own processes, one after the other. The first is what
the others are compared with: the plain evaluator (`benchmarks/plain.py`: batch 1 with its mirror
image, eager PyTorch, all threads), or with --original the original RITM evaluator, from a checkout
of its repository, on the same weight file. Then follow isbench with each backend and number of
workers, and the command `isbench run` on the CPU. All play the first objects of a data set to the
last click.

Each way plays one click on one object twice, with nothing in the cache of compiled networks
(first_s) and with them there (start_s), and then all objects, with them there. Seconds are those
of whole processes, from start to end; cpu_s counts all cores. `whole_ratio` compares whole
processes: `isbench run` checks files and writes records, the plain evaluator and isbench with one
worker do not. `ratio` compares clicks per second from the end of the first object on, without what
the start takes. Only ratios within one run are meaningful. With --guard the exit code is 1 if the
games of more than a fifth of the objects differ, or if whole_ratio of `isbench run` is below the
given number.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.original import DATASETS
from benchmarks.ways import (
    ORIGINAL_NETWORKS,
    Task,
    Way,
    call_in_child,
    count_rate,
    run_child,
    run_way,
)
from isbench.evaluation.executors.processes import count_cores
from isbench.models.registry import load_card
from isbench.nn.runtime import openvino
from isbench.storage.environment import describe_processor

if TYPE_CHECKING:
    import pandas as pd

_SUBJECT = ["model", "dataset", "way", "objects", "clicks", "identical"]
# the columns of the two tables, and how they are printed
TABLES = (
    {
        "whole_ratio": "{:.2f}", "whole_s": "{:.1f}", "cpu_s": "{:.1f}", "start_s": "{:.1f}",
        "first_s": "{:.1f}", "memory_mib": "{:.0f}",
    },
    {
        "ratio": "{:.2f}", "objects_per_s": "{:.3f}", "p50_s": "{:.3f}", "p95_s": "{:.3f}",
        "model_share": "{:.1%}", "clicker_share": "{:.2%}", "loading_share": "{:.2%}",
        "of_peak": "{:.0%}",
    },
)  # fmt: skip


def list_ways(options: argparse.Namespace) -> list[Way]:
    """Return the ways to play, first the one that the others are compared with."""
    cores = count_cores()
    ways = [Way("original" if options.original else "plain", 1, cores)]
    installed = ["eager", *(["openvino"] if openvino.is_installed() else [])]
    for name in [] if options.whole else [options.backend] if options.backend else installed:
        ways += [Way(name, 1, 1), Way(name, 1, cores), Way(name, cores, 1)]
    return [*dict.fromkeys(ways), Way("command", cores, 1)]


def measure_ways(task: Task, ways: list[Way]) -> Iterator[dict[str, Any]]:
    """Run every way and yield its row of the table."""
    reference, work = None, 0.0
    counts = {way.workers * way.threads for way in ways}
    peaks = {count: call_in_child("measure_peak", count) for count in counts}
    for way in ways:
        with TemporaryDirectory() as cache:
            one_click = replace(task, objects=1, clicks=1)
            first = run_way(one_click, way, Path(cache))
            start = run_way(one_click, way, Path(cache))
            done = run_way(task, way, Path(cache))
        result = done.result
        reference = reference or done
        games, wanted = result["games"], reference.result["games"]
        clicks = sum(map(len, games.values()))
        rate = count_rate(result["ends"], way.workers) if "ends" in result else None
        wanted_rate = count_rate(reference.result["ends"], 1)
        work = work or call_in_child("count_flops", task.model, reference.result["sizes"]) / clicks
        seconds = result.get("seconds")
        yield {
            "model": task.model,
            "dataset": task.dataset,
            "way": way.name,
            "objects": len(games),
            "clicks": clicks,
            "identical": sum(games[key] == game for key, game in wanted.items()),
            "whole_ratio": reference.seconds / done.seconds,
            "whole_s": done.seconds,
            "cpu_s": done.cpu_seconds,
            "start_s": start.seconds,
            "first_s": first.seconds,
            "memory_mib": done.memory,
            "ratio": rate / wanted_rate if rate and wanted_rate else None,
            "objects_per_s": rate * len(games) / clicks if rate else None,
            "p50_s": float(np.percentile(seconds, 50)) if seconds else None,
            "p95_s": float(np.percentile(seconds, 95)) if seconds else None,
            **{f"{share}_share": result.get(share) for share in ("model", "clicker", "loading")},
            "of_peak": rate * work / peaks[way.workers * way.threads] if rate else None,
        }
        print(".", end="", file=sys.stderr, flush=True)


def format_table(table: pd.DataFrame, formats: dict[str, str]) -> str:
    """Return the columns that have a format as a table in markdown, without rows that lack all."""
    import pandas as pd

    table = table[[*_SUBJECT, *formats]].dropna(how="all", subset=list(formats))
    lines = [list(table.columns), ["---"] * len(table.columns)]
    for line in table.to_dict("records"):
        lines.append(
            [
                "" if pd.isna(value) else formats.get(str(name), "{}").format(value)
                for name, value in line.items()
            ]
        )
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def parse() -> argparse.Namespace:
    """Return the options; ends the process for those that cannot be played."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="repeatable")
    parser.add_argument("--dataset", action="append", help="repeatable")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--objects", type=int, default=16, help="how many of the first objects")
    parser.add_argument("--clicks", type=int, default=6)
    parser.add_argument("--weights", help="weight file [default: bundled, else random]")
    parser.add_argument(
        "--original", type=Path, metavar="PATH", help="checkout of the original RITM evaluator"
    )
    parser.add_argument(
        "--original-python",
        default=sys.executable,
        metavar="PYTHON",
        help="Python interpreter that runs the original evaluator [default: this one]",
    )
    parser.add_argument("--backend", help="run only this backend of isbench")
    parser.add_argument(
        "--whole", action="store_true", help="run no other way of isbench than `isbench run`"
    )
    parser.add_argument("--out", type=Path, help="write the table as CSV")
    parser.add_argument("--guard", type=float, help="smallest acceptable ratio of `isbench run`")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    own = ["ritm-hrnet18"] if options.original else ["ritm-hrnet18", "csfpn-lite"]
    options.model = options.model or own
    options.dataset = options.dataset or ["grabcut", "davis"]
    if options.whole and options.backend:
        parser.error("--whole leaves out what --backend chooses; give one of them")
    if options.weights and Path(options.weights).exists():
        options.weights = str(Path(options.weights).resolve())
    if os.sep in options.original_python:  # not resolved: the link of a virtual environment counts
        options.original_python = os.path.abspath(options.original_python)
    if options.original and (message := find_fault(options)):
        parser.error(message)
    return options


def find_fault(options: argparse.Namespace) -> str | None:
    """Return why the original evaluator cannot play the options, None if it can."""
    if not (options.original / "isegm" / "inference" / "evaluation.py").is_file():
        return f"{options.original} has no isegm/inference/evaluation.py"
    if unknown := sorted(set(options.dataset) - set(DATASETS)):
        return f"the original evaluator plays {', '.join(DATASETS)}; got {unknown[0]}"
    others = [name for name in options.model if name not in ORIGINAL_NETWORKS]
    if others and not options.weights:
        return f"without --weights it plays {', '.join(ORIGINAL_NETWORKS)}; got {others[0]}"
    return None


def list_tasks(options: argparse.Namespace, folder: Path) -> Iterator[Task]:
    """Yield what is played; random weights for the original evaluator are written to a folder."""
    for model in options.model:
        weights = options.weights or (None if load_card(model).bundled else "random")
        if options.original and not options.weights:
            weights = str(folder / f"{model}.pth")
            call_in_child("write_checkpoint", model, weights)
        for dataset in options.dataset:
            yield Task(
                model,
                weights,
                dataset,
                str(options.data.resolve()) if options.data else None,
                options.objects,
                options.clicks,
                str(options.original.resolve()) if options.original else None,
                options.original_python,
            )


def main() -> None:
    options = parse()
    if options.child:
        run_child(options.child)
        return
    lines: list[dict[str, Any]] = []
    try:
        with TemporaryDirectory() as folder:
            for task in list_tasks(options, Path(folder)):
                for line in measure_ways(task, list_ways(options)):
                    lines.append(line)
    finally:  # if a way fails, what was measured before it is not lost
        if lines:
            print_table(lines, options.out)
    guard(lines, options.guard)


def print_table(lines: list[dict[str, Any]], out: Path | None) -> None:
    """Print the tables of what was measured; also write it as CSV."""
    import pandas as pd

    table = pd.DataFrame(lines)
    print(f"\n{describe_processor()}, {count_cores()} cores\n")
    print(*(format_table(table, formats) for formats in TABLES), sep="\n\n")
    if out:
        table.to_csv(out, index=False, float_format="%.6g")


def guard(lines: list[dict[str, Any]], wanted: float | None) -> None:
    """End with exit code 1 if `isbench run` is too slow, or plays other games."""
    if wanted is None:
        return
    least = min(line["whole_ratio"] for line in lines if line["way"] == "isbench run")
    # on a processor that rounds differently a pixel, and with it a game, may differ
    if least < wanted or any(line["identical"] < 0.8 * line["objects"] for line in lines):
        sys.exit(f"ratio {least:.2f}, wanted {wanted}; or games differ: see the tables")


if __name__ == "__main__":
    main()
