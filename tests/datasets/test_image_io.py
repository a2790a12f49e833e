"""Picture files: what is read, how, and what is refused."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isbench.datasets.image_io import (
    check_size,
    read_colours,
    read_image,
    read_indices,
    read_labels,
    read_stored,
)
from isbench.errors import IsbenchError
from tests.support.layouts import Pixels, box, draw_picture, voc_palette, write, write_palette

Reader = Callable[[Path], Pixels]
COLOURS: Mapping[str, Reader] = {"image": read_image, "colours": read_colours}
READERS: Mapping[str, Reader] = {
    "image": read_image,
    "colours": read_colours,
    "labels": read_labels,
    "indices": read_indices,
}
GREY = draw_picture(5)[:, :, 0]
SMOOTH = cv2.GaussianBlur(draw_picture(6), (0, 0), 2)


def encode(pixels: Any, format: str, **options: Any) -> bytes:
    """Return pixels in a file format, (H, W, C) in the order of Pillow's modes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def encode_turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(SMOOTH, "JPEG", quality=95, exif=exif)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_a_colour_image_is_read_as_rgb(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(draw_picture(1)).save(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, draw_picture(1))


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "JPEG"])
def test_a_grey_image_gets_three_equal_channels(tmp_path: Path, format: str) -> None:
    path = tmp_path / "grey"
    path.write_bytes(encode(GREY, format, **({"quality": 100} if format == "JPEG" else {})))
    image = read_image(path)
    assert image.shape == (*GREY.shape, 3)
    assert (image == image[:, :, :1]).all()
    assert np.abs(image[:, :, 0].astype(int) - GREY).max() <= (2 if format == "JPEG" else 0)


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "opaque.png"
    path.write_bytes(encode(np.dstack([draw_picture(1), np.full_like(GREY, 255)]), "PNG"))
    np.testing.assert_array_equal(read_image(path), draw_picture(1))
    np.testing.assert_array_equal(read_stored(path), draw_picture(1))
    path.write_bytes(encode(np.dstack([GREY, np.full_like(GREY, 255)]), "PNG"))
    np.testing.assert_array_equal(read_labels(path), GREY)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (3, lambda a: a[::-1, ::-1]),
        (6, lambda a: np.rot90(a, -1)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_a_photograph_is_turned_upright(
    tmp_path: Path, orientation: int, turn: Callable[[Pixels], Pixels]
) -> None:
    (tmp_path / "plain.jpg").write_bytes(encode(SMOOTH, "JPEG", quality=95))
    (tmp_path / "turned.jpg").write_bytes(encode_turned(orientation))
    upright = turn(read_image(tmp_path / "plain.jpg"))
    np.testing.assert_array_equal(read_image(tmp_path / "turned.jpg"), upright)


def test_a_mask_of_the_unturned_photograph_gets_an_error_that_names_exif(tmp_path: Path) -> None:
    (tmp_path / "turned.jpg").write_bytes(encode_turned(6))
    write(tmp_path / "mask.png", GREY)
    image = read_image(tmp_path / "turned.jpg")
    with pytest.raises(IsbenchError, match=r"mask\.png is 16x12 .* image 12x16; .*EXIF"):
        check_size(tmp_path / "mask.png", read_labels(tmp_path / "mask.png"), image)


def test_a_mask_of_another_size_gets_an_error_with_both_sizes() -> None:
    mask = np.zeros((11, 16), bool)
    with pytest.raises(IsbenchError, match=r"m\.png is 16x11 pixels and its image 16x12; save"):
        check_size(Path("m.png"), mask, draw_picture(0))


def test_images_and_masks_are_read_only(tmp_path: Path) -> None:
    write(tmp_path / "grey.png", GREY)
    write(tmp_path / "colour.png", draw_picture(1))
    for read in READERS.values():
        assert not read(tmp_path / "grey.png").flags.writeable
    assert not read_labels(tmp_path / "colour.png").flags.writeable


def test_files_of_the_same_bytes_give_the_same_array(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write(tmp_path / name, draw_picture(1))
    assert read_image(tmp_path / "a.png") is read_image(tmp_path / "b.png")
    write(tmp_path / "b.png", draw_picture(2))
    assert (read_image(tmp_path / "b.png") == draw_picture(2)).all()


REFUSED = {
    "16-bit grey": (encode(GREY.astype(np.uint16) * 257, "PNG"), "has 16 bits per"),
    "16-bit grey tiff": (encode(GREY.astype(np.uint16) * 257, "TIFF"), "has 16 bits per"),
    "float": (encode(GREY.astype(np.float32), "TIFF"), "32 bits|fractions"),
    "transparent": (encode(np.dstack([draw_picture(1), GREY]), "PNG"), "is partly transparent"),
    "transparent grey": (encode(np.dstack([GREY, GREY]), "PNG"), "is partly transparent"),
    "empty": (b"", "cannot be read as an image"),
    "text": (b"not a picture at all\n" * 50, "cannot be read as an image"),
    "half png": (encode(draw_picture(1), "PNG")[:300], "is damaged"),
    "half jpeg": (encode(SMOOTH, "JPEG")[:-20], "cannot be read as an image"),
    "jpeg head": (b"\xff\xd8\xff\xe0", "cannot be read as an image"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_would_be_misread_is_refused_by_name(
    tmp_path: Path, reader: str, kind: str
) -> None:
    content, said = REFUSED[kind]
    path = tmp_path / "some file.png"
    path.write_bytes(content)
    with pytest.raises(IsbenchError, match=said) as raised:
        READERS[reader](path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, reader: str) -> None:
    with pytest.raises(IsbenchError, match=r"cannot read .*missing\.png: No such file"):
        READERS[reader](tmp_path / "missing.png")
    with pytest.raises(IsbenchError, match="cannot read"):
        READERS[reader](tmp_path)


FORMATS = {
    "png": encode(SMOOTH, "PNG"),
    "palette": encode(GREY // 16, "PNG"),
    "jpeg": encode(SMOOTH, "JPEG", quality=90),
    "progressive": encode(SMOOTH, "JPEG", progressive=True),
    "bmp": encode(GREY, "BMP"),
    "tiff": encode(GREY, "TIFF", compression="tiff_lzw"),
    "webp": encode(SMOOTH, "WEBP", lossless=True),
}


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_that_was_cut_short_is_refused_or_read_whole(tmp_path: Path, format: str) -> None:
    whole = FORMATS[format]
    path = tmp_path / "picture"
    for reader in (read_image, read_labels):
        path.write_bytes(whole)
        expected = reader(path)
        for end in {*range(0, len(whole), 17), *range(len(whole) - 20, len(whole))}:
            path.write_bytes(whole[:end])
            with suppress(IsbenchError):
                np.testing.assert_array_equal(reader(path), expected, err_msg=f"cut at {end}")


@given(
    format=st.sampled_from(sorted(FORMATS)),
    reader=st.sampled_from(sorted(READERS)),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=5),
)
@settings(max_examples=150)
def test_a_damaged_picture_is_read_or_refused_and_raises_nothing_else(
    format: str, reader: str, damage: list[tuple[float, int]]
) -> None:
    content = bytearray(FORMATS[format])
    for where, byte in damage:
        content[int(where * (len(content) - 1))] = byte
    with TemporaryDirectory() as scratch, suppress(IsbenchError):
        path = Path(scratch, "picture")
        path.write_bytes(content)
        assert READERS[reader](path).dtype == np.uint8


def test_palette_masks_are_read_as_indices(tmp_path: Path) -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_palette(tmp_path / "mask.png", indices)
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), indices)
    np.testing.assert_array_equal(read_indices(tmp_path / "mask.png"), indices)


def test_instances_that_turning_the_colours_grey_would_merge_stay_apart(tmp_path: Path) -> None:
    grey = cv2.cvtColor(voc_palette()[None, :, ::-1], cv2.COLOR_BGR2GRAY)[0]
    merged = [(a, b) for a, b in combinations(range(1, 26), 2) if grey[a] == grey[b]]
    assert {(1, 16), (3, 18), (6, 21), (9, 24)} <= set(merged)
    for first, second in merged:
        write_palette(tmp_path / "mask.png", box(second, 6, 8, box(first, 1, 1)))
        labels = read_indices(tmp_path / "mask.png")
        assert (labels == first).sum() == (labels == second).sum() == 20


def test_a_palette_of_few_colours_packed_into_bits_is_read_as_indices(tmp_path: Path) -> None:
    stored = Image.fromarray(GREY % 4)
    stored.putpalette(voc_palette()[:4].ravel().tolist())
    stored.save(tmp_path / "mask.png", bits=2)
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), GREY % 4)


