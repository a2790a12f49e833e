"""Real processes that are killed, run out of disk or meet each other: nothing recorded is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isbench import store
from tests.conftest import write_folder_set

ROOT = Path(__file__).parents[1]
SLOW_TOY = "tests.toys:slow_card"


def command(data: Path, out: Path, *more: str, before: str = "") -> list[str]:
    code = f"{before}\nfrom isbench.cli import main\nif __name__ == '__main__': main()"
    options = ("run", "--model", SLOW_TOY, "--dataset", f"folder:{data}", "--stop-iou", "1.01")
    limits = ("--max-clicks", "5", "--out", str(out))
    return [sys.executable, "-c", code, *options, *limits, *more]


def finished(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def sealed(out: Path) -> bytes:
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
    assert finished(command(data, out, "--workers", "1")).returncode == 0
    return sealed(out)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "games"), [("1", 6), ("2", 6)])
def test_kill_at_any_moment_and_the_same_command_gives_the_same_bytes(
    data: Path, whole: bytes, tmp_path: Path, workers: str, games: int
) -> None:
    lots = random.Random(int(workers))
    kills = 0
    for number in range(games):
        out = tmp_path / str(number)
        for _ in range(40):
            process = subprocess.Popen(
                command(data, out, "--workers", workers),
                cwd=ROOT,
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            recorded = sum(path.stat().st_size for path in out.rglob("*.jsonl"))
            until = time.monotonic() + lots.uniform(0.0, 0.9)
            while process.poll() is None and time.monotonic() < until:
                now = sum(path.stat().st_size for path in list(out.rglob("*.jsonl")))
                if now == recorded:  # let the draw fall on the playing, not on the start-up
                    until = max(until, time.monotonic() + 0.02)
                time.sleep(0.005)
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        assert finished(command(data, out, "--workers", workers)).returncode == 0
        assert sealed(out) == whole
        assert not [path for path in out.rglob("*.tmp") if path.is_file()]
    assert kills >= 2 * games


def test_workers_end_when_their_parent_is_killed(data: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(data, tmp_path / "out", "--workers", "2"),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        process.wait()
        pytest.skip("this system does not list a process's children in /proc")
    until = time.monotonic() + 20
    while len(children.read_text().split()) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    workers = children.read_text().split()
    process.kill()
    process.wait()
    while any(map(_lives, workers)) and time.monotonic() < until:
        time.sleep(0.02)
    assert workers
    assert not any(map(_lives, workers))


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
    done = finished(command(data, tmp_path, "--workers", "1", before=full))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("isbench: cannot write")
    assert "goes on from there" in last
    (left,) = store.find(tmp_path)
    recorded = len(store.read(left).trajectories) if left.stat().st_size else 0
    assert (recorded > 0) == (size > 1_000)
    again = finished(command(data, tmp_path, "--workers", "1"))
    assert again.returncode == 0
    assert sealed(tmp_path) == whole
    assert f"{recorded} of 60 objects were recorded before" in again.stderr or not recorded


def test_a_second_run_at_the_same_time_is_refused(data: Path, whole: bytes, tmp_path: Path) -> None:
    first = subprocess.Popen(
        command(data, tmp_path, "--workers", "1"),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 20
    while not list(tmp_path.rglob("*.jsonl")) and time.monotonic() < until:
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGSTOP)  # it holds its lock as long as it takes
    second = finished(command(data, tmp_path, "--workers", "1"))
    os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 2
    assert "is being played by another process" in second.stderr.splitlines()[-1]
    assert first.wait() == 0
    assert sealed(tmp_path) == whole


def test_an_interrupt_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(data, tmp_path, "--workers", "2"), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 20
    while time.monotonic() < until and not any(
        path.stat().st_size > 2_000 for path in tmp_path.rglob("*.jsonl")
    ):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "the same command goes on from there" in errors.splitlines()[-1]
