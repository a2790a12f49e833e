"""COCO's annotation files: all faults are found when a file is opened, and listed at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isbench.datasets import load_dataset
from isbench.datasets.faults import DatasetFaults
from isbench.datasets.verify import verify_named
from isbench.errors import IsbenchError
from isbench.metrics import find_image
from tests.support.layouts import HEIGHT, WIDTH, box, coco_json, coco_name, draw_picture, write

SQUARE = [3, 2, 8, 2, 8, 6, 3, 6]


def change(root: Path, edit: Callable[[dict[str, Any]], object]) -> str:
    """Write a set, edit its annotations, and return its name."""
    path = coco_json(root)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return coco_name(root)


def refuse(name: str) -> str:
    """Return why a set cannot be opened; no object of it is loaded."""
    with pytest.raises(IsbenchError) as raised:
        load_dataset(name)
    return str(raised.value)


def test_two_images_of_one_id_or_one_name_are_refused(tmp_path: Path) -> None:
    def repeat(content: dict[str, Any], **changes: object) -> None:
        content["images"].append({**content["images"][0], **changes})

    said = refuse(change(tmp_path, lambda content: repeat(content, file_name="a.jpg.png")))
    assert "two images have the id 7: b 2.jpg and a.jpg.png" in said
    for name in ("b 2.jpg", "./b 2.jpg"):
        said = refuse(change(tmp_path, lambda content, n=name: repeat(content, id=99, file_name=n)))
        assert f"two images are named {name}: ids 7 and 99" in said


def test_all_faults_of_a_file_are_listed_at_once_with_a_count(tmp_path: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        content["annotations"] += [
            {"id": 100 + k, "image_id": 7, "iscrowd": 0, "segmentation": [[1, 2, 3]]}
            for k in range(20)
        ]
        content["images"][1]["width"] += 1
        content["annotations"][3]["id"] = "8"

    name = change(tmp_path, spoil)
    (tmp_path / "images" / "without objects.jpg").unlink()
    said = refuse(name)
    assert "instances.json has 22 faults: annotations[3] has id '8'" in said
    assert said.count("object b 2#1") == 8
    assert "; and 12 more; correct the annotations" in said
    verdict = verify_named(name)
    assert len(verdict.faults) == 22
    assert (verdict.images, verdict.objects) == (1, 2)  # what can still be read


@pytest.mark.parametrize(
    "name",
    ["../x.jpg", "/etc/passwd", "sub/../../x.jpg", "..", "a\\b.jpg", "..\\x.jpg", "", ".", "a\nb",
     "a\x00b.jpg", "\u2028.jpg"],
)  # fmt: skip
def test_a_file_name_that_leads_out_or_cannot_be_recorded_is_refused(
    tmp_path: Path, name: str
) -> None:
    said = refuse(change(tmp_path, lambda content: content["images"][0].update(file_name=name)))
    assert "images[0] has file_name " in said
    assert "\n" not in said
    said.encode()


def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    said = refuse(change(tmp_path, lambda content: content["images"][0].update(file_name="\ud800")))
    assert "contains '\\ud800', which is no text" in said


def test_a_link_out_of_the_folder_of_images_is_refused_and_one_inside_is_followed(
    tmp_path: Path,
) -> None:
    name, images = coco_name(tmp_path), tmp_path / "images"
    coco_json(tmp_path)
    (images / "a.jpg").rename(images / "real.jpg")
    (images / "a.jpg").symlink_to("real.jpg")
    assert len(load_dataset(name).keys) == 4
    (images / "real.jpg").rename(tmp_path / "secret.jpg")
    (images / "a.jpg").unlink()
    (images / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    assert "a.jpg is a link that leads out of" in refuse(name)
    (images / "a.jpg").unlink()
    (images / "a.jpg").symlink_to("a.jpg")
    assert "a.jpg" in refuse(name)


def test_a_backslash_between_folders_is_said(tmp_path: Path) -> None:
    said = refuse(change(tmp_path, lambda c: c["images"][0].update(file_name="sub\\b 2.jpg")))
    assert "wanted '/' between folders" in said


def test_names_that_are_too_long_end_in_one_line(tmp_path: Path) -> None:
    edit = change(tmp_path, lambda content: content["images"][0].update(file_name="x" * 5000))
    assert "cannot read image" in refuse(edit)


@pytest.mark.parametrize("size", [(60_000, 60_000), (HEIGHT, WIDTH + 1), (1, 1), (2**62, 2**62)])
def test_another_size_than_the_file_s_is_found_before_a_mask_is_made(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    height, width = size
    name = change(tmp_path, lambda content: content["images"][0].update(height=height, width=width))
    assert f"image b 2.jpg is listed with {width}x{height} pixels and has 16x12;" in refuse(name)


def test_swapped_sizes_are_distinguished_from_images_that_exif_data_rotate(tmp_path: Path) -> None:
    swap = {"height": WIDTH, "width": HEIGHT}
    name = change(tmp_path, lambda content: content["images"][0].update(swap))
    assert "and has 16x12: width and height are swapped" in refuse(name)
    name = change(tmp_path, lambda content: None)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(draw_picture(7)).save(tmp_path / "images" / "b 2.jpg", exif=exif)
    assert "and has 12x16: its EXIF data rotates it" in refuse(name)


def test_polygons_of_one_or_two_points_are_left_out_wherever_they_are(tmp_path: Path) -> None:
    sliver = [1.0, 1.0, 5.0, 5.0]
    for polygons in ([sliver, SQUARE], [SQUARE, sliver], [[1, 2], SQUARE, sliver]):
        name = change(
            tmp_path, lambda content, p=polygons: content["annotations"][0].update(segmentation=p)
        )
        dataset = load_dataset(name)
        np.testing.assert_array_equal(dataset.load("b 2#30").truth, box(1, 2, 3) == 1)
        count = len(polygons) - 1
        assert f"polygons of less than three points left out: {count}" in dataset.notes


def test_two_images_of_one_stem_are_two_images(tmp_path: Path) -> None:
    def add(content: dict[str, Any]) -> None:
        for number, file in enumerate(("a.bmp", "a.bmp.png", "c.png")):
            size = {"height": HEIGHT, "width": WIDTH}
            content["images"].append({"id": 20 + number, "file_name": file, **size})
            content["annotations"].append(
                {"id": 50 + number, "image_id": 20 + number, "segmentation": [SQUARE]}
            )

    name = change(tmp_path, add)
    for number, file in enumerate(("a.bmp", "a.bmp.png", "c.png")):
        write(tmp_path / "images" / file, draw_picture(30 + number))
    dataset = load_dataset(name)
    images = {find_image(key): dataset.load(key).image.tobytes() for key in dataset.keys}
    assert len(images) == len(set(images.values())) == 6


def test_paths_with_commas_are_found(tmp_path: Path) -> None:
    root = tmp_path / "my, own" / "pictures"
    path = coco_json(root)
    path.rename(root / "a,b,c.json")
    (root / "images").rename(root / "im,ages")
    place = f"coco:{root / 'im,ages'},{root / 'a,b,c.json'}"
    assert load_dataset(place).keys == ("a#9", "b 2#4", "b 2#30", "sub/a#8")
    assert load_dataset(place).name == "coco:a,b,c"


def test_a_field_that_an_entry_has_twice_is_refused(tmp_path: Path) -> None:
    path = coco_json(tmp_path)
    path.write_text(path.read_text().replace('"id": 7,', '"id": 8, "id": 7,'))
    assert "an entry has the field 'id' twice" in refuse(coco_name(tmp_path))


@pytest.mark.parametrize("content", ["[" * 100_000, '{"images":' * 50_000, '{"a": 1' + "0" * 5000])
def test_deep_and_endless_json_ends_in_one_line(tmp_path: Path, content: str) -> None:
    coco_json(tmp_path).write_text(content)
    assert "is not in COCO's instance format" in refuse(coco_name(tmp_path))


def test_faults_survive_pickling() -> None:
    import pickle

    from isbench.datasets.faults import list_faults

    error = list_faults("it", ["first", "second"], "mend them")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, DatasetFaults)
    assert (str(copy), copy.faults) == ("it has 2 faults: first; second; mend them", error.faults)
