"""Closed, full and narrow streams: one line or a quiet end, and the record is whole."""

from __future__ import annotations

import errno
import io
import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from isbench.cli import main
from isbench.storage import store
from tests.conftest import write_folder_set

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder_set(tmp_path_factory.mktemp("data") / "set", objects=2)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the sealed bytes of a run that writes where it likes."""
    out = tmp_path_factory.mktemp("whole")
    call(f"{run(data, out)}")
    return read_sealed(out)


def run(data: Path, out: Path) -> str:
    words = ["run", "--model", "nearest", "--dataset", f"folder:{data}", "--max-clicks", "2"]
    return shlex.join([sys.executable, "-m", "isbench", *words, "--out", str(out)])


def call(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done


def read_sealed(out: Path) -> bytes:
    (path,) = store.find(out)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        (">&-", 0),
        ("2>&-", 0),
        (">&- 2>&-", 0),
        ("<&- >&- 2>&-", 0),
        ("> /dev/full", 2),
        ("2> /dev/full", 0),
        ("> /dev/full 2> /dev/full", 2),
        ("| head -c 1", 0),
        ("2>&1 | head -c 1", 0),
        ("| true", 0),
    ],
)
def test_a_run_is_recorded_wherever_its_output_goes(
    data: Path, whole: bytes, tmp_path: Path, redirection: str, code: int
) -> None:
    done = call(f"{run(data, tmp_path)} {redirection}")
    assert done.returncode == code, done.stderr
    assert read_sealed(tmp_path) == whole
    if redirection == "> /dev/full":
        assert done.stderr.splitlines()[-1] == (
            "isbench: cannot write to standard output: No space left on device; recorded results "
            "are kept"
        )


@pytest.mark.parametrize("words", ["--help", "models", "run --model x", "datasets"])
def test_every_command_says_in_one_line_that_its_output_is_full(words: str) -> None:
    done = call(f"{shlex.quote(sys.executable)} -m isbench {words} > /dev/full")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"LC_ALL": "C"}, marks=pytest.mark.slow),
        pytest.param({"PYTHONIOENCODING": "ascii"}, marks=pytest.mark.slow),
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_names_that_no_encoding_knows_are_printed_or_refused(
    data: Path, whole: bytes, tmp_path: Path, variables: dict[str, str]
) -> None:
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/o\xe9"))
    done = call(run(data, out), **variables)
    assert done.returncode == 0, done.stderr
    assert read_sealed(out) == whole
    report = f"{shlex.quote(sys.executable)} -m isbench report {shlex.quote(str(out))}"
    assert call(f"{report} --html {shlex.quote(str(out / 'x.html'))}", **variables).returncode == 0
    strange = write_folder_set(tmp_path / "set", objects=1)
    strange = strange.rename(os.fsdecode(os.fsencode(tmp_path) + b"/s\xe9"))
    done = call(run(strange, tmp_path / "other"), **variables)
    assert done.returncode == 2
    assert "names that are not UTF-8" in done.stderr.splitlines()[-1]
    for folder in ("images", "masks"):
        for path in (strange / folder).iterdir():
            path.rename(path.with_name(path.name.replace("00", "\udce9")))
    fine = strange.rename(tmp_path / "fine")
    done = call(run(fine, tmp_path / "other"), **variables)
    assert done.returncode == 2
    assert r"\udce9" in done.stderr.splitlines()[-1]


def test_a_call_within_a_process_leaves_its_output_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.TextIOWrapper):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (tmp_path / "printed").open("wb", buffering=0) as file:
        stream = Full(file)
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit):
            main(["run", "--no-such-option"])
        file.write(b"what follows")
        with suppress(OSError):
            stream.detach()
    assert (tmp_path / "printed").read_bytes() == b"what follows"
