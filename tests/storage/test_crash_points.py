"""A run that is killed, or whose disk fails, at any file operation loses nothing and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.crash_points import FAULTS

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("kind", "every"),
    [
        ("kill within a write", 7),
        ("failing disk", 7),
        *(pytest.param(kind, 1, marks=pytest.mark.slow) for kind in FAULTS),
    ],
)
def test_an_interruption_at_any_file_operation_loses_nothing(
    tmp_path: Path, kind: str, every: int
) -> None:
    words = ["-m", "tests.support.crash_points", str(tmp_path), str(every), kind]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in done.stdout.splitlines()]
    (whole,) = (tmp_path / "first").rglob("*.jsonl.gz")
    least = 40 if sys.version_info >= (3, 11) else 30  # fewer operations on Python 3.10
    assert len(points) > least // every
    most = 0
    for point in points:
        where = f"{kind} at operation {point['at']} ({point['operation']})"
        last = (point["errors"].splitlines() or [""])[-1]
        if kind.startswith("kill"):
            assert point["status"] == -9, where
            assert 0 <= most <= point["recorded"] or point["recorded"] == -1, where
            most = point["recorded"]
        elif point["status"] != 0:  # 0: what failed was not needed
            assert point["status"] == 2, (where, point["errors"])
            assert last.startswith("isbench: cannot "), (where, last)
            assert str(tmp_path) in last, (where, last)
        assert "Traceback" not in point["errors"] + point["errors_again"], where
        assert point["again"] == 0, (where, point["errors_again"])
        if point["recorded"] > 0:
            assert f"{point['recorded']} of 3 objects are already recorded" in point["errors_again"]
        assert bytes.fromhex(point["bytes"]) == whole.read_bytes(), where
        assert {name.partition(".")[2] for name in point["files"]} == {
            "jsonl.gz",
            "masks",
            "meta.jsonl",
        }, where
