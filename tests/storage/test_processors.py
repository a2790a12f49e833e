"""Which processor a network's run was played on, which the file MACHINE keeps for others."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from isbench.errors import IsbenchError
from isbench.storage import processors, store
from isbench.storage.environment import describe_processor
from tests.support.recorded import record_network_run


def test_what_is_noted_outlives_the_meta_file_but_not_the_run(tmp_path: Path) -> None:
    run = record_network_run(tmp_path)
    noted = {store.parse_digest(run.path): describe_processor()}
    processors.write_processors(tmp_path, [run])
    assert processors.read_processors(tmp_path) == noted
    processors.write_processors(tmp_path, [replace(run, meta=())])
    assert processors.read_processors(tmp_path) == noted
    processors.write_processors(tmp_path, [])
    assert processors.read_processors(tmp_path) == {}


def test_a_processor_that_only_replayed_a_run_is_not_noted(tmp_path: Path) -> None:
    run = record_network_run(tmp_path)
    elsewhere = {"processor": "another", "rechecked": 1}
    processors.write_processors(tmp_path, [replace(run, meta=(*run.meta, elsewhere))])
    assert [*processors.read_processors(tmp_path).values()] == [describe_processor()]


def test_a_file_that_cannot_be_read_is_never_replaced(tmp_path: Path) -> None:
    run = record_network_run(tmp_path)
    (tmp_path / processors.FILE).mkdir()  # unreadable even for root
    with pytest.raises(IsbenchError, match=r"cannot read .*MACHINE"):
        processors.write_processors(tmp_path, [run])


@pytest.mark.parametrize(
    "text",
    ["", "garbage\nfoo", "0123456789ab a\n<<<<<<< 0123456789ac b\n", "0123456789ab a\n0123456789ac",
     "0123456789ab a\n0123456789ac b", "0123456789ab a\n0123456789ab b\n", "0123456789ab \n"],
)  # fmt: skip
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    run = record_network_run(tmp_path)
    (tmp_path / processors.FILE).write_text(text)
    with pytest.raises(IsbenchError, match=r"line .*of .*MACHINE is (damaged|cut).*restore"):
        processors.write_processors(tmp_path, [run])
    assert (tmp_path / processors.FILE).read_text() == text


def test_what_was_not_played_here_alone_is_not_noted(tmp_path: Path) -> None:
    run = record_network_run(tmp_path)
    here = {"host": platform.node(), "processor": describe_processor()}
    for meta in ((), ({"host": platform.node()},), (here, {**here, "processor": "another"})):
        processors.write_processors(tmp_path, [replace(run, meta=meta)])
        assert processors.read_processors(tmp_path) == {}
