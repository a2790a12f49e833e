"""Packs and what is held out of them; `write_pack` makes small ones for other tests."""

from __future__ import annotations

import csv
import io
import re
import tarfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isbench.errors import IsbenchError
from isbench.training import pack
from isbench.training.corpus import (
    Corpus,
    Gallery,
    is_held_out,
    pack_mask,
    pick_objects,
    split_held_out,
)

HEIGHT, WIDTH = 48, 64


def write_pack(root: Path, images: int = 60, broken: Sequence[int] = ()) -> Path:
    """Write a pack of images with one or two bright blobs each, some of whose files are broken."""
    root.mkdir(parents=True)
    rows = []
    with tarfile.open(root / "all.tar", "w") as tar:
        for number in range(images):
            rng = np.random.default_rng(number)
            pixels = rng.integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            image = f"toy/img/{number:03}.png"
            for k in range(1 + number % 2):
                mask = np.zeros((HEIGHT, WIDTH), np.uint8)
                centre = int(rng.integers(10, 54)), int(rng.integers(10, 38))
                cv2.ellipse(mask, centre, (4 + number % 9, 6), 30.0 * number, 0, 360, (255,), -1)
                pixels[mask > 0] |= np.uint8(128)
                name = f"toy/gt/{number:03}__{k:02}.png"
                _add(tar, name, mask)
                area = np.count_nonzero(mask)
                source = "part" if number % 3 == 0 else "whole"
                rows.append([source, image, name, WIDTH, HEIGHT, area])
            _add(tar, image, None if number in broken else pixels)
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "image", "mask", "width", "height", "area"])
        writer.writerows(rows)
    return root


def _add(tar: tarfile.TarFile, name: str, pixels: np.ndarray | None) -> None:
    data = b"not a picture" if pixels is None else cv2.imencode(".png", pixels)[1].tobytes()
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return pack.read(write_pack(tmp_path_factory.mktemp("packs") / "toy", broken=(7,)))


def test_a_pack_gives_back_what_was_written(corpus: Corpus) -> None:
    entry = corpus.entries[5]
    picture = entry.load()
    assert (entry.name, entry.source, entry.objects) == ("toy/img/005.png", "whole", 2)
    assert picture.image.shape == (HEIGHT, WIDTH, 3)
    for one in picture.objects:
        assert picture.image[one.mask].min() >= 128
        assert one.area == np.count_nonzero(one.mask)
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    outside = ~np.logical_or.reduce([one.mask for one in picture.objects])
    assert np.array_equal(picture.image[outside], pixels[:, :, ::-1][outside])


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_packing_a_mask_loses_nothing(mask: np.ndarray) -> None:
    assert np.array_equal(pack_mask(mask).mask, mask)


def test_counts_are_by_source(corpus: Corpus) -> None:
    assert corpus.count_sources() == {"part": (20, 30), "whole": (40, 60)}


def test_held_out_is_by_the_digest_of_the_name(corpus: Corpus) -> None:
    trained, held = split_held_out(corpus)
    assert {one.name for one in trained.entries} | {one.name for one in held.entries} == {
        one.name for one in corpus.entries
    }
    for one in corpus.entries:
        digest = int(sha256(one.name.encode()).hexdigest(), 16)
        assert is_held_out(one.name) == (one in held.entries) == (digest % 20 == 0)


def test_a_pack_with_nothing_held_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="wanted 1 of each or more"):
        split_held_out(pack.read(write_pack(tmp_path / "few", images=2)))


@pytest.mark.parametrize("row", ["part", "part,toy/img/000.png", "part,,toy/gt/000__00.png,1,1,1"])
def test_an_incomplete_row_of_the_index_is_refused(tmp_path: Path, row: str) -> None:
    index = write_pack(tmp_path / "cut") / "index.csv"
    rows = len(index.read_text().splitlines())  # with the head, so the number of the next row
    with index.open("a") as file:
        file.write(row)
    with pytest.raises(IsbenchError, match=rf"index\.csv: row {rows} is incomplete"):
        pack.read(tmp_path / "cut")


def test_processes_of_a_machine_share_its_memory(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Gallery(corpus.entries).budget
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert Gallery(corpus.entries).budget == alone // 4


def test_a_gallery_names_what_cannot_be_loaded_and_keeps_the_rest(corpus: Corpus) -> None:
    gallery = Gallery(corpus.entries)
    assert gallery.load_picture(7) is gallery.load_picture(7) is None
    assert list(gallery.faults) == ["toy/img/007.png"]
    assert "cannot be read as an image" in gallery.faults["toy/img/007.png"]
    assert gallery.load_picture(3) is gallery.load_picture(3)


def test_a_gallery_keeps_no_more_than_its_budget(corpus: Corpus) -> None:
    picture = corpus.entries[0].load()
    gallery = Gallery(corpus.entries, budget=2 * picture.image.nbytes)
    first, again = gallery.load_picture(0), gallery.load_picture(0)
    assert first is again
    for number in (1, 2, 3):
        gallery.load_picture(number)
    assert gallery.load_picture(3) is not gallery.load_picture(3)
    assert not gallery.faults


def test_objects_to_play_are_one_an_image_and_the_same_for_everyone(corpus: Corpus) -> None:
    chosen = pick_objects(corpus, 10)
    assert chosen.keys == pick_objects(corpus, 10).keys == pick_objects(corpus, 20).keys[:10]
    assert len({key.partition("#")[0] for key in chosen.keys}) == 10
    every = {f"{one.name}#{number}" for one in corpus.entries for number in range(one.objects)}
    assert set(chosen.keys) <= every
    sample = chosen.load("toy/img/005.png#1")
    assert np.array_equal(sample.truth, corpus.entries[5].load().objects[1].mask)
    assert pick_objects(corpus, 0).keys == ()


def test_objects_that_cannot_be_played_are_left_out_and_reported(corpus: Corpus) -> None:
    chosen = pick_objects(corpus, 100)
    assert len(chosen.keys) == 59
    (note,) = chosen.notes
    assert note.startswith("toy/img/007.png: ")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "cannot read"),
        ({"index.csv": "source,image,mask\na,b,c\n"}, r"it has no \*.tar"),
        ({"index.csv": "image,mask\nb,c\n", "a.tar": ""}, "lacks the columns source"),
        ({"index.csv": "source,image,mask\n", "a.tar": ""}, "has no rows"),
        ({"index.csv": "source,image,mask\na,b,c\n", "a.tar": "no tar"}, "not a readable tar"),
    ],
)
def test_what_is_no_pack_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(IsbenchError, match=message):
        pack.read(tmp_path)


