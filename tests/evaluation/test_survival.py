"""Real processes that are killed, run out of disk or meet each other: nothing recorded is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from isbench.storage import store
from tests.conftest import write_folder_set
from tests.evaluation.random_kills import kill_at_random
from tests.support.toys import GATE, GATE_AT
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
TOY = "tests.support.toys:gated_card"


def command(data: Path, out: Path, *more: str, before: str = "") -> list[str]:
    # a shell lets what it runs in the background ignore Ctrl-C
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heeding}\n{before}\nfrom isbench.cli import main\nif __name__ == '__main__': main()"
    options = ("run", "--model", TOY, "--dataset", f"folder:{data}", "--stop-iou", "1.01")
    limits = ("--max-clicks", "5", "--out", str(out))
    return [sys.executable, "-c", code, *options, *limits, *more]


def start(arguments: list[str], gate: Path | None = None, at: int = 40) -> subprocess.Popen[str]:
    """Start a run; with a gate, each process of it waits there after so many answers."""
    gated = {}
    if gate is not None:
        gate.touch()
        gated = {GATE: str(gate), GATE_AT: str(at)}
    return subprocess.Popen(
        arguments,
        cwd=ROOT,
        env={**os.environ, **gated},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def count_recorded(out: Path) -> int:
    """Return the games that unfinished runs have on disk."""
    files = [path for path in out.rglob("*.jsonl") if not path.name.endswith(store.META)]
    return sum(max(0, path.read_bytes().count(b"\n") - 1) for path in files)


def has_more(out: Path, before: int) -> bool:
    return count_recorded(out) > before


def finish(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def read_sealed(out: Path) -> bytes:
    (path,) = store.find(out)
    assert path.name.endswith(store.SEALED)
    return path.read_bytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder_set(tmp_path_factory.mktemp("data") / "set", objects=60, images=30)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the sealed bytes of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert finish(command(data, out, "--workers", "1")).returncode == 0
    return read_sealed(out)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_kill_at_any_moment_and_the_same_command_gives_the_same_bytes(
    data: Path, whole: bytes, tmp_path: Path, workers: str
) -> None:
    rng = random.Random(int(workers))
    for number in range(6):
        out, gate = tmp_path / str(number), tmp_path / "gate"
        for _ in range(4):
            before = count_recorded(out)
            # it cannot end: each process waits after 60 of 300 answers at most
            process = start(command(data, out, "--workers", workers), gate, rng.randrange(6, 60))
            if rng.random() < 0.8:  # let the kill fall on the playing, not on the start-up
                wait_until(partial(has_more, out, before), process)
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
            process.communicate()
        assert finish(command(data, out, "--workers", workers)).returncode == 0
        assert read_sealed(out) == whole
        assert not [path for path in out.rglob("*.tmp") if path.is_file()]


@pytest.mark.slow
def test_random_kills_of_runs_on_real_data_lose_nothing(real_data: Path, tmp_path: Path) -> None:
    if not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists():
        pytest.skip("this system does not list a process's children in /proc")
    figures = kill_at_random(20, real_data, tmp_path)
    assert figures.parents + figures.workers >= 20
    assert figures[3:] == (0, 0, 0, 0)


def test_workers_end_when_their_parent_is_killed(data: Path, tmp_path: Path) -> None:
    process = start(command(data, tmp_path / "out", "--workers", "2"))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        process.communicate()
        pytest.skip("this system does not list a process's children in /proc")
    wait_until(lambda: len(children.read_text().split()) >= 2, process)
    workers = children.read_text().split()
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(_lives, workers)))


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("size", [300, 2_000, 6_000])
def test_a_full_disk_is_said_and_the_same_command_goes_on(
    data: Path, whole: bytes, tmp_path: Path, size: int
) -> None:
    full = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    done = finish(command(data, tmp_path, "--workers", "1", before=full))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("isbench: cannot write")
    assert "run the same command again to resume" in last
    (left,) = store.find(tmp_path)
    recorded = len(store.read(left).trajectories) if left.stat().st_size else 0
    assert (recorded > 0) == (size > 1_000)
    again = finish(command(data, tmp_path, "--workers", "1"))
    assert again.returncode == 0
    assert read_sealed(tmp_path) == whole
    assert f"{recorded} of 60 objects are already recorded" in again.stderr or not recorded


def test_a_second_run_at_the_same_time_is_refused(data: Path, whole: bytes, tmp_path: Path) -> None:
    out, gate = tmp_path / "out", tmp_path / "gate"
    first = start(command(data, out, "--workers", "1"), gate)
    wait_until(lambda: count_recorded(out), first)
    second = finish(command(data, out, "--workers", "1"))
    gate.unlink()
    assert second.returncode == 2
    assert "is open in another process" in second.stderr.splitlines()[-1]
    first.communicate()
    assert first.returncode == 0
    assert read_sealed(out) == whole


def test_an_interrupt_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(command(data, out, "--workers", "2"), tmp_path / "gate")
    wait_until(lambda: count_recorded(out), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "run the same command again to resume" in errors.splitlines()[-1]
