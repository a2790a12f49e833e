"""Runs on real data that are killed at random moments, parent or worker: is anything lost?

`python -m tests.evaluation.random_kills --kills 300` needs GrabCut in ISBENCH_DATA or
../shared/data and prints one line of figures. Exit code 1: something was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from isbench.errors import IsbenchError
from isbench.storage import store
from isbench.types import Trajectory

ROOT = Path(__file__).parents[2]
_START = 2.0  # seconds in which a process starts; kills fall before and after


class Figures(NamedTuple):
    """What the kills did."""

    runs: int  # completed
    parents: int  # killed
    workers: int  # killed
    lost: int  # recorded objects that a later file does not have, or has with another game
    differing: int  # sealed files with other bytes than the uninterrupted run
    left_over: int  # files beside the sealed ones and their meta files
    failed: int  # commands that ended with another exit code than 0 without being killed


def kill_at_random(kills: int, data: Path, out: Path, seed: int = 0) -> Figures:
    """Run GrabCut with 1 and 2 workers in turn, kill processes, and compare what is recorded."""
    rng, counts = random.Random(seed), Counter[str]()
    whole = _finish(out / "whole", data, 1)
    seconds = time.monotonic()
    expected = _read_sealed(_finish(out / "timed", data, 1))
    seconds = time.monotonic() - seconds
    assert _read_sealed(whole) == expected
    while counts["parents"] + counts["workers"] < kills:
        folder, workers = out / f"run{counts['runs']}", 1 + counts["runs"] % 2
        recorded: dict[str, Trajectory] = {}
        for _ in range(rng.randrange(2, 8)):
            _interrupt(_command(folder, data, workers), rng, seconds, counts)
            recorded = _compare(folder, recorded, counts)
        done = subprocess.run(
            _command(folder, data, workers), cwd=ROOT, capture_output=True, text=True, check=False
        )
        counts["failed"] += done.returncode != 0
        _compare(folder, recorded, counts)
        counts["differing"] += done.returncode == 0 and _read_sealed(folder) != expected
        counts["left_over"] += len(_list_others(folder))
        counts["runs"] += 1
    return Figures(*(counts[name] for name in Figures._fields))


def _command(out: Path, data: Path, workers: int) -> list[str]:
    words = ("run", "--model", "nearest", "--dataset", "grabcut", "--stop-iou", "1.01")
    more = ("--workers", str(workers), "--out", str(out), "--data", str(data))
    return [sys.executable, "-m", "isbench", *words, *more]


def _finish(out: Path, data: Path, workers: int) -> Path:
    subprocess.run(_command(out, data, workers), cwd=ROOT, check=True, capture_output=True)
    return out


def _interrupt(
    command: Sequence[str], rng: random.Random, seconds: float, counts: Counter[str]
) -> None:
    """Start a run; kill some of its workers, and then the run itself unless it ends before."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + rng.uniform(0, seconds)
    while rng.random() < 0.7 and process.poll() is None:
        time.sleep(rng.uniform(0, max(0.0, end - time.monotonic())))
        if workers := _list_children(process.pid):
            with suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
                counts["workers"] += 1
    time.sleep(max(0.0, end - time.monotonic()))
    if process.poll() is None:
        process.kill()
        counts["parents"] += 1
    process.wait()


def _list_children(pid: int) -> list[int]:
    """Return the processes that a process started, but the one that multiprocessing needs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        commands = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in children}
    except OSError:
        return []
    return [one for one, words in commands.items() if b"spawn_main" in words]


def _compare(
    out: Path, before: dict[str, Trajectory], counts: Counter[str]
) -> dict[str, Trajectory]:
    """Return the recorded games by object; those of `before` that are not there count as lost."""
    now: dict[str, Trajectory] = {}
    for path in store.find(out):
        with suppress(IsbenchError):  # empty, or damaged: then all games before count as lost
            now = {game.key: game for game in store.read(path).trajectories}
    counts["lost"] += sum(now.get(key) != game for key, game in before.items())
    return now


def _read_sealed(out: Path) -> bytes:
    (path,) = out.rglob(f"*{store.SEALED}")
    return path.read_bytes()


def _list_others(out: Path) -> list[Path]:
    wanted = (store.SEALED, store.META)
    return [path for path in out.rglob("*") if path.is_file() and not path.name.endswith(wanted)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    default = os.environ.get("ISBENCH_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = kill_at_random(arguments.kills, arguments.data, Path(folder), arguments.seed)
    print(json.dumps(figures._asdict()))
    sys.exit(any(figures[3:]))


if __name__ == "__main__":
    main()