def test_a_one_bit_mask_is_0_and_255(tmp_path: Path) -> None:
    Image.fromarray(box(255, 2, 2)).convert("1").save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), box(255, 2, 2))


def test_a_colour_mask_is_its_grey_level_and_255_where_it_has_colour(tmp_path: Path) -> None:
    mask = np.dstack([box(128, 1, 1)] * 3)
    mask[8, 3] = 0, 0, 7
    write(tmp_path / "mask.png", mask)
    labels = read_labels(tmp_path / "mask.png")
    assert labels[8, 3] == 255
    assert (labels == 128).sum() == 20
    assert (labels != 0).sum() == 21


def test_a_colour_mask_has_no_indices(tmp_path: Path) -> None:
    write(tmp_path / "mask.png", voc_palette()[np.dstack([box(1, 1, 1)] * 3)[:, :, 0]])
    with pytest.raises(IsbenchError, match=r"mask\.png has mode RGB; wanted a palette"):
        read_indices(tmp_path / "mask.png")


def test_the_largest_picture_that_a_header_may_claim_costs_an_error_and_no_memory(
    tmp_path: Path,
) -> None:
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    checked = header + zlib.crc32(header).to_bytes(4, "big")
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + checked)
    for read in READERS.values():
        with pytest.raises(IsbenchError, match=r"bomb\.png is damaged"):
            read(path)


