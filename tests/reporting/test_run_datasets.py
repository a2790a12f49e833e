"""Runs on one's own files: their files are found again, and no others are taken for them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from isbench.storage import store
from tests.conftest import write_folder_set
from tests.reporting.test_html_report import data_of

Isbench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def away(
    isbench: Isbench, folder_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Play a folder of one's own, go to another folder, and return the folder of the runs."""
    monkeypatch.chdir(folder_set.parent)
    for place in ("set", folder_set):  # the relative one is recorded with its absolute place
        played = ["--dataset", f"folder:{place}", "--model", "nearest", "--max-clicks", 2]
        assert isbench("run", *played, "--out", tmp_path / "runs")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "runs"


def test_a_folder_is_found_again_from_anywhere(
    isbench: Isbench, away: Path, folder_set: Path, tmp_path: Path
) -> None:
    code, _, said = isbench("report", away, "--html", tmp_path / "r.html")
    assert (code, said) == (0, "")
    assert len(data_of(tmp_path / "r.html")["pictures"]) == 6
    (played,) = [store.read(path) for path in store.find(away)]
    assert played.spec.dataset == "folder:set"
    assert played.meta[0]["place"] == f"folder:{folder_set}"


def test_a_folder_that_moved_is_named_and_another_is_never_taken_for_it(
    isbench: Isbench, away: Path, folder_set: Path, tmp_path: Path
) -> None:
    moved = folder_set.rename(tmp_path / "moved")
    write_folder_set(Path("set"), objects=6, images=3)  # another one of that name, right here
    write_folder_set(folder_set, objects=5, images=4)  # and where it was
    page = tmp_path / "r.html"
    code, _, said = isbench("report", away, "--html", page)
    assert (code, said.count("\n")) == (0, 1)
    assert ": run" in said
    assert "that are not there" in said
    assert "(--dataset)" in said
    assert data_of(page)["pictures"] == []
    for option in ("--table", "--plot"):
        name = "biou" if option == "--table" else "biou_k"
        code, _, said = isbench("report", away, option, name, "--out", tmp_path / "plots")
        assert code == 2
        assert "(--dataset)" in said.splitlines()[-1]
    code, _, said = isbench("report", away, "--html", page, "--dataset", f"folder:{moved}")
    assert (code, said) == (0, "")
    assert len(data_of(page)["pictures"]) == 6
    code, _, said = isbench("report", away, "--html", page, "--dataset", "folder:set")
    assert (code, said.count("\n")) == (2, 1)
    assert "no run was played on the files of folder:" in said
    assert "folder:set (" in said


def test_runs_on_coco_annotations_get_pictures_from_anywhere(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.full((40, 60, 3), 90, np.uint8))
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 200,
                  "segmentation": [[10, 10, 30, 10, 30, 20, 10, 20]]}  # fmt: skip
    images = [{"id": 1, "file_name": "a.png", "height": 40, "width": 60}]
    whole = {"images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "x"}]}
    (tmp_path / "notes.json").write_text(json.dumps(whole))
    monkeypatch.chdir(tmp_path)
    played = ["--dataset", "coco:photos,notes.json", "--model", "nearest", "--max-clicks", 2]
    assert isbench("run", *played, "--out", tmp_path / "runs")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, _, said = isbench("report", tmp_path / "runs", "--html", tmp_path / "r.html")
    assert (code, said) == (0, "")
    assert len(data_of(tmp_path / "r.html")["pictures"]) == 1


@pytest.mark.parametrize("named", [False, True])
def test_a_folder_that_moved_is_read_with_the_labels_of_the_run(
    isbench: Isbench, tmp_path: Path, named: bool
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "maps" / folder).mkdir(parents=True)
    levels = np.zeros((24, 32), np.uint8)
    levels[2:9, 3:12], levels[12:20, 10:30] = 1, 2
    cv2.imwrite(str(tmp_path / "maps" / "images" / "a.png"), np.full((24, 32, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "maps" / "masks" / "a.png"), levels)
    played = f"folder:{tmp_path / 'maps'}?labels=instances"
    data = ["--data", tmp_path / "data"]
    if named:
        assert isbench("data", "add", "mine", played, *data)[0] == 0
        played = "mine"
    rules = ["--model", "nearest", "--max-clicks", 2, "--out", tmp_path / "runs"]
    code, _, said = isbench("run", "--dataset", played, *rules, *data)
    assert code == 0, said
    page = tmp_path / "r.html"
    assert isbench("report", tmp_path / "runs", "--html", page)[::2] == (0, "")
    assert len(data_of(page)["pictures"]) == 2
    moved = (tmp_path / "maps").rename(tmp_path / "moved")
    for place in (f"folder:{moved}", f"folder:{moved}?labels=instances"):
        page.unlink()
        found = ["--html", page, "--dataset", place]
        assert isbench("report", tmp_path / "runs", *found)[::2] == (0, "")
        assert len(data_of(page)["pictures"]) == 2
    code, _, said = isbench(
        "report", tmp_path / "runs", "--html", page, "--dataset", f"folder:{moved}?labels=void"
    )
    assert (code, said.count("\n")) == (2, 1)
    assert "no run was played on the files of folder:" in said


def test_a_place_that_is_not_utf8_is_not_recorded_and_can_be_named(
    isbench: Isbench, tmp_path: Path
) -> None:
    write_folder_set(tmp_path / "outer" / "mine", objects=2)
    folder = tmp_path / os.fsdecode(b"p\xffq")
    try:
        (tmp_path / "outer").rename(folder)  # OpenCV cannot write there
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    played = ["--dataset", f"folder:{folder / 'mine'}", "--model", "nearest", "--max-clicks", 2]
    code, _, said = isbench("run", *played, "--out", tmp_path / "runs")
    assert code == 0, said
    page = ["--html", tmp_path / "r.html"]
    code, _, said = isbench("report", tmp_path / "runs", *page)
    assert (code, said.count("\n")) == (0, 1)
    assert "pictures are missing" in said
    assert isbench("report", tmp_path / "runs", *page, *played[:2])[::2] == (0, "")
    assert len(data_of(tmp_path / "r.html")["pictures"]) == 2
