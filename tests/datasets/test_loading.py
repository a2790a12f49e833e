"""A third-party data set that fails while it loads an object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.loading import load_sample
from isbench.datasets.verify import verify_dataset
from isbench.errors import DatasetError, IsbenchError
from isbench.evaluation.runner import run
from isbench.storage import store
from isbench.types import Dataset, Rules, Sample
from tests.support import toys
from tests.support.packages import install_package

Isbench = Callable[..., tuple[int, str, str]]

READER = """
import numpy as np
from pathlib import Path
from isbench import Dataset, Reader, Sample

def load(key):
    number = int(key[1])
    if number == 2:
        {fault}
    image = np.full((24, 32, 3), 50 * number, np.uint8)
    truth = np.zeros((24, 32), bool)
    truth[5:15, 8:20] = True
    return Sample(key, image, truth, np.zeros_like(truth))

def read(place, data):
    keys = tuple(f"i{{k}}#1" for k in range(4))
    return Dataset("{name}:x", keys, load, {{"about": Path(__file__)}})

reader = Reader("{name}", "PATH", read)
"""
FAULTS = {
    "raises": "raise KeyError('no such\\nobject')",
    "divides": "1 / 0",
    "exits": "raise SystemExit(0)",
    "reads": "open('/nonexistent/file')",
    "imports": "import no_such_library",
    "recurses": "load(key)",
    "returns nothing": "return None",
    "returns a tuple": "return (1, 2)",
    "returns another": "key = 'i0#1'",
    "returns wrong arrays": "return Sample(key, np.zeros((4, 4, 3), np.uint8), [1], [2])",
}


@pytest.mark.parametrize(
    ("kind", "workers"), [*((kind, 1) for kind in FAULTS), ("raises", 2), ("returns nothing", 2)]
)
def test_a_failure_names_the_data_set_and_the_object_and_keeps_the_record(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, workers: int
) -> None:
    name = f"toy{list(FAULTS).index(kind)}w{workers}"
    code = READER.format(fault=FAULTS[kind], name=name)
    points = {"isbench.readers": {name: f"module_{name}:reader"}}
    install_package(monkeypatch, tmp_path / "site", {f"module_{name}": code}, points)
    words = ("--model", "nearest", "--dataset", f"{name}:x", "--max-clicks", 2)
    out = tmp_path / "runs"
    exit_code, printed, errors = isbench("run", *words, "--workers", workers, "--out", out)
    assert exit_code == (2 if kind == "returns wrong arrays" else 1)
    assert printed == ""
    (said,) = (line for line in errors.splitlines() if "object i2#1" in line)
    assert said.startswith("isbench: ")
    assert "Traceback" not in errors
    if exit_code == 1:
        assert f"data set {name}:x, object i2#1: load " in said
    if workers == 1:
        (path,) = store.find(out)
        assert {game.key for game in store.read(path).trajectories} == {"i0#1", "i1#1"}
    assert "object i2#1" in isbench("data", "verify", f"{name}:x")[1]


def test_a_reader_that_fails_is_one_line(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from isbench import Reader\n"
        "def fail(*_):\n    raise ValueError('bad')\n"
        "reader = Reader('faulty', 'PATH', fail, resolve=fail)\n"
    )
    points = {"isbench.readers": {"faulty": "faulty_reader:reader"}}
    install_package(monkeypatch, tmp_path / "site", {"faulty_reader": code}, points)
    for words in (
        ("run", "--model", "nearest", "--dataset", "faulty:x"),
        ("data", "verify", "faulty:x"),
        ("data", "add", "mine", "faulty:x", "--data", tmp_path),
    ):
        exit_code, printed, errors = isbench(*words)
        assert (exit_code, printed) == (2, "")
        assert errors.startswith("isbench: reader faulty cannot re")
        assert errors.count("\n") == 1


def make_faulty(fault: Any) -> Dataset:
    """Return toys of which the second object cannot be loaded."""
    whole = toys.blobs(3)

    def load(key: str) -> Sample:
        if key == whole.keys[1]:
            raise fault
        return whole.load(key)

    return replace(whole, load=load, files={"about": Path(__file__)})


def test_a_run_from_python_names_the_object_too(tmp_path: Path) -> None:
    data = make_faulty(RuntimeError("broken"))
    with pytest.raises(DatasetError, match=r"load raised RuntimeError: broken \(test_loading"):
        run(toys.card, data, Rules(2, 1.01), out=tmp_path)
    (path,) = store.find(tmp_path)
    assert len(store.read(path).trajectories) == 1
    run(toys.card, replace(data, load=toys.blobs(3).load), Rules(2, 1.01), out=tmp_path)


def test_an_error_for_the_user_is_passed_on_as_it_is() -> None:
    data = make_faulty(IsbenchError("the picture is damaged"))
    with pytest.raises(IsbenchError, match=r"^the picture is damaged$") as error:
        load_sample(data, data.keys[1])
    assert error.value.exit_code == 2


def test_an_interrupt_is_not_an_error_of_the_data_set() -> None:
    data = make_faulty(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        load_sample(data, data.keys[1])


def test_every_use_of_a_data_set_names_the_object() -> None:
    data = make_faulty(OSError("gone"))
    assert any("load raised OSError: gone" in fault for fault in verify_dataset(data).faults)
    with pytest.raises(DatasetError, match="load raised OSError: gone"):
        fingerprint(replace(data, files={}))


def test_a_sample_is_loaded_as_it_is() -> None:
    data = toys.blobs(2)
    for key in data.keys:
        found, wanted = load_sample(data, key), data.load(key)
        assert np.array_equal(found.truth, wanted.truth)
