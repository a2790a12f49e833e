"""What holds for every data set, and how one is found by its name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from isbench.datasets import find_folder, load_dataset
from isbench.datasets.data_root import find_data_folder
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.registry import BUILT_IN
from isbench.datasets.verify import verify_dataset
from isbench.errors import IsbenchError
from isbench.metrics import find_image
from isbench.types import Dataset
from tests.datasets.conftest import refusal
from tests.support import layouts
from tests.support.layouts import LAYOUTS, coco_json, coco_name

Data = Callable[..., Path]


def same(a: Dataset, b: Dataset) -> bool:
    """Whether two data sets have the same keys and pixels."""
    if a.keys != b.keys:
        return False
    pairs = [(a.load(key), b.load(key)) for key in a.keys]
    return all(
        (x.image == y.image).all() and (x.truth == y.truth).all() and (x.ignore == y.ignore).all()
        for x, y in pairs
    )


OTHERS = {"coco-mval-seen": "coco-mval", "sbd-train": "sbd"}
OTHERS |= dict.fromkeys(("davis585-stm", "davis585-zero"), "davis585-init")


@pytest.fixture(params=[*LAYOUTS, *OTHERS, "folder", "coco", "sample"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path, data: Data) -> Dataset:
    name = str(request.param)
    if name == "folder":
        return load_dataset(f"folder:{request.getfixturevalue('own')}")
    if name == "coco":
        coco_json(tmp_path)
        return load_dataset(coco_name(tmp_path))
    if name == "sample":
        return load_dataset(name)
    return load_dataset(name, data(OTHERS.get(name, name)))


def test_keys_are_distinct_and_image_major(dataset: Dataset) -> None:
    assert len(set(dataset.keys)) == len(dataset.keys) > 0
    images = [find_image(key) for key in dataset.keys]
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
    verdict = verify_dataset(dataset)
    assert verdict.objects == len(dataset.keys)
    assert (verdict.faults, verdict.empty) == ((), 0)
    assert verdict.fingerprint == fingerprint(dataset)


def test_any_change_of_any_file_changes_the_fingerprint(data: Data, tmp_path: Path) -> None:
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
    assert whole.limit is None
    # a limit that keeps all objects is the whole data set, whose runs have no limit
    assert kept.limit == (limit if limit < len(whole.keys) else None)


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
    assert find_data_folder() == tmp_path
    assert find_data_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("ISBENCH_DATA")
    assert find_data_folder().name == "isbench"


def test_only_davis_is_seen_larger_than_the_others() -> None:
    seen = {
        name: (card.zoom_target, card.zoom_square, card.view_size)
        for name, card in BUILT_IN.items()
    }
    assert seen.pop("davis") == (600, 672, 512)
    assert set(seen.values()) == {(400, 448, 384)}


@pytest.mark.parametrize(
    ("name", "near"), [("grabcat", "grabcut"), ("GrabCut", "grabcut"), ("coco_mval", "coco-mval")]
)
def test_an_unknown_name_gets_the_nearest(name: str, near: str) -> None:
    assert refusal(name) == f"no data set named {name!r}; did you mean {near}?"


def test_a_missing_set_gets_every_way_to_have_it(tmp_path: Path) -> None:
    said = refusal("davis", tmp_path)
    for part in ("DAVIS or DAVIS345", "isbench data get davis", "isbench data import", "as `data`"):
        assert part in said


def test_a_missing_set_without_an_archive_gets_the_page_where_it_is(tmp_path: Path) -> None:
    said = refusal("hqseg44k", tmp_path)
    assert "data get" not in said
    assert "download it by hand from https://huggingface.co/" in said
    assert "`isbench data import hqseg44k PATH`" in said
