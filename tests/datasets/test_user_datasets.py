"""Pictures of one's own under a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.user_datasets import FILE, list_user_datasets
from isbench.storage import store

Isbench = Callable[..., tuple[int, str, str]]


def test_a_named_set_is_its_folder(isbench: Isbench, folder_set: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, out, said = isbench("data", "add", "desk", f"folder:{folder_set}", "--data", data)
    assert code == 0, said
    plain = load_dataset(f"folder:{folder_set}")
    named = load_dataset("desk", data)
    assert (named.keys, named.files) == (plain.keys, plain.files)
    assert (named.name, named.longest_side) == ("desk", plain.longest_side)
    assert str(fingerprint(plain)) in out
    played = ["--model", "nearest", "--max-clicks", 2, "--data", data, "--out", tmp_path / "runs"]
    assert isbench("run", "--dataset", "desk", *played)[0] == 0
    (path,) = store.find(tmp_path / "runs")
    spec = store.read(path).spec
    assert (spec.dataset, spec.fingerprint) == ("desk", fingerprint(plain))
    for words in (["data", "list"], ["datasets"], ["data", "verify", "desk"]):
        code, out, _ = isbench(*words, "--data", data)
        assert code == 0
        assert "desk" in out
    assert isbench("data", "remove", "desk", "--data", data)[0] == 0
    assert list_user_datasets(data) == {}
    assert (folder_set / "images").is_dir()


def test_a_relative_path_is_kept_whole(
    isbench: Isbench, folder_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder_set.parent)
    asked = ["data", "add", "desk", f"folder:{folder_set.name}", "--data", tmp_path / "data"]
    assert isbench(*asked)[0] == 0
    assert list_user_datasets(tmp_path / "data") == {"desk": f"folder:{folder_set}"}


def test_names_that_do_not_do_are_refused(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    place, data = f"folder:{folder_set}", tmp_path / "data"
    for words, said in (
        (["add", "grabcut", place], "grabcut is a built-in data set"),
        (["add", "a:b", place], "wanted letters"),
        (["add", "../x", place], "wanted letters"),
        (["add", "desk", f"folder:{tmp_path / 'none'}"], "none"),
        (["add", "desk", "sample"], "wanted coco:IMAGES_DIR,ANNOTATIONS.json or folder:PATH"),
        (["remove", "desk"], "no custom data set named 'desk'"),
    ):
        code, _, error = isbench("data", *words, "--data", data)
        assert (code, error.count("\n")) == (2, 1), error
        assert said in error
    assert not (data / FILE).exists()


def test_a_picture_that_cannot_be_read_keeps_a_set_out(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    next((folder_set / "images").iterdir()).write_bytes(b"torn")
    asked = ["data", "add", "desk", f"folder:{folder_set}", "--data", tmp_path / "data"]
    code, _, error = isbench(*asked)
    assert code == 2
    assert "was not added: " in error


def test_a_damaged_list_of_names_is_told(isbench: Isbench, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    code, _, error = isbench("run", "--model", "nearest", "--dataset", "desk", "--data", tmp_path)
    assert (code, error.count("\n")) == (2, 1)
    assert FILE in error
