"""The file of one's own data sets, whatever is in it: listed, loaded and added to, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given

from isbench.datasets import load_dataset, user_datasets
from isbench.errors import IsbenchError
from tests.conftest import write_folder_set
from tests.support import hostile
from tests.support.fuzzing import check, fuzz


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_folder_set(folder / "set", objects=1)
    return folder


def use(data: Path) -> None:
    """Do what the commands do with the file."""
    for name in user_datasets.list_user_datasets(data):
        check(load_dataset, name, data)
        check(user_datasets.remove, name, data)


def use_all(data: Path, content: bytes) -> None:
    path = data / user_datasets.FILE
    path.write_bytes(content)
    check(use, data)
    path.write_bytes(content)
    check(load_dataset, "mine", data)
    check(user_datasets.add, "other", f"folder:{data / 'set'}", data)


SETS: dict[str, Any] = {"mine": "folder:set", "yours": "coco:a,b.json"}


@fuzz(0.6)
@example(sets={"mine": "mine"})
@example(sets={"mine": "yours", "yours": "mine"})
@example(sets={"mine": "folder:\0"})
@example(sets={"mine": "folder:" + "a" * 5_000})
@example(sets={"mine": "folder:\udcff"})
@example(sets={"mine": ["folder:set"], "yours": None})
@example(sets={"": ":", "sample": "folder:set"})
@given(sets=hostile.change(SETS))
def test_own_sets_with_another_value_are_listed_or_refused(data: Path, sets: Any) -> None:
    use_all(data, hostile.encode(sets))


@fuzz(0.4)
@example(content=b"")
@example(content=hostile.nest())
@example(content=hostile.nest(brackets="{}"))
@example(content=b'{"mine":' + b"9" * 5_000 + b"}")
@example(content=b'{"mine": ' + b" " * (65 << 20))
@given(content=hostile.corrupt(hostile.encode(SETS)))
def test_own_sets_with_other_bytes_are_listed_or_refused(data: Path, content: bytes) -> None:
    use_all(data, content)


def test_a_file_without_an_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / user_datasets.FILE).symlink_to("/dev/zero")
    with pytest.raises(IsbenchError, match="pipe or a device"):
        user_datasets.list_user_datasets(tmp_path)
