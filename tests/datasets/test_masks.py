"""Masks of a user's folder: several levels and colours are refused, or read as the user says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.image_io import check_mask, read_mask, read_stored
from isbench.datasets.readers import with_labels
from isbench.errors import IsbenchError
from isbench.storage import store
from tests.datasets.conftest import refusal
from tests.support.layouts import HEIGHT, WIDTH, Pixels, box, draw_picture, write, write_palette

Isbench = Callable[..., tuple[int, str, str]]
LABELS = box(3, 7, 10, box(2, 6, 2, box(1, 1, 1)))


def make_set(root: Path, mask: Pixels, suffix: str = ".png") -> str:
    """Write a folder with one image and one mask, and return the name of the set."""
    write(root / "images" / "cat.png", draw_picture(1))
    (root / "masks").mkdir(exist_ok=True)
    Image.fromarray(mask).save(root / "masks" / f"cat{suffix}", lossless=True)
    return f"folder:{root}"


@given(st.sets(st.integers(0, 255), min_size=1, max_size=5))
def test_a_mask_is_read_only_if_one_level_may_be_the_object(levels: set[int]) -> None:
    from tempfile import TemporaryDirectory

    mask = np.resize(np.array(sorted(levels), np.uint8), (HEIGHT, WIDTH))
    with TemporaryDirectory() as scratch:
        name, objects = make_set(Path(scratch), mask), levels - {0, 128}
        if len(objects) > 1:
            assert "has the levels " in refusal(name)
            return
        sample = load_dataset(name).load("cat#1")
        np.testing.assert_array_equal(sample.truth, np.isin(mask, [*objects]))
        np.testing.assert_array_equal(sample.ignore, mask == 128)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_soft_edges_are_refused_in_every_format(tmp_path: Path, suffix: str) -> None:
    soft = np.asarray(cv2.GaussianBlur(box(255, 3, 4), (5, 5), 2), np.uint8)
    said = refusal(make_set(tmp_path, soft, suffix))
    if suffix == ".webp":  # it has no grey images
        assert "has several colours" in said or "has the levels" in said
    else:
        assert "has the levels" in said


def test_many_levels_are_taken_for_soft_edges_and_few_for_labels(tmp_path: Path) -> None:
    ramp = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    assert "save it with a threshold" in refusal(make_set(tmp_path, ramp))
    assert "labels=instances if each level is an object" in refusal(make_set(tmp_path, LABELS))


def test_a_colour_mask_of_two_objects_is_refused(tmp_path: Path) -> None:
    colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colours[1:4, 1:4] = 200, 0, 0
    assert load_dataset(make_set(tmp_path, colours)).load("cat#1").truth.sum() == 9
    colours[6:9, 6:9] = 0, 200, 0
    assert "has several colours; wanted black and one other" in refusal(make_set(tmp_path, colours))


def test_labels_instances_makes_an_object_of_each_level(tmp_path: Path) -> None:
    mask = LABELS.copy()
    mask[0] = 255
    dataset = load_dataset(f"{make_set(tmp_path, mask)}?labels=instances")
    assert dataset.keys == ("cat#1", "cat#2", "cat#3")
    for level, key in enumerate(dataset.keys, start=1):
        sample = dataset.load(key)
        np.testing.assert_array_equal(sample.truth, mask == level)
        np.testing.assert_array_equal(sample.ignore, mask == 255)
    write_palette(tmp_path / "masks" / "cat.png", mask)
    assert load_dataset(f"folder:{tmp_path}?labels=instances").keys == dataset.keys
    (tmp_path / "masks" / "cat.png").rename(tmp_path / "masks" / "cat__b.png")
    keys = load_dataset(f"folder:{tmp_path}?labels=instances").keys
    assert keys == ("cat#b.1", "cat#b.2", "cat#b.3")


def test_colours_are_no_levels(tmp_path: Path) -> None:
    colour = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colour[3:9, 4:12] = (200, 0, 0)
    name = make_set(tmp_path, colour)
    assert load_dataset(name).load("cat#1").truth.any()
    assert "has colours; wanted levels of grey" in refusal(f"{name}?labels=void")


def test_labels_are_added_where_there_are_none() -> None:
    names = ("folder:a", "folder:b?labels=void", "davis")
    wanted = ("folder:a?labels=instances", "folder:b?labels=void", "davis")
    assert with_labels(names, "instances") == wanted
    for found, said in (
        ((), "no data set is named; wanted folder:PATH"),
        (("davis",), "the data set davis; wanted folder:PATH"),
        (("folder:b?labels=void",), "wanted folder:PATH"),
    ):
        with pytest.raises(IsbenchError, match=f"labels is instances and .*{said}"):
            with_labels(found, "instances")


def test_labels_void_does_not_score_255(tmp_path: Path) -> None:
    mask = box(1, 2, 3, box(255, 1, 2))
    name = make_set(tmp_path, mask)
    assert "labels=void if 255 is not scored" in refusal(name)
    sample = load_dataset(f"{name}?labels=void").load("cat#1")
    np.testing.assert_array_equal(sample.truth, mask == 1)
    np.testing.assert_array_equal(sample.ignore, mask == 255)
    assert "has the levels 1, 2, 3" in refusal(f"{make_set(tmp_path, LABELS)}?labels=void")


def test_how_masks_are_read_is_part_of_a_set_s_identity(tmp_path: Path) -> None:
    name = make_set(tmp_path, box(7, 1, 1))
    sets = [load_dataset(f"{name}{end}") for end in ("", "?labels=void", "?labels=instances")]
    assert len({one.name for one in sets}) == len({fingerprint(one) for one in sets}) == 3


def test_the_option_works_in_run_add_and_verify_and_names_unknown_values(
    isbench: Isbench, tmp_path: Path
) -> None:
    name, data, runs = make_set(tmp_path / "mine", LABELS), tmp_path / "data", tmp_path / "runs"
    code, _, said = isbench("data", "verify", name)
    assert code == 2
    code, printed, said = isbench("data", "verify", name, "--labels", "instances")
    assert code == 0, said
    assert "1/3 images/objects" in printed
    played = ["run", "--model", "nearest", "--max-clicks", 1, "--out", runs, "--data", data]
    code, _, said = isbench(*played, "--dataset", name)
    assert (code, said.count("\n")) == (2, 1) or "(--labels)" in said
    assert "labels=instances if each level is an object" in said
    assert isbench(*played, "--dataset", name, "--labels", "instances")[0] == 0
    assert isbench("data", "add", "mine", name, "--labels", "instances", "--data", data)[0] == 0
    assert isbench(*played, "--dataset", "mine")[0] == 0
    specs = [store.read(path).spec for path in store.find(runs) if path.name.endswith("gz")]
    assert [spec.dataset for spec in specs] == ["folder:mine?labels=instances", "mine"]
    code, _, said = isbench(*played, "--dataset", "sample", "--labels", "void")
    assert code == 2
    assert "wanted folder:PATH, whose masks it is for (--labels)" in said
    assert "wanted instances or void" in refusal(f"{name}?labels=x")


def test_a_mask_without_instances_is_named(tmp_path: Path) -> None:
    name = make_set(tmp_path, box(255, 1, 1))
    assert "cat.png has no instance" in refusal(f"{name}?labels=instances")


def save_masks(folder: Path) -> list[Path]:
    """Write masks that are right, would be misread, or cannot be read."""
    grey = np.array([[0, 255], [128, 0]], np.uint8)
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    palette.putpalette([0, 0, 0, 9, 9, 9])
    bright = palette.copy()
    bright.putpalette([9, 9, 9, 0, 0, 0])
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "grey.png": (Image.fromarray(grey), {}),
        "bits.png": (Image.fromarray(grey > 0), {}),
        "colours.png": (Image.fromarray(np.stack([grey, grey, grey // 2], 2)), {}),
        "opaque.png": (Image.fromarray(grey).convert("RGBA"), {}),
        "clear.png": (Image.fromarray(np.stack([grey] * 4, 2)), {}),
        "deep.png": (Image.fromarray(grey.astype(np.uint16) * 257), {}),
        "palette.png": (palette, {}),
        "bright.png": (bright, {}),
        "turned.png": (Image.fromarray(grey), {"exif": turned}),
        "soft.jpg": (Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)), {}),
        "hard.jpg": (Image.fromarray(np.full((8, 8), 255, np.uint8)), {"quality": 100}),
        "turned.jpg": (Image.fromarray(grey), {"exif": turned}),
        "grey.tif": (Image.fromarray(grey), {}),
    }
    for name, (image, options) in pictures.items():
        image.save(folder / name, **options)
    whole = (folder / "hard.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.png").write_bytes((folder / "grey.png").read_bytes()[:-20])
    (folder / "text.png").write_bytes(b"no image")
    return sorted(folder.iterdir())


def check_and_read(path: Path) -> np.ndarray:
    check_mask(path)
    return read_stored(path)


def test_a_mask_that_is_opened_once_reads_like_one_that_is_checked_first(tmp_path: Path) -> None:
    def call(read: Callable[[Path], np.ndarray], path: Path) -> object:
        try:
            return read(path).tolist()
        except IsbenchError as error:
            return str(error)

    found = {path.name: call(read_mask, path) for path in save_masks(tmp_path)}
    assert found == {path.name: call(check_and_read, path) for path in tmp_path.iterdir()}
    assert {type(one) for one in found.values()} == {list, str}
