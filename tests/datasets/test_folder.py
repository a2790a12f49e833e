"""A user's folder: what it is read as, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint_initial
from isbench.datasets.loading import load_sample
from isbench.datasets.verify import verify_named
from isbench.errors import IsbenchError
from tests.datasets.conftest import refusal
from tests.support.layouts import box, draw_picture, write


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
    write(own / "images" / "a__1.jpg", draw_picture(3))
    write(own / "masks" / "a__1.png", box(1, 1, 1))
    write(own / "masks" / "a__1__2.png", box(1, 2, 2))
    assert load_dataset(f"folder:{own}").keys[:2] == ("a__1#1", "a__1#2")


def test_a_folder_without_images_or_masks_is_refused(own: Path, tmp_path: Path) -> None:
    assert f"cannot list {tmp_path / 'nowhere' / 'images'}" in refusal(f"folder:{tmp_path}/nowhere")
    for mask in (own / "masks").iterdir():
        mask.unlink()
    assert f"no masks in {own / 'masks'}" in refusal(f"folder:{own}")


def test_a_folder_s_image_without_a_mask_and_mask_without_an_image_are_named(own: Path) -> None:
    write(own / "images" / "bare.png", draw_picture(1))
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
    write(own / "images" / "cup.png", draw_picture(0))
    assert f"two images named cup: {own}/images/cup.jpg and" in refusal(f"folder:{own}")


def test_what_is_passed_over_is_counted_in_the_notes(own: Path) -> None:
    for name in ("cat.gif", "cat.jfif", "cat"):
        (own / "images" / name).write_bytes(b"GIF89a")
        (own / "masks" / name).write_bytes(b"GIF89a")
    (own / "images" / "more").mkdir()
    for folder in ("images", "masks"):
        (own / folder / "lost.png").symlink_to("nowhere.png")
    dataset = load_dataset(f"folder:{own}")
    assert len(dataset.keys) == 5
    assert dataset.notes == (
        "left out in images/: 1 without suffix (cat); 1 .gif (cat.gif); 1 .jfif (cat.jfif); "
        "1 dangling link (lost.png); 1 subfolder (more)",
        "left out in masks/: 1 without suffix (cat); 1 .gif (cat.gif); 1 .jfif (cat.jfif); "
        "1 dangling link (lost.png)",
    )


def test_all_faults_of_a_folder_are_listed_at_once(own: Path) -> None:
    for stem in ("bare", "naked"):
        write(own / "images" / f"{stem}.png", draw_picture(1))
    write(own / "masks" / "lone.png", box(1, 1, 1))
    write(own / "masks" / "cup__1.png", box(1, 1, 1))
    (own / "images" / "dog 10.jpg").write_bytes(b"torn")
    said = refusal(f"folder:{own}")
    assert "has 4 faults" in said
    faults = verify_named(f"folder:{own}").faults
    assert len(faults) == 5
    for name in ("bare", "naked", "lone", "cup__1", "dog 10"):
        assert sum(name in fault for fault in faults) == 1


def test_a_name_that_is_not_text_is_refused_in_one_line(own: Path) -> None:
    for name in (b"caf\xe9.png", b"two\nlines.png"):
        path = Path(os.fsdecode(os.fsencode(own / "images") + b"/" + name))
        path.write_bytes((own / "images" / "cup.jpg").read_bytes())
        said = refusal(f"folder:{own}")
        assert "has a name that is not text; rename it" in said
        said.encode()
        path.unlink()


def start_from(own: Path) -> Path:
    """Give every object of the folder an initial mask, two columns to the left of it."""
    for path in (own / "masks").iterdir():
        row = {"cup": 4, "dog 10__1": 0, "dog 2__2": 1, "dog 2__10": 2}.get(path.stem, 3)
        write(own / "initial" / path.name, box(255, row, 2 if path.stem == "cup" else 3))
    return own / "initial"


def test_games_start_from_the_masks_in_a_folder_of_their_own(own: Path) -> None:
    before = load_dataset(f"folder:{own}")
    start_from(own)
    dataset = load_dataset(f"folder:{own}")
    assert (dataset.keys, dataset.name) == (before.keys, before.name)
    np.testing.assert_array_equal(load_sample(dataset, "cup#1").initial, box(1, 4, 2) == 1)
    np.testing.assert_array_equal(load_sample(dataset, "dog 2#10").initial, box(1, 2, 3) == 1)
    assert load_sample(before, "cup#1").initial is None
    added = {f"initial/{path.name}" for path in (own / "masks").iterdir()}
    assert set(dataset.files) - set(before.files) == added
    assert fingerprint_initial(dataset) is not None


def test_a_mask_without_its_initial_mask_is_named_and_the_rest_is_read(own: Path) -> None:
    folder = start_from(own)
    (folder / "dog 2__2.png").unlink()
    (folder / "notes.txt").write_text("two masks are rough")
    verdict = verify_named(f"folder:{own}")
    (said,) = verdict.faults
    assert f"{own}/masks/dog 2__2.png has no initial mask: wanted {folder}/dog 2__2.png" in said
    assert verdict.objects == 4
    assert "left out in initial/: 1 .txt (notes.txt)" in verdict.notes


def test_an_initial_mask_of_another_size_names_the_object(own: Path) -> None:
    write(start_from(own) / "cup.png", box(255, 1, 1)[:5])
    with pytest.raises(IsbenchError, match=r"object cup#1: initial is \(5, 16\) of bool; wanted"):
        load_sample(load_dataset(f"folder:{own}"), "cup#1")


def test_initial_label_maps_are_read_like_the_masks(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.png", draw_picture(1))
    write(tmp_path / "masks" / "a.png", box(2, 6, 8, box(1, 1, 1)))
    write(tmp_path / "initial" / "a.png", box(2, 5, 8))
    dataset = load_dataset(f"folder:{tmp_path}?labels=instances")
    starts = [load_sample(dataset, key).initial for key in ("a#1", "a#2")]
    np.testing.assert_array_equal(starts, [box(0, 5, 8) == 1, box(1, 5, 8) == 1])


def test_initial_masks_of_no_object_are_named(own: Path) -> None:
    folder = start_from(own)
    write(folder / "cup 2.png", box(255, 1, 1))
    (said,) = verify_named(f"folder:{own}").faults
    assert f"initial mask {folder}/cup 2.png has no mask: wanted {own}/masks/cup 2.png" in said


def test_hidden_images_are_counted(own: Path) -> None:
    write(own / "images" / ".cat.png", draw_picture(1))
    assert "left out in images/: 1 hidden (.cat.png)" in verify_named(f"folder:{own}").notes


def test_soft_edges_are_no_instances(tmp_path: Path) -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    hard = cv2.circle(np.zeros((60, 80), np.uint8), (40, 30), 20, (254,), -1)
    soft = cv2.GaussianBlur(hard, (0, 0), 2)
    many = np.repeat(np.repeat(np.arange(1, 49, dtype=np.uint8).reshape(6, 8), 10, 0), 10, 1)
    for name, mask in (("a", soft), ("b", many)):
        write(tmp_path / "images" / f"{name}.png", image)
        write(tmp_path / "masks" / f"{name}.png", mask)
    verdict = verify_named(f"folder:{tmp_path}?labels=instances")
    (said,) = verdict.faults
    assert "masks/a.png has" in said
    assert "it looks like a mask with soft edges" in said
    assert verdict.objects == 48


@pytest.mark.parametrize("thickness", [1, 2])
def test_thin_instances_are_no_soft_edges(tmp_path: Path, thickness: int) -> None:
    mask = np.zeros((240, 90), np.uint8)
    for level in range(1, 61):  # a wire and a dot for each
        mask[4 * level - 4 : 4 * level - 4 + thickness, 4:80] = level
        mask[4 * level - 4 : 4 * level - 4 + thickness, 84 : 84 + thickness] = 60 + level
    write(tmp_path / "images" / "a.png", np.zeros((240, 90, 3), np.uint8))
    write(tmp_path / "masks" / "a.png", mask)
    assert len(load_dataset(f"folder:{tmp_path}?labels=instances").keys) == 120
