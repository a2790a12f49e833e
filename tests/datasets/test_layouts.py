"""The official layouts: what each is read as, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from isbench.datasets import load_dataset
from isbench.datasets.image_io import read_colours
from isbench.datasets.pairs import match_by_order
from isbench.errors import IsbenchError
from isbench.metrics import find_image
from tests.datasets.conftest import refusal
from tests.support.layouts import HEIGHT, LAYOUTS, WIDTH, box, draw_picture, write, write_palette

Data = Callable[..., Path]


def test_grabcut_does_not_score_128(data: Data) -> None:
    dataset = load_dataset("grabcut", data("grabcut"))
    assert dataset.keys == ("thing0#1", "thing1#1", "thing2#1")
    sample = dataset.load("thing0#1")
    np.testing.assert_array_equal(sample.truth, box(1, 3, 4) == 1)
    np.testing.assert_array_equal(sample.ignore, box(0, 3, 4, box(1, 2, 2)) == 1)
    (sharp,) = (dataset.load(key).image for key in dataset.keys if key == "thing2#1")
    np.testing.assert_array_equal(sharp, draw_picture(2))


def test_stems_of_berkeley_that_end_in_a_letter_are_objects_of_one_image(data: Data) -> None:
    dataset = load_dataset("berkeley", data("berkeley"))
    assert dataset.keys == ("302#1", "1010#1", "1010#a", "1010#b")
    np.testing.assert_array_equal(dataset.load("1010#b").truth, box(1, 2, 4) == 1)
    assert dataset.load("1010#a").image is dataset.load("1010#b").image
    assert not dataset.load("302#1").ignore.any()


def test_any_channel_of_a_davis_mask_that_is_not_zero_is_the_object(data: Data) -> None:
    dataset = load_dataset("davis", data("davis"))
    assert dataset.keys == ("0#1", "2#1", "10#1")
    for key in dataset.keys:
        sample = dataset.load(key)
        assert sample.truth.sum() == 4 * 5 + 3
        assert sample.truth[8, 1]
        assert not sample.ignore.any()


def test_coco_mval_is_keyed_by_image_and_split_by_class(data: Data) -> None:
    folder = data("coco-mval")
    whole = load_dataset("coco-mval", folder)
    assert whole.keys == (
        "000000000139#dining table01",
        "000000000139#toaster03",
        "000000002006#airplane10",
    )
    np.testing.assert_array_equal(whole.load(whole.keys[1]).truth, box(1, 1, 3) == 1)
    seen = load_dataset("coco-mval-seen", folder).keys
    unseen = load_dataset("coco-mval-unseen", folder).keys
    assert unseen == ("000000000139#toaster03",)
    assert sorted(seen + unseen) == sorted(whole.keys)


def test_sbd_reads_the_instances_of_the_listed_images(data: Data) -> None:
    folder = data("sbd")
    dataset = load_dataset("sbd", folder)
    assert dataset.keys == (
        "2008_000007#1",
        "2008_000007#2",
        "2008_000002#1",
        "2008_000002#2",
    )
    np.testing.assert_array_equal(dataset.load("2008_000002#2").truth, box(1, 6, 8) == 1)
    assert not dataset.load("2008_000002#2").ignore.any()
    assert load_dataset("sbd-train", folder).keys == ("2008_000003#1", "2008_000003#2")


def test_voc_reads_palette_indices_and_does_not_score_255(data: Data) -> None:
    dataset = load_dataset("voc-val", data("voc-val"))
    assert dataset.keys == ("2007_000042#1", "2007_000042#16", "2007_000033#1", "2007_000033#16")
    sample = dataset.load("2007_000033#16")
    np.testing.assert_array_equal(sample.truth, box(1, 7, 9) == 1)
    assert sample.ignore.sum() == WIDTH
    assert sample.ignore[0].all()


NAMES = st.text("ab0129#²٣ .é", min_size=1, max_size=5)


@given(st.lists(st.tuples(NAMES, st.text("ab019²", min_size=1, max_size=3)), max_size=12))
def test_whatever_the_names_the_order_is_image_major_and_does_not_depend_on_the_listing(
    names: list[tuple[str, str]],
) -> None:
    files = {f"{image}#{thing}": ("", "") for image, thing in names}
    keys = list(match_by_order(files))
    images = [find_image(key) for key in keys]
    assert sorted(images, key=images.index) == images
    assert list(match_by_order(dict(sorted(files.items())))) == keys


@pytest.mark.parametrize("name", ["grabcut", "berkeley", "davis", "coco-mval", "tetris"])
def test_an_empty_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / LAYOUTS[name][0]
    for inside in ("data_GT", "images", "masks", "img", "gt"):
        (folder / inside).mkdir(parents=True)
    assert f"no images in {folder}" in refusal(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "image", "mask"),
    [
        ("grabcut", "data_GT/thing1.JPG", "boundary_GT/thing1.bmp"),
        ("davis", "img/2.jpg", "gt/2.png"),
        ("coco-mval", "img/toaster03_000000000139.jpg", "gt/toaster03_000000000139.png"),
    ],
)
def test_an_image_without_a_mask_and_a_mask_without_an_image_are_named(
    data: Data, name: str, image: str, mask: str
) -> None:
    root = data(name) / LAYOUTS[name][0]
    content = (root / mask).read_bytes()
    (root / mask).unlink()
    assert f"{root / image} has no mask: wanted" in refusal(name, root.parent)
    (root / mask).write_bytes(content)
    (root / image).unlink()
    assert f"{root / mask} has no image: wanted" in refusal(name, root.parent)


@pytest.mark.parametrize(
    ("name", "image", "mask", "wanted"),
    [
        ("berkeley", "images/Berlin.jpg", "masks/Berlin.png", "NUMBER or NUMBERa"),
        ("coco-mval", "img/dog_1.jpg", "gt/dog_1.png", "CLASSnn_IMAGEID"),
    ],
)
def test_a_stem_that_does_not_follow_the_layout_is_refused(
    data: Data, name: str, image: str, mask: str, wanted: str
) -> None:
    root = data(name) / LAYOUTS[name][0]
    write(root / image, draw_picture(0))
    write(root / mask, box(1, 1, 1))
    assert f"{root / image} is not named {wanted}" in refusal(name, root.parent)


BROKEN = {
    "grabcut": ("data_GT/thing1.JPG", "boundary_GT/thing1.bmp"),
    "berkeley": ("images/302.jpg", "masks/302.png"),
    "davis": ("img/2.jpg", "gt/2.png"),
    "sbd": ("img/2008_000002.jpg", "inst/2008_000002.mat"),
    "voc-val": ("JPEGImages/2007_000042.jpg", "SegmentationObject/2007_000042.png"),
    "hqseg44k": (
        "thin_object_detection/COIFT/images/fork.jpg",
        "thin_object_detection/COIFT/masks/fork.png",
    ),
    "davis585-init": ("bear/00009.jpg", "bear/object1_00009.png"),
    "tetris": ("images/-4-KfFh2eIU.jpg", "masks/-4-KfFh2eIU.png"),
}


@pytest.mark.parametrize("which", [0, 1], ids=["image", "mask"])
@pytest.mark.parametrize("name", BROKEN)
def test_an_unreadable_file_is_named(data: Data, name: str, which: int) -> None:
    root = data(name) / LAYOUTS[name][0]
    path = root / BROKEN[name][which]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert str(path) in refusal(name, root.parent)


@pytest.mark.parametrize("name", BROKEN)
def test_a_mask_of_another_size_is_named_with_both_sizes(data: Data, name: str) -> None:
    root = data(name) / LAYOUTS[name][0]
    image, mask = BROKEN[name]
    write(root / image, draw_picture(9, HEIGHT + 1, WIDTH))
    assert f"mask {root / mask} is 16x12 pixels and its image 16x13" in refusal(name, root.parent)


@pytest.mark.parametrize("name", ["sbd", "voc-val"])
def test_an_image_of_the_list_that_is_not_there_is_named_before_any_is_loaded(
    data: Data, name: str
) -> None:
    root = data(name) / LAYOUTS[name][0]
    for path in (root / file for file in BROKEN[name]):
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(IsbenchError) as raised:
            load_dataset(name, root.parent)
        assert str(path) in str(raised.value)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "listed"), [("sbd", "val.txt"), ("voc-val", "ImageSets/Segmentation/val.txt")]
)
def test_an_empty_or_missing_list_is_named(data: Data, name: str, listed: str) -> None:
    root = data(name) / LAYOUTS[name][0]
    (root / listed).write_text("\n \n")
    assert refusal(name, root.parent).startswith(f"the list {root / listed} is empty")
    (root / listed).unlink()
    assert f"cannot read the list {root / listed}" in refusal(name, root.parent)


@pytest.mark.parametrize("stem", ["../img/a", "/etc/passwd", "a\\b", "a/b", "a\0b", "x" * 5000])
@pytest.mark.parametrize(
    ("name", "listed"), [("sbd", "val.txt"), ("voc-val", "ImageSets/Segmentation/val.txt")]
)
def test_a_list_never_leads_to_files_elsewhere(
    data: Data, name: str, listed: str, stem: str
) -> None:
    root = data(name) / LAYOUTS[name][0]
    before = load_dataset(name, root.parent).keys
    (root / listed).write_text(f"{(root / listed).read_text()}{stem}\n")
    said = refusal(name, root.parent)
    assert said.startswith(f"the list {root / listed} has {stem[:9]!a}"[:-1])
    assert len(said) < 500
    lines = (root / listed).read_text().splitlines()[:-1]
    (root / listed).write_text("\r\n".join(lines), encoding="utf-8-sig")  # as Windows saves it
    assert load_dataset(name, root.parent).keys == before


def test_a_mat_file_of_version_7_3_is_named(data: Data) -> None:
    root = data("sbd") / "SBD"
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
    (root / "inst" / "2008_000002.mat").write_bytes(header + b"\x89HDF\r\n\x1a\n" + bytes(600))
    assert "it is a MATLAB 7.3 file: save it with -v7" in refusal("sbd", root.parent)


@pytest.mark.parametrize(
    "content",
    [
        {"Other": 1},
        {"GTinst": {"Boundaries": 1}},
        {"GTinst": {"Segmentation": "text"}},
        {"GTinst": {"Segmentation": {"a": 1}}},
        {"GTinst": {"Segmentation": np.zeros((2, 2, 2))}},
        {"GTinst": 3},
    ],
)
def test_a_mat_file_of_another_kind_is_refused(data: Data, content: Any) -> None:
    root = data("sbd") / "SBD"
    savemat(root / "inst" / "2008_000002.mat", content)
    said = refusal("sbd", root.parent)
    assert f"{root}/inst/2008_000002.mat is not an SBD instance file" in said


def test_a_voc_mask_that_was_turned_into_colours_is_refused(data: Data) -> None:
    root = data("voc-val") / "VOC2012"
    path = root / "SegmentationObject" / "2007_000042.png"
    write(path, np.dstack([box(192, 1, 1), box(0, 1, 1), box(0, 1, 1)]))
    assert f"mask {path} has mode RGB" in refusal("voc-val", root.parent)


def test_a_set_without_objects_is_refused(data: Data) -> None:
    root = data("voc-val") / "VOC2012"
    for path in (root / "SegmentationObject").iterdir():
        write_palette(path, box(255, 1, 1))
    assert refusal("voc-val", root.parent) == "data set voc-val has no objects; wanted at least 1"


def test_real_masks_hold_what_the_layouts_say(real_data: Path) -> None:
    grabcut = load_dataset("grabcut", real_data)
    assert sum(grabcut.load(key).ignore.any() for key in grabcut.keys) == 42
    davis = load_dataset("davis", real_data)
    colours = read_colours(davis.files["gt/195.png"])
    void = (colours == (192, 224, 224)).all(axis=2)  # counted as the object, as RITM does
    assert void.sum() == 160
    assert davis.load("195#1").truth[void].all()
