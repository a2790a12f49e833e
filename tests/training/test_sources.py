"""Training data in the layouts of SBD, COCO with LVIS, and one's own folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from isbench.errors import IsbenchError
from isbench.training import instances, sources
from tests.conftest import write_folder_set
from tests.training.test_pack import write_pack

HEIGHT, WIDTH = 30, 40


def square(top: int, left: int, side: int) -> list[list[float]]:
    """Return the polygon of a square, as COCO has it: x, y, ..."""
    bottom, right = top + side, left + side
    return [[left, top, right, top, right, bottom, left, bottom]]


def write_instances(
    path: Path, images: list[dict[str, Any]], objects: list[tuple[int, Any]]
) -> Path:
    annotations = [
        {"id": k, "image_id": image, "segmentation": outline}
        for k, (image, outline) in enumerate(objects)
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.fixture
def coco(tmp_path: Path) -> list[Path]:
    """Return the images' folder, a COCO file and an LVIS file."""
    (tmp_path / "train2017").mkdir()
    for number in range(3):
        picture = np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8)
        cv2.imwrite(str(tmp_path / "train2017" / f"{number:012}.png"), picture)
    size = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": k, "file_name": f"{k:012}.png", **size} for k in range(4)]
    crowd = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT, HEIGHT * (WIDTH - 1)]}
    first = write_instances(
        tmp_path / "instances.json",
        images,
        [(0, square(2, 20, 10)), (1, square(5, 5, 10)), (0, crowd), (3, square(0, 0, 9)), (2, [])],
    )
    stored = json.loads(first.read_text())
    stored["annotations"][2]["iscrowd"] = 1
    first.write_text(json.dumps(stored))
    addressed = [
        {"id": k, "coco_url": f"http://x.org/train2017/{k:012}.png", **size} for k in range(3)
    ]
    second = write_instances(
        tmp_path / "lvis.json",
        addressed,
        [(0, square(2, 20, 10)), (0, square(15, 3, 8)), (2, square(4, 4, 20))],
    )
    return [tmp_path, first, second]


def test_coco_and_lvis_are_joined_and_nothing_is_there_twice(coco: list[Path]) -> None:
    corpus = instances.read(coco[0], coco[1:])
    objects = {one.name: len(one.load().objects) for one in corpus.entries}
    assert objects == {"000000000000": 2, "000000000001": 1, "000000000002": 1}
    assert corpus.notes == (
        f"1 images are not in {coco[0]}",
        "annotations without a segmentation left out: 1",
    )
    picture = corpus.entries[0].load()
    assert picture.objects[0].mask[2:12, 20:30].all()
    assert picture.ignore is not None
    assert np.array_equal(np.flatnonzero(picture.ignore.mask.any(axis=0)), [0])


def test_coco_is_read_by_its_name(coco: list[Path]) -> None:
    corpus = sources.read(f"coco:{coco[0]},{coco[1]}")
    assert [one.objects for one in corpus.entries] == [1, 1]
    with pytest.raises(IsbenchError, match="wanted coco:IMAGES_DIR"):
        sources.read(f"coco:{coco[0]}")


