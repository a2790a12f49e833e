"""The tables of a training: what cannot be written is one error that names the file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isbench.errors import IsbenchError
from isbench.training.training_log import LOG, VALIDATION, TrainingLog

resource = pytest.importorskip("resource")


@contextmanager
def limit_files(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: writing then fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_rows(folder: Path) -> None:
    with limit_files(20), TrainingLog(folder, 0) as log:  # closed on the full disk
        for step in range(1, 10):
            log.add_row(LOG, step, {"loss": 1.0})


def test_a_full_disk_is_one_error_that_names_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # not installed: it writes in a thread of its own, which the limit would end too
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    wanted = rf"^cannot write {tmp_path / LOG}: .*; free some space and resume$"
    with pytest.raises(IsbenchError, match=wanted):
        write_rows(tmp_path)


@pytest.mark.parametrize("name", [LOG, VALIDATION])
@pytest.mark.parametrize(
    "text", ["garbage\n", "loss,step\n1,2\n", "step,loss\n1\n", "step,loss\nx,1\n"]
)
def test_a_damaged_table_is_refused_before_the_first_step(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(IsbenchError, match=rf"{name} is damaged .*; move it elsewhere"):
        TrainingLog(tmp_path, 1)
    assert (tmp_path / name).read_text() == text


def test_rows_of_other_columns_are_kept(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("step,other\n1,2\n")
    with (
        TrainingLog(tmp_path, 1) as log,
        pytest.raises(IsbenchError, match=r"has the columns step, other; wanted step, loss"),
    ):
        log.add_row(LOG, 2, {"loss": 1.0})
    assert (tmp_path / LOG).read_text() == "step,other\n1,2\n"
