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
    assert not (data / FILE).exists()
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
    assert "not added: " in error


def test_a_damaged_list_of_names_is_an_error(isbench: Isbench, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    code, _, error = isbench("run", "--model", "nearest", "--dataset", "desk", "--data", tmp_path)
    assert (code, error.count("\n")) == (2, 1)
    assert FILE in error


@pytest.mark.parametrize("mode", [0o777, 0o555])
def test_a_shared_or_read_only_data_folder_is_left_alone(
    isbench: Isbench,
    folder_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    data, place = tmp_path / "data", f"folder:{folder_set}"
    data.mkdir()
    data.chmod(mode)
    assert isbench("data", "add", "desk", place, "--data", data)[0] == 0
    assert list(data.iterdir()) == []
    assert (tmp_path / "config" / "isbench" / FILE).exists()
    assert list_user_datasets(data) == {"desk": place}
    assert isbench("data", "remove", "desk", "--data", data)[0] == 0
    assert [path for path in (tmp_path / "config").rglob("*") if path.is_file()] == []


def test_names_in_a_data_folder_that_became_shared_are_still_read_and_removed(
    isbench: Isbench, folder_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    data, place = tmp_path / "data", f"folder:{folder_set}"
    assert isbench("data", "add", "desk", place, "--data", data)[0] == 0
    data.chmod(0o777)
    assert isbench("data", "add", "table", place, "--data", data)[0] == 0
    assert list_user_datasets(data) == {"desk": place, "table": place}
    code, printed, _ = isbench("data", "verify", "--data", data)
    assert code == 0
    assert "desk: 4/6 images/objects" in printed
    assert "table: 4/6 images/objects" in printed
    for name in ("desk", "table"):
        assert isbench("data", "remove", name, "--data", data)[0] == 0
    assert list_user_datasets(data) == {}


@pytest.mark.parametrize(
    "content", ["[]", "3", '{"a": 3}', '{"a": null}', '{"../x": "folder:/"}', "[" * 100_000,
                '{"a": "folder:x", "a": "folder:y"}',
                '{"a": "folder:\\ud800"}', "\xff"]
)  # fmt: skip
def test_a_list_of_names_of_another_kind_is_refused_in_one_line(
    isbench: Isbench, tmp_path: Path, content: str
) -> None:
    (tmp_path / FILE).write_bytes(content.encode("latin-1"))
    code, _, error = isbench("data", "list", "--data", tmp_path)
    assert (code, error.count("\n")) == (2, 1)
    assert f"cannot read {tmp_path / FILE}" in error


def test_verify_lists_what_is_wrong_with_every_set_of_ones_own(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert isbench("data", "add", "desk", f"folder:{folder_set}", "--data", data)[0] == 0
    assert isbench("data", "add", "table", f"folder:{folder_set}", "--data", data)[0] == 0
    for path in sorted((folder_set / "images").iterdir())[:2]:
        path.write_bytes(b"torn")
    next((folder_set / "masks").glob("*3__1.png")).unlink()
    code, printed, error = isbench("data", "verify", "--data", data)
    assert (code, error.count("\n")) == (2, 1)
    assert "objects of desk, table cannot be read" in error
    assert printed.count("cannot be read as an image") == 4
    assert printed.count("has no mask") == 2
