"""Data sets: what each layout is read as, and what is wrong with one that is not read."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle
from scipy.io import savemat

from isbench.datasets import find_folder, load_dataset
from isbench.datasets.coco import Outline, decode_outline
from isbench.datasets.data_root import data_folder
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.image_io import read_colours
from isbench.datasets.pairs import match_by_order
from isbench.datasets.registry import BUILT_IN
from isbench.datasets.verify import verify
from isbench.errors import IsbenchError
from isbench.metrics import image_of
from isbench.types import Dataset
from tests.support import layouts
from tests.support.layouts import HEIGHT, LAYOUTS, WIDTH, box, picture, write, write_palette

Data = Callable[..., Path]
Isbench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Return a function that writes a set into the data folder and returns that folder."""

    def make(name: str, folder: str | None = None) -> Path:
        usual, writer = LAYOUTS[name]
        writer(tmp_path / "data" / (folder or usual))
        return tmp_path / "data"

    return make


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a `folder:` set: one image with one mask, one with three."""
    root = tmp_path / "mine"
    for number, stem in enumerate(("cup", "dog 10", "dog 2")):
        write(root / "images" / f"{stem}.jpg", picture(number))
    write(root / "masks" / "cup.png", box(7, 4, 4, box(128, 1, 1)))
    for stem, row in (("dog 10__1", 0), ("dog 2__2", 1), ("dog 2__10", 2), ("dog 2__left", 3)):
        write(root / "masks" / f"{stem}.png", box(255, row, 5))
    return root


def same(a: Dataset, b: Dataset) -> bool:
    """Whether two data sets have the same keys and pixels."""
    if a.keys != b.keys:
        return False
    pairs = [(a.load(key), b.load(key)) for key in a.keys]
    return all(
        (x.image == y.image).all() and (x.truth == y.truth).all() and (x.ignore == y.ignore).all()
        for x, y in pairs
    )


def coco_json(root: Path, **changes: Any) -> Path:
    """Write a COCO annotation file of three images, each kind of segmentation once, and a crowd."""
    filled = np.asfortranarray(box(1, 2, 3))
    packed = rle.encode(filled)
    row_runs = [HEIGHT * 3 + 2, 4, HEIGHT * (WIDTH - 3) - 6]  # column by column
    square = [3, 2, 8, 2, 8, 6, 3, 6]
    size = {"height": HEIGHT, "width": WIDTH}
    images = [
        {"id": 7, "file_name": "b 2.jpg", **size},
        {"id": 5, "file_name": "a.jpg", **size},
        {"id": 6, "file_name": "sub/a.jpg", **size},
        {"id": 4, "file_name": "without objects.jpg", **size},
    ]
    one = {"category_id": 1, "iscrowd": 0}
    annotations = [
        {"id": 30, "image_id": 7, "segmentation": [square], **one},
        {"id": 4, "image_id": 7, "segmentation": [square, [10, 8, 14, 8, 14, 11]], **one},
        {
            "id": 9,
            "image_id": 5,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()},
            **one,
        },
        {
            "id": 8,
            "image_id": 6,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": row_runs},
            **one,
        },
        {
            "id": 1,
            "image_id": 5,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]},
            "category_id": 1,
            "iscrowd": 1,
        },
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1}], **changes}
    for image in images:
        write(root / "images" / str(image["file_name"]), picture(int(str(image["id"]))))
    path = root / "instances.json"
    path.write_text(json.dumps(content))
    return path


def coco_name(root: Path) -> str:
    return f"coco:{root / 'images'},{root / 'instances.json'}"


# What each layout is read as


def test_grabcut_does_not_score_128(data: Data) -> None:
    dataset = load_dataset("grabcut", data("grabcut"))
    assert dataset.keys == ("thing0#1", "thing1#1", "thing2#1")
    sample = dataset.load("thing0#1")
    np.testing.assert_array_equal(sample.truth, box(1, 3, 4) == 1)
    np.testing.assert_array_equal(sample.ignore, box(0, 3, 4, box(1, 2, 2)) == 1)
    (sharp,) = (dataset.load(key).image for key in dataset.keys if key == "thing2#1")
    np.testing.assert_array_equal(sharp, picture(2))


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
    assert load_dataset(coco_name(tmp_path)).notes == ("1 crowd regions left out",)
    content = json.loads(path.read_text())
    content["images"].pop(0)
    path.write_text(json.dumps(content))
    dataset = load_dataset(coco_name(tmp_path))
    assert dataset.notes[1] == "2 annotations of unlisted images left out"
    assert dataset.keys == ("a#9", "sub/a#8")


def test_a_folder_scores_all_but_128_and_takes_all_but_0_for_the_object(own: Path) -> None:
    dataset = load_dataset(f"folder:{own}")
    assert dataset.name == "folder:mine"
    assert dataset.keys == ("cup#1", "dog 2#2", "dog 2#10", "dog 2#left", "dog 10#1")
    sample = dataset.load("cup#1")
    np.testing.assert_array_equal(sample.truth, box(1, 4, 4) == 1)
    np.testing.assert_array_equal(sample.ignore, box(0, 4, 4, box(1, 1, 1)) == 1)
    np.testing.assert_array_equal(dataset.load("dog 2#left").truth, box(1, 3, 5) == 1)


def test_files_that_are_no_pictures_and_hidden_ones_are_passed_over(own: Path) -> None:
    before = load_dataset(f"folder:{own}")
    for name in ("Thumbs.db", ".DS_Store", "._cup.png", "notes.txt"):
        (own / "masks" / name).write_text("?")
        (own / "images" / name).write_text("?")
    (own / "masks" / "older.png").mkdir()
    after = load_dataset(f"folder:{own}")
    assert after.keys == before.keys
    assert after.files == before.files


def test_a_stem_with_two_underscores_of_its_own_is_an_image(own: Path) -> None:
    write(own / "images" / "a__1.jpg", picture(3))
    write(own / "masks" / "a__1.png", box(1, 1, 1))
    write(own / "masks" / "a__1__2.png", box(1, 2, 2))
    assert load_dataset(f"folder:{own}").keys[:2] == ("a__1#1", "a__1#2")


# What holds for every one of them


@pytest.fixture(params=[*LAYOUTS, "coco-mval-seen", "sbd-train", "folder", "coco", "sample"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path, data: Data) -> Dataset:
    name = str(request.param)
    if name == "folder":
        return load_dataset(f"folder:{request.getfixturevalue('own')}")
    if name == "coco":
        coco_json(tmp_path)
        return load_dataset(coco_name(tmp_path))
    if name == "sample":
        return load_dataset(name)
    return load_dataset(name, data(name.replace("-seen", "").replace("-train", "")))


def test_keys_are_distinct_and_image_major(dataset: Dataset) -> None:
    assert len(set(dataset.keys)) == len(dataset.keys) > 0
    images = [image_of(key) for key in dataset.keys]
    assert sorted(images, key=images.index) == images


def test_what_is_loaded_is_what_the_vocabulary_says(dataset: Dataset) -> None:
    for key in dataset.keys:
        sample = dataset.load(key)
        assert sample.key == key
        assert sample.image.shape == (*sample.truth.shape, 3)
        assert sample.image.dtype == np.uint8
        assert not sample.image.flags.writeable
        assert sample.truth.shape == sample.ignore.shape
        assert sample.truth.dtype == sample.ignore.dtype == bool
        assert sample.truth.any()
        assert not (sample.truth & sample.ignore).any()


def test_a_data_set_is_the_same_after_pickling_and_in_any_order(dataset: Dataset) -> None:
    again = pickle.loads(pickle.dumps(dataset))
    assert same(dataset, again)
    backwards = {key: dataset.load(key).truth for key in reversed(dataset.keys)}
    assert all((backwards[key] == dataset.load(key).truth).all() for key in dataset.keys)


def test_the_fingerprint_is_of_the_content_wherever_it_lies(
    dataset: Dataset, tmp_path: Path
) -> None:
    assert fingerprint(dataset) == fingerprint(pickle.loads(pickle.dumps(dataset)))
    assert all(path.is_file() for path in dataset.files.values())
    assert all("\\" not in name and str(tmp_path) not in name for name in dataset.files)


def test_verify_finds_nothing_wrong(dataset: Dataset) -> None:
    verdict = verify(dataset)
    assert verdict.objects == len(dataset.keys)
    assert (verdict.faults, verdict.empty) == ((), 0)
    assert verdict.fingerprint == fingerprint(dataset)


def test_the_fingerprint_tells_any_change_of_any_file(data: Data, tmp_path: Path) -> None:
    prints = {fingerprint(load_dataset("grabcut", data("grabcut")))}
    for name in ("data_GT/thing1.JPG", "boundary_GT/thing2.bmp"):
        with (tmp_path / "data" / "GrabCut" / name).open("ab") as file:
            file.write(b"\0")
        prints.add(fingerprint(load_dataset("grabcut", tmp_path / "data")))
    assert len(prints) == 3


def test_a_copy_elsewhere_has_the_same_fingerprint(tmp_path: Path) -> None:
    places = [layouts.davis(tmp_path / place / "DAVIS").parent for place in ("a", "b")]
    assert len({fingerprint(load_dataset("davis", place)) for place in places}) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_limit_keeps_the_first_objects(data: Data, limit: int) -> None:
    folder = data("berkeley")
    whole, kept = load_dataset("berkeley", folder), load_dataset("berkeley", folder, limit)
    assert kept.keys == whole.keys[:limit]
    assert kept.limit == limit
    assert whole.limit is None


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(IsbenchError, match=f"limit is {limit}; wanted at least 1"):
        load_dataset("sample", limit=limit)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("davis", "DAVIS345"), ("sbd", "benchmark_RELEASE/dataset"), ("voc-val", "VOCdevkit/VOC2012")],
)
def test_a_set_is_found_under_its_other_name_too(data: Data, name: str, folder: str) -> None:
    root = data(name, folder)
    assert find_folder(name, root) == root / folder
    other = load_dataset(name, root)
    assert same(other, load_dataset(name, data(name)))


def test_the_data_folder_is_the_given_one_else_the_variable_else_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISBENCH_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    assert data_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("ISBENCH_DATA")
    assert data_folder().name == "isbench"


def test_only_davis_is_zoomed_to_600() -> None:
    assert {name for name, entry in BUILT_IN.items() if entry.zoom_target != 400} == {"davis"}


NAMES = st.text("ab0129#²٣ .é", min_size=1, max_size=5)


@given(st.lists(st.tuples(NAMES, st.text("ab019²", min_size=1, max_size=3)), max_size=12))
def test_whatever_the_names_the_order_is_image_major_and_does_not_depend_on_the_listing(
    names: list[tuple[str, str]],
) -> None:
    files = {f"{image}#{thing}": ("", "") for image, thing in names}
    keys = list(match_by_order(files))
    images = [image_of(key) for key in keys]
    assert sorted(images, key=images.index) == images
    assert list(match_by_order(dict(sorted(files.items())))) == keys


# What is refused, and in which words


def refusal(name: str, data: Path | None = None) -> str:
    """Return the one line that the loading of a set, or of one of its objects, ends in."""
    with pytest.raises(IsbenchError) as raised:
        _load_all(name, data)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def _load_all(name: str, data: Path | None) -> None:
    dataset = load_dataset(name, data)
    for key in dataset.keys:
        dataset.load(key)


@pytest.mark.parametrize(
    ("name", "near"), [("grabcat", "grabcut"), ("GrabCut", "grabcut"), ("coco_mval", "coco-mval")]
)
def test_an_unknown_name_gets_the_nearest(name: str, near: str) -> None:
    assert refusal(name) == f"no data set named {name!r}; did you mean {near}?"


def test_a_missing_set_gets_every_way_to_have_it(tmp_path: Path) -> None:
    said = refusal("davis", tmp_path)
    for part in ("DAVIS or DAVIS345", "isbench data get davis", "isbench data import", "--data"):
        assert part in said


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("sbd", "voc-val")])
def test_an_empty_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / LAYOUTS[name][0]
    for inside in ("data_GT", "images", "masks", "img", "gt"):
        (folder / inside).mkdir(parents=True)
    assert f"no images in {folder}" in refusal(name, tmp_path)


def test_a_folder_without_images_or_masks_is_refused(own: Path, tmp_path: Path) -> None:
    assert f"cannot list {tmp_path / 'nowhere' / 'images'}" in refusal(f"folder:{tmp_path}/nowhere")
    for mask in (own / "masks").iterdir():
        mask.unlink()
    assert f"no masks in {own / 'masks'}" in refusal(f"folder:{own}")


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


def test_a_folder_s_image_without_a_mask_and_mask_without_an_image_are_named(own: Path) -> None:
    write(own / "images" / "bare.png", picture(1))
    assert f"image {own}/images/bare.png has no mask: wanted" in refusal(f"folder:{own}")
    (own / "images" / "bare.png").unlink()
    for stem in ("other", "other__1", "cup__", "__1", "cup__a#b"):
        write(own / "masks" / f"{stem}.png", box(1, 1, 1))
        assert f"mask {own}/masks/{stem}.png has no image: wanted" in refusal(f"folder:{own}")
        (own / "masks" / f"{stem}.png").unlink()


def test_two_masks_of_one_object_are_refused(own: Path) -> None:
    write(own / "masks" / "cup__1.png", box(1, 1, 1))
    assert f"two masks for object cup#1: {own}/masks/cup.png and" in refusal(f"folder:{own}")


def test_two_pictures_of_one_stem_are_refused(own: Path) -> None:
    write(own / "images" / "cup.png", picture(0))
    assert f"two images named cup: {own}/images/cup.jpg and" in refusal(f"folder:{own}")


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
    write(root / image, picture(0))
    write(root / mask, box(1, 1, 1))
    assert f"{root / image} is not named {wanted}" in refusal(name, root.parent)


BROKEN = {
    "grabcut": ("data_GT/thing1.JPG", "boundary_GT/thing1.bmp"),
    "berkeley": ("images/302.jpg", "masks/302.png"),
    "davis": ("img/2.jpg", "gt/2.png"),
    "sbd": ("img/2008_000002.jpg", "inst/2008_000002.mat"),
    "voc-val": ("JPEGImages/2007_000042.jpg", "SegmentationObject/2007_000042.png"),
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
    write(root / image, picture(9, HEIGHT + 1, WIDTH))
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
    assert f"{path} is not in COCO's instance format" in said
    assert field in said


@pytest.mark.parametrize("value", ["x", None, {}, []])
@pytest.mark.parametrize(("where", "field"), [("images", "height"), ("annotations", "id")])
def test_a_coco_field_of_another_kind_is_refused(
    tmp_path: Path, where: str, field: str, value: Any
) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content[where][0][field] = value
    path.write_text(json.dumps(content))
    assert f"{path} is not in COCO's instance format" in refusal(coco_name(tmp_path))


SIZE = [HEIGHT, WIDTH]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2]],
        [[1, 2, 3, 4]],
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
    assert f"object b 2#30 of {path} has a broken segmentation" in said


@pytest.mark.parametrize("segmentation", [[], None])
def test_an_object_without_an_outline_is_refused_at_once(tmp_path: Path, segmentation: Any) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = segmentation
    path.write_text(json.dumps(content))
    with pytest.raises(IsbenchError, match="annotation 30 has an empty segmentation"):
        load_dataset(coco_name(tmp_path))


def test_two_annotations_of_one_id_are_refused(tmp_path: Path) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"].append(content["annotations"][0])
    path.write_text(json.dumps(content))
    assert "two annotations for object b 2#30" in refusal(coco_name(tmp_path))


def test_run_lengths_of_another_size_than_the_image_are_refused(tmp_path: Path) -> None:
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = {"size": [4, 4], "counts": [0, 16]}
    path.write_text(json.dumps(content))
    assert f"object b 2#30 in {path} is 4x4 pixels and its image 16x12" in refusal(
        coco_name(tmp_path)
    )


def test_a_missing_coco_image_or_file_is_named(tmp_path: Path) -> None:
    path = coco_json(tmp_path)
    (tmp_path / "images" / "without objects.jpg").unlink()
    assert len(load_dataset(coco_name(tmp_path)).keys) == 4
    (tmp_path / "images" / "b 2.jpg").unlink()
    with pytest.raises(IsbenchError, match=r"image .*b 2\.jpg that .*instances\.json lists"):
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


def test_verify_lists_every_fault_once_and_raises_none(data: Data) -> None:
    root = data("sbd") / "SBD"
    dataset = load_dataset("sbd", root.parent)
    (root / "img" / "2008_000002.jpg").unlink()
    write(root / "img" / "2008_000007.jpg", picture(1, 5, 5))
    verdict = verify(dataset)
    assert verdict.fingerprint is None
    assert len(verdict.faults) == 2
    assert (verdict.images, verdict.objects) == (2, 4)


def test_verify_counts_objects_without_a_scored_pixel(own: Path) -> None:
    write(own / "masks" / "cup.png", box(128, 1, 1))
    assert verify(load_dataset(f"folder:{own}")).empty == 1


# The real files, where they are at hand


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "counts"), [("grabcut", "50/50"), ("berkeley", "96/100"), ("davis", "345/345")]
)
def test_the_real_sets_have_the_published_counts_and_a_known_fingerprint(
    isbench: Isbench, real_data: Path, name: str, counts: str
) -> None:
    code, printed, said = isbench("data", "verify", name, "--data", real_data)
    assert (code, said) == (0, "")
    assert f"{name}: {counts} images/objects" in printed
    assert "known: the files" in printed
    assert "warning" not in printed


def test_the_sample_of_coco_mval_is_read_through_a_link(real_data: Path, tmp_path: Path) -> None:
    part = real_data / "COCO_MVal-sample"
    if not part.is_dir():
        pytest.skip("no COCO_MVal-sample beside the real data")
    (tmp_path / "COCO_MVal").symlink_to(part.resolve(), target_is_directory=True)
    whole = load_dataset("coco-mval", tmp_path)
    assert len(whole.keys) == 20
    verdict = verify(whole)
    assert (verdict.faults, verdict.empty) == ((), 0)


def test_real_masks_hold_what_the_layouts_say(real_data: Path) -> None:
    grabcut = load_dataset("grabcut", real_data)
    assert sum(grabcut.load(key).ignore.any() for key in grabcut.keys) == 42
    davis = load_dataset("davis", real_data)
    colours = read_colours(davis.files["gt/195.png"])
    void = (colours == (192, 224, 224)).all(axis=2)  # counted as the object, as RITM does
    assert void.sum() == 160
    assert davis.load("195#1").truth[void].all()
