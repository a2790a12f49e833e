"""The tables of a training: what cannot be written is one error that names the file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isbench.errors import IsbenchError
from isbench.training.training_log import LOG, TrainingLog

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