def test_annotations_that_cannot_be_used_are_refused(coco: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    for text, message in (
        ("{", "not in COCO's instance format"),
        ('{"images": []}', "no list 'annotations'"),
        ('{"images": [], "annotations": []}', "has no annotation"),
    ):
        broken.write_text(text)
        with pytest.raises(IsbenchError, match=message):
            instances.read(coco[0], [broken])
    with pytest.raises(IsbenchError, match="cannot read"):
        instances.read(coco[0], [tmp_path / "missing.json"])
    with pytest.raises(IsbenchError, match="pass the folder with the images"):
        instances.read(tmp_path / "nowhere", [coco[1]])


IMAGE = {"id": 0, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}
OBJECT = {"id": 0, "image_id": 0, "segmentation": square(2, 2, 9)}


@pytest.mark.parametrize(
    ("images", "objects", "message"),
    [
        ([IMAGE, {**IMAGE, "file_name": "b.png"}], [OBJECT], "the id 0 .* of another image"),
        ([IMAGE, {**IMAGE, "id": 1}], [OBJECT], "the file name a.png of another image"),
        ([{**IMAGE, "id": True}], [OBJECT], "has id True; wanted a whole number"),
        ([{**IMAGE, "height": "30"}], [OBJECT], "has height '30'; wanted a whole number"),
        ([{**IMAGE, "file_name": "../a.png"}], [OBJECT], "leads out of the folder"),
        ([{"id": 0, "height": 3, "width": 3}], [OBJECT], "wanted the name of a file"),
        ([IMAGE], [OBJECT, OBJECT], "has the id 0 of another annotation"),
        ([IMAGE], [{**OBJECT, "iscrowd": "0"}], "has iscrowd '0'; wanted 0 or 1"),
        ([IMAGE], [{"image_id": 0}, {"id": 3}], "has 2 faults: .* no id; .* no image_id"),
    ],
)
def test_annotations_that_are_ambiguous_or_malformed_are_refused(
    images: list[Any], objects: list[Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": objects}))
    with pytest.raises(IsbenchError, match=message):
        instances.read(tmp_path, [tmp_path / "a.json"])


def test_images_that_differ_by_their_suffix_have_different_names(tmp_path: Path) -> None:
    images = [{**IMAGE, "id": k, "file_name": name} for k, name in enumerate(("a.png", "a.bmp"))]
    path = write_instances(
        tmp_path / "a.json", images, [(0, square(2, 2, 9)), (1, square(3, 3, 9))]
    )
    for image in images:
        cv2.imwrite(str(tmp_path / str(image["file_name"])), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    corpus = instances.read(tmp_path, [path])
    assert sorted(one.name for one in corpus.entries) == ["a.bmp", "a.png"]


def test_a_broken_outline_is_an_error_when_its_image_is_loaded(coco: list[Path]) -> None:
    size = {"height": HEIGHT, "width": WIDTH}
    bad = {"size": [HEIGHT, WIDTH], "counts": [1, 2]}
    images = [{"id": 0, "file_name": f"{0:012}.png", **size}]
    path = write_instances(coco[0] / "bad.json", images, [(0, bad)])
    with pytest.raises(IsbenchError, match="invalid outline"):
        instances.read(coco[0], [path]).entries[0].load()


def test_sbd_leaves_out_what_hardly_fills_its_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "SBD"
    for folder in ("img", "inst"):
        (root / folder).mkdir(parents=True)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[5:15, 5:15] = 1
    labels[0, 0] = labels[29, 39] = 2  # two pixels far apart
    for stem in ("a", "b"):
        cv2.imwrite(str(root / "img" / f"{stem}.jpg"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    savemat(root / "inst" / "a.mat", {"GTinst": {"Segmentation": labels}})
    savemat(root / "inst" / "b.mat", {"GTinst": {"Segmentation": np.where(labels == 2, 2, 0)}})
    (root / "train.txt").write_text("a\nb\n")
    monkeypatch.setenv("ISBENCH_DATA", str(tmp_path))
    corpus = sources.read("sbd")
    assert [(one.name, one.source) for one in corpus.entries] == [("a", "sbd"), ("b", "sbd")]
    assert [one.area for one in corpus.entries[0].load().objects] == [100]
    with pytest.raises(IsbenchError, match="no object to train on"):
        corpus.entries[1].load()


def test_ones_own_folder_is_read(tmp_path: Path) -> None:
    corpus = sources.read(f"folder:{write_folder_set(tmp_path / 'own', objects=6, images=4)}")
    assert corpus.count_sources() == {"folder": (4, 6)}
    assert corpus.entries[0].load().image.shape == (24, 32, 3)


def test_a_pack_is_read_by_its_form_or_its_path(tmp_path: Path) -> None:
    root = write_pack(tmp_path / "toy", images=4)
    assert sources.read(str(root)).digest == sources.read(f"pack:{root}").digest


def test_unknown_data_get_the_nearest_form() -> None:
    with pytest.raises(IsbenchError, match="did you mean pack:PATH"):
        sources.read("pakc:here")


@pytest.mark.parametrize("data", ["", "pack:", "folder:", "coco:"])
def test_data_without_a_place_are_refused(data: str) -> None:
    with pytest.raises(IsbenchError, match=f"training data '{data}' names no place; wanted pack"):
        sources.read(data)


def test_missing_sbd_says_how_training_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISBENCH_DATA", str(tmp_path))
    with pytest.raises(IsbenchError, match=r"sbd-train .* or set ISBENCH_DATA to the parent"):
        sources.read("sbd")