def test_faults_of_files_are_reported(tmp_path: Path) -> None:
    root = write_pack(tmp_path / "toy", images=3)
    index = (root / "index.csv").read_text()
    index = index.replace("gt/001__00", "gt/missing").replace("img/000", "gt/000__00")
    (root / "index.csv").write_text(index)
    entries = pack.read(root).entries
    with pytest.raises(IsbenchError, match="in none of the pack's tars"):
        entries[1].load()
    assert entries[0].load().image.shape == (HEIGHT, WIDTH, 3)  # a grey picture


def test_a_tar_that_is_gone_is_a_fault_of_its_images(tmp_path: Path) -> None:
    root = write_pack(tmp_path / "toy", images=3)
    gallery = Gallery(pack.read(root).entries)
    (root / "all.tar").unlink()
    assert gallery.load_picture(0) is None
    assert "cannot be read from" in gallery.faults["toy/img/000.png"]
    (root / "all.tar").mkdir()
    with pytest.raises(IsbenchError, match=r"all\.tar is not a readable tar"):
        pack.read(root)


def add_file(tar: Path, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    with tarfile.open(tar, "a") as archive:
        archive.addfile(member, io.BytesIO(data))


def encode(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
OBJECT = np.zeros((HEIGHT, WIDTH), np.uint8)
OBJECT[9:30, 9:30] = 255


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (encode(NOISE), encode(OBJECT), "image a is partly transparent"),
        (encode(NOISE[:, :, :3].astype(np.uint16)), encode(OBJECT), "image a has 16 bits"),
        (encode(NOISE[:, :, :3], ".jpg")[:2000], encode(OBJECT), "image a cannot be read"),
        (encode(NOISE[:, :, :3]), encode(OBJECT.astype(np.uint16)), "mask b has 16 bits"),
        (encode(NOISE[:, :, :3]), encode(OBJECT[1:]), "mask b is 64x47 pixels and its image 64x48"),
        (encode(NOISE[:, :, :3]), encode(OBJECT // 255 * 99 + 1, ".jpg"), "mask b is a JPEG with"),
        (encode(NOISE[:, :, :3]), encode(np.dstack([NOISE])), "mask b is partly transparent"),
    ],
)
def test_images_and_masks_that_would_be_misread_are_faults(
    image: bytes, mask: bytes, message: str, tmp_path: Path
) -> None:
    add_file(tmp_path / "x.tar", "a", image)
    add_file(tmp_path / "x.tar", "b", mask)
    (tmp_path / "index.csv").write_text("source,image,mask\ns,a,b\n")
    gallery = Gallery(pack.read(tmp_path).entries)
    assert gallery.load_picture(0) is None
    assert re.search(message, gallery.faults["a"])


def test_what_a_pack_has_twice_is_refused(tmp_path: Path) -> None:
    root = write_pack(tmp_path / "toy", images=3)
    index = (root / "index.csv").read_text()
    (root / "index.csv").write_text(index + index.splitlines()[-1] + "\n")
    with pytest.raises(IsbenchError, match=r"the same mask in several rows: toy/gt/002__00\.png"):
        pack.read(root)
    (root / "index.csv").write_text(index + "other,toy/img/000.png,toy/gt/9.png,1,1,1\n")
    with pytest.raises(IsbenchError, match="the same image with different sources in several rows"):
        pack.read(root)
    (root / "index.csv").write_text(index)
    for tar in ("all.tar", "b.tar", "c.tar"):  # files that no row names
        add_file(root / tar, "LICENSE", b"")
    add_file(root / "all.tar", "toy/img/001.png", encode(NOISE[:, :, :3]))
    (_, second, _) = pack.read(root).entries
    assert (second.load().image == NOISE[:, :, 2::-1]).all()  # the last of a name in a tar counts
    add_file(root / "b.tar", "toy/img/000.png", b"")
    with pytest.raises(IsbenchError, match=r"b\.tar has toy/img/000\.png, which .*all\.tar has"):
        pack.read(root)


@pytest.mark.parametrize("size", [2**40, 2**62])
def test_a_tar_that_ends_before_its_file_is_refused(tmp_path: Path, size: int) -> None:
    root = write_pack(tmp_path / "toy", images=3)
    member = tarfile.TarInfo("large")
    member.size = size
    (root / "b.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(IsbenchError, match=r"b\.tar (ends before large|is not a readable)"):
        pack.read(root)
