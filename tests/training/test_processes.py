"""Trainings in separate processes: several act as one, and a killed one continues."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from isbench.errors import IsbenchError
from isbench.training import train
from isbench.training.loop import WEIGHTS
from tests.support.tiny import CARD, RECIPE, STEADY, card, rows
from tests.support.waiting import HUNG, wait_until

ROOT = Path(__file__).parents[2]
FROZEN = {"freeze_norm": "on", "steps": "6", "checks.validation": "0", "checks.log": "1"}


def test_a_batch_must_divide_among_processes(
    toy_pack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(IsbenchError, match="batch is 4 and there are 3 processes"):
        train(card, toy_pack, tmp_path, recipe=RECIPE)


def _start(*arguments: object, processes: int = 0) -> subprocess.Popen[str]:
    run = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(run if processes else []), "-m", "isbench", "train", *arguments]
    return subprocess.Popen(
        [str(one) for one in command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_are_one_with_the_double_batch(toy_pack: str, tmp_path: Path) -> None:
    settings = [word for pair in FROZEN.items() for word in ("--set", "=".join(pair))]
    for processes in (0, 2):
        out = tmp_path / str(processes)
        started = _start(STEADY, "--data", toy_pack, "--out", out, *settings, processes=processes)
        said, _ = started.communicate(timeout=HUNG)
        assert started.returncode == 0, said
        assert said.count("done: weights are in") == 1
    one, two = (
        np.array(
            [[float(row["loss"]), float(row["iou"])] for row in rows(tmp_path / n / "log.csv")]
        )
        for n in ("0", "2")
    )
    assert one.shape == two.shape == (6, 2)
    assert np.allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_what_one_process_cannot_do_ends_all_of_them_in_one_line(
    toy_pack: str, tmp_path: Path
) -> None:
    settings = [word for pair in FROZEN.items() for word in ("--set", "=".join(pair))]
    settings += ["--set", "checks.checkpoint=2"]
    (tmp_path / "training.pt.tmp").mkdir()  # the first process cannot write a checkpoint
    started = _start(STEADY, "--data", toy_pack, "--out", tmp_path, *settings, processes=2)
    said, _ = started.communicate(timeout=HUNG)
    assert started.returncode != 0
    assert said.count("cannot write") == 1, said
    assert "exitcode  : 2" in said  # of a process; torchrun itself ends by 1
    assert "RuntimeError" not in said


_ALONE = """
import os
from isbench.errors import IsbenchError
from isbench.training.distributed import join_processes
try:
    with join_processes(2) as processes:
        with processes.share_errors():
            pass
        with processes.share_errors():
            if processes.rank == 1:
                raise IsbenchError("rank 1 alone")
        print("nobody gets here")
except IsbenchError as error:
    os.write(1, f"{processes.rank} hears of {error}\\n".encode())
"""


@pytest.mark.slow
def test_all_processes_raise_the_error_of_one(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(_ALONE)
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *run, str(tmp_path / "alone.py")],
        capture_output=True, text=True, timeout=HUNG, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert sorted(done.stdout.splitlines()) == [f"{k} hears of rank 1 alone" for k in (0, 1)]


@pytest.mark.slow
def test_a_killed_training_continues_bit_exactly(toy_pack: str, tmp_path: Path) -> None:
    settings = ("--set", "steps=60", "--set", "checks.validation=0")
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    started = _start(CARD, "--data", toy_pack, "--out", killed, *settings)
    wait_until((killed / "training.pt").exists, started)
    started.kill()
    started.communicate()
    for out, more in ((killed, ["--resume"]), (calm, [])):
        ended = _start(CARD, "--data", toy_pack, "--out", out, *settings, *more)
        said, _ = ended.communicate(timeout=HUNG)
        assert ended.returncode == 0, said
    assert (killed / WEIGHTS).read_bytes() == (calm / WEIGHTS).read_bytes()
    assert rows(killed / "log.csv") == rows(calm / "log.csv")
