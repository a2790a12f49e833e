"""A LazyFunction is a value; its function is imported when it is called."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import cv2
import pytest

from baselines.libraries import find_opencv_version, find_torch_version, find_version
from isbench.errors import IsbenchError
from isbench.lazy_function import LazyFunction
from isbench.models.source import digest_source
from isbench.types import ModelCard


def test_its_function_gets_the_bound_arguments_first() -> None:
    assert LazyFunction("builtins:dict", ([("a", 1)],))(b=2) == {"a": 1, "b": 2}
    assert LazyFunction("builtins:divmod", (7,))(2) == (3, 1)
    assert LazyFunction("builtins:dict.fromkeys")("ab", 0) == {"a": 0, "b": 0}


def test_equal_ones_are_equal_after_pickling_and_as_keys() -> None:
    one = LazyFunction("a.b:c", (1, LazyFunction("d:e")))
    assert pickle.loads(pickle.dumps(one)) == one
    assert {one: "found"}[LazyFunction("a.b:c", (1, LazyFunction("d:e")))] == "found"


@pytest.mark.parametrize("place", ["", "os", "os:", ":getcwd", "os.path.join", "os:a b", "1:2"])
def test_a_malformed_name_is_refused_when_it_is_made(place: str) -> None:
    with pytest.raises(IsbenchError, match=r"wanted package\.module:function"):
        LazyFunction(place)


@pytest.mark.parametrize("place", ["no_such_module:f", "os.no_such:f", "os:no_such", "os:path.no"])
def test_a_name_of_nothing_is_an_error_that_names_it(place: str) -> None:
    with pytest.raises(IsbenchError, match=f"function '{place}' does not exist"):
        LazyFunction(place)()


def test_a_library_that_its_module_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        LazyFunction("needy:f")()


def test_the_digests_of_its_code_are_those_of_the_function_itself() -> None:
    from baselines.ritm import build_predictor

    lazy = digest_source(ModelCard("one", LazyFunction("baselines.ritm:build_predictor")))
    assert lazy == digest_source(ModelCard("one", build_predictor))
    assert {"baselines.ritm", "isbench.nn.trunk", "isbench.nn.inference.options"} <= lazy.keys()


def test_versions_are_those_that_the_libraries_say() -> None:
    torch = pytest.importorskip("torch")
    assert find_opencv_version() == cv2.__version__
    assert find_torch_version() == torch.__version__.partition("+")[0]
    assert find_version("opencv-no-such-package", "cv2") == ""
    assert find_version("numpy", "no_such_module") == ""
    assert find_version("numpy", "numpy") == sys.modules["numpy"].__version__