def test_a_mask_of_ones_own_that_would_be_misread_is_refused(tmp_path: Path) -> None:
    from isbench.datasets.image_io import check_mask

    grey = np.zeros((20, 20), np.uint8)
    cv2.circle(grey, (10, 10), 6, 255, -1)
    good, jpeg = tmp_path / "good.png", tmp_path / "lossy.jpg"
    cv2.imwrite(str(good), grey)
    check_mask(good)
    cv2.imwrite(str(jpeg), grey, [cv2.IMWRITE_JPEG_QUALITY, 60])
    with pytest.raises(IsbenchError, match="is a JPEG with levels other than"):
        check_mask(jpeg)
    palette = Image.fromarray((grey > 0).astype(np.uint8)).convert("P")
    palette.putpalette([255, 255, 255, 0, 0, 0])
    palette.save(tmp_path / "white.png")
    with pytest.raises(IsbenchError, match="entry 0, the background, is not black"):
        check_mask(tmp_path / "white.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(grey).save(tmp_path / "turned.png", exif=exif)
    with pytest.raises(IsbenchError, match="is rotated by its EXIF data"):
        check_mask(tmp_path / "turned.png")


@pytest.mark.parametrize("reader", COLOURS)
def test_transparent_grey_is_refused_however_it_is_stored(tmp_path: Path, reader: str) -> None:
    level, path = int(GREY[0, 0]), tmp_path / "picture"
    for content in (
        encode(GREY, "PNG", transparency=level),
        encode(np.dstack([GREY, GREY]), "TIFF"),
    ):
        path.write_bytes(content)
        with pytest.raises(IsbenchError, match="is partly transparent"):
            COLOURS[reader](path)
    opaque = np.where(level == GREY, np.uint8(level ^ 1), GREY)
    for content in (
        encode(opaque, "PNG", transparency=level),
        encode(np.dstack([opaque, np.full_like(opaque, 255)]), "TIFF"),
    ):
        path.write_bytes(content)
        assert (COLOURS[reader](path) == opaque[:, :, None]).all()
