"""COCO's annotation files: what they are read as, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle

from isbench.datasets import load_dataset
from isbench.datasets.outlines import Outline, decode_outline
from isbench.errors import IsbenchError
from tests.datasets.conftest import refusal
from tests.support.layouts import HEIGHT, WIDTH, box, coco_json, coco_name


def test_coco_reads_polygons_and_run_lengths_of_both_kinds(tmp_path: Path) -> None:
    coco_json(tmp_path)
    dataset = load_dataset(coco_name(tmp_path))
    assert dataset.keys == ("a#9", "b 2#4", "b 2#30", "sub/a#8")
    truth = {key: dataset.load(key).truth for key in dataset.keys}
    np.testing.assert_array_equal(truth["a#9"], box(1, 2, 3) == 1)
    np.testing.assert_array_equal(truth["b 2#30"], box(1, 2, 3) == 1)
    assert (truth["b 2#4"] & truth["b 2#30"]).sum() == 20
    assert truth["b 2#4"].sum() > 20
    assert truth["sub/a#8"].sum() == 4
    assert truth["sub/a#8"][2:6, 3].all()


def test_coco_counts_what_it_leaves_out(tmp_path: Path) -> None:
    path = coco_json(tmp_path)
    assert load_dataset(coco_name(tmp_path)).notes == ("crowd regions left out: 1",)
    content = json.loads(path.read_text())
    content["images"].pop(0)
    path.write_text(json.dumps(content))
    dataset = load_dataset(coco_name(tmp_path))
    assert dataset.notes[1] == "annotations of unlisted images left out: 2"
    assert dataset.keys == ("a#9", "sub/a#8")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"images": []}',
        '{"annotations": []}',
        '{"images": 3, "annotations": 4}',
        '{"images": {"a": 1}, "annotations": []}',
    ],
)
def test_a_file_that_is_not_coco_s_is_refused(tmp_path: Path, content: str) -> None:
    path = coco_json(tmp_path)
    path.write_text(content)
    assert f"{path} is not in COCO's instance format" in refusal(coco_name(tmp_path))


@pytest.mark.parametrize(
    ("where", "entry", "field"),
    [
        *(("images", 1, field) for field in ("id", "file_name", "height", "width")),
        *(("annotations", 2, field) for field in ("id", "image_id", "segmentation")),
    ],
)
def test_a_coco_file_that_lacks_a_field_is_refused(
    tmp_path: Path, where: str, entry: int, field: str
) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    del content[where][entry][field]
    path.write_text(json.dumps(content))
    said = refusal(coco_name(tmp_path))
    assert said.startswith(str(path))
    assert field in said


@pytest.mark.parametrize(
    "value", ["x", "1", None, {}, [], True, 7.0, 1.5, float("nan"), float("inf"), -1, 10**400]
)
@pytest.mark.parametrize(
    ("where", "field"),
    [
        *(("images", field) for field in ("id", "file_name", "height", "width")),
        *(("annotations", field) for field in ("id", "image_id", "iscrowd")),
    ],
)
def test_a_coco_field_of_another_kind_is_refused(
    tmp_path: Path, where: str, field: str, value: Any
) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content[where][0][field] = value
    path.write_text(json.dumps(content))
    said = refusal(coco_name(tmp_path))
    if not (
        isinstance(value, str) and field == "file_name"
    ):  # the name of a file that is not there
        assert f"{where}[0] has {field} " in said
    assert len(said) < 600


SIZE = [HEIGHT, WIDTH]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2]],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[3, 2, 8, 2, 8, 6, 3]],
        [[3, 2, 8, 2, 8, 6], [3, 2, 8, 2, 8, 6, 3]],
        [[3, 2, 8, 2, 8, float("nan")]],
        [[3, 2, 8, 2, 8, float("inf")]],
        [[3, 2, 8, 2, 8, 1e9]],
        [[3, 2, 8, 2, 8, -(10**400)]],
        [[3, 2, 8, 2, 8, True]],
        [[3, 2, 8, 2, 8, "6"]],
        [[0, 0, 32, 32] * 100_000],
        [3, 2, 8, 2, 8, 6],
        [{"size": SIZE, "counts": [0, HEIGHT * WIDTH]}],
        {"size": [float(HEIGHT), WIDTH], "counts": [0, HEIGHT * WIDTH]},
        {"size": SIZE, "counts": [True, HEIGHT * WIDTH - 1]},
        {"size": SIZE, "counts": "o" * 100_000},
        [["a", "b", "c", "d", "e", "f"]],
        {"size": SIZE},
        {"size": SIZE, "counts": [3, 4]},
        {"size": SIZE, "counts": [3, 4, 100_000]},
        {"size": SIZE, "counts": [-1, HEIGHT * WIDTH + 1]},
        {"size": SIZE, "counts": [1.5, 3]},
        {"size": SIZE, "counts": []},
        {"size": SIZE, "counts": ""},
        {"size": SIZE, "counts": "34"},
        {"size": SIZE, "counts": "~~~"},
        {"size": SIZE, "counts": "é"},
        {"size": SIZE, "counts": 5},
        {"size": "ab", "counts": "34"},
        "polygon",
        7,
    ],
)
def test_a_broken_outline_is_refused_and_never_filled_from_memory(
    tmp_path: Path, segmentation: Any
) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = segmentation
    path.write_text(json.dumps(content))
    said = refusal(coco_name(tmp_path))
    assert f"{path}: object b 2#30 has a broken segmentation: " in said


@pytest.mark.parametrize("segmentation", [[], None])
def test_an_object_without_an_outline_is_refused_at_once(tmp_path: Path, segmentation: Any) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = segmentation
    path.write_text(json.dumps(content))
    with pytest.raises(IsbenchError, match="b 2#30 has a broken segmentation: it is empty"):
        load_dataset(coco_name(tmp_path))


def test_two_annotations_of_one_id_are_refused(tmp_path: Path) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"].append(content["annotations"][0])
    path.write_text(json.dumps(content))
    said = refusal(coco_name(tmp_path))
    assert "two annotations of image b 2.jpg have the id 30" in said


def test_run_lengths_of_another_size_than_the_image_are_refused(tmp_path: Path) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = {"size": [4, 4], "counts": [0, 16]}
    path.write_text(json.dumps(content))
    assert "its run lengths are 4x4 pixels and its image 16x12" in refusal(coco_name(tmp_path))


def test_a_missing_coco_image_or_file_is_named(tmp_path: Path) -> None:
    path = coco_json(tmp_path)
    (tmp_path / "images" / "without objects.jpg").unlink()
    assert len(load_dataset(coco_name(tmp_path)).keys) == 4
    (tmp_path / "images" / "b 2.jpg").unlink()
    with pytest.raises(IsbenchError, match=r"instances\.json: image .*b 2\.jpg does not exist"):
        load_dataset(coco_name(tmp_path))
    path.unlink()
    assert f"cannot read {path}" in refusal(coco_name(tmp_path))


def test_coco_wants_two_paths() -> None:
    assert "wanted coco:IMAGES_DIR,ANNOTATIONS.json" in refusal("coco:images")


MASKS = st.tuples(
    st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1)
)


@given(MASKS)
def test_packed_and_plain_run_lengths_of_any_mask_are_read_as_it(
    mask: tuple[int, int, int, float],
) -> None:
    height, width, seed, share = mask
    truth = np.random.default_rng(seed).random((height, width)) < share
    packed = rle.encode(np.asfortranarray(truth.astype(np.uint8)))
    flat = np.concatenate([[False], truth.ravel(order="F")])
    ends = np.flatnonzero(np.diff(flat)).tolist()
    counts = np.diff([0, *ends, height * width]).tolist()
    for segmentation in (packed, {"size": [height, width], "counts": counts}):
        outline = Outline("", height, width, segmentation)
        np.testing.assert_array_equal(decode_outline(outline), truth)
