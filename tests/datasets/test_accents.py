"""Letters with accents are one character or two, by the system that wrote a name."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.types import Dataset
from tests.datasets.conftest import refusal
from tests.support.layouts import box, coco_json, coco_name, draw_picture, voc, write

FORMS = ("NFC", "NFD")
NAME = "caf\u00e9 \u00fc"


def spell(form: str, name: str = NAME) -> str:
    return unicodedata.normalize(form, name)


def check_equal(datasets: list[Dataset]) -> None:
    """Check that data sets have the same keys, fingerprint and objects."""
    first, *others = datasets
    assert first.keys
    for other in others:
        assert other.keys == first.keys
        assert fingerprint(other) == fingerprint(first)
        for key in first.keys:
            one, same = first.load(key), other.load(key)
            np.testing.assert_array_equal(one.image, same.image)
            np.testing.assert_array_equal(one.truth, same.truth)


def keeps_forms_apart(folder: Path) -> bool:
    (folder / spell("NFC")).touch()
    return not (folder / spell("NFD")).exists()


@pytest.mark.parametrize("labels", ["", "?labels=instances"])
def test_images_and_masks_of_a_folder_match_in_any_form(tmp_path: Path, labels: str) -> None:
    found = []
    for image in FORMS:
        for mask in FORMS:
            root = tmp_path / f"{image}-{mask}" / "set"
            write(root / "images" / f"{spell(image)}.png", draw_picture(1))
            write(root / "masks" / f"{spell(mask)}.png", box(1, 2, 3))
            found.append(load_dataset(f"folder:{root}{labels}"))
    check_equal(found)
    assert found[0].keys == (f"{spell('NFC')}#1",)


def test_two_images_that_differ_by_the_form_of_an_accent_are_ambiguous(tmp_path: Path) -> None:
    if not keeps_forms_apart(tmp_path):
        pytest.skip("this file system has one file for both forms")
    for form in FORMS:
        write(tmp_path / "set" / "images" / f"{spell(form)}.png", draw_picture(1))
    write(tmp_path / "set" / "masks" / f"{spell('NFC')}.png", box(1, 2, 3))
    assert f"two images named {spell('NFC')}" in refusal(f"folder:{tmp_path / 'set'}")


@pytest.mark.parametrize("listed", FORMS)
def test_a_name_in_coco_annotations_finds_its_file_in_any_form(tmp_path: Path, listed: str) -> None:
    found = []
    for form in FORMS:
        root = tmp_path / form
        path = coco_json(root)
        content = json.loads(path.read_text())
        entry = content["images"][0]
        folder = root / "images"
        (folder / entry["file_name"]).rename(folder / f"{spell(form)}.jpg")
        entry["file_name"] = f"{spell(listed)}.jpg"
        path.write_text(json.dumps(content))
        found.append(load_dataset(coco_name(root)))
    check_equal(found)
    assert any(key.startswith(spell(listed)) for key in found[0].keys)


@pytest.mark.parametrize("listed", FORMS)
def test_a_name_in_a_list_finds_its_files_in_any_form(tmp_path: Path, listed: str) -> None:
    word, found = "\u00e9t\u00e9", []
    for form in FORMS:
        root = voc(tmp_path / form / "VOC2012")
        listing = root / "ImageSets" / "Segmentation" / "val.txt"
        stem = listing.read_text().split()[0]
        for place, suffix in (("JPEGImages", "jpg"), ("SegmentationObject", "png")):
            file = root / place / f"{stem}.{suffix}"
            file.rename(file.with_name(f"{spell(form, word)}.{suffix}"))
        listing.write_text(listing.read_text().replace(stem, spell(listed, word)))
        found.append(load_dataset("voc-val", tmp_path / form))
    check_equal(found)
