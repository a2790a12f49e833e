"""Damaged files are refused by name; what is not damaged is decoded as before."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isbench.datasets.image_damage import MAX_PIXELS, find_fault
from isbench.datasets.image_io import (
    check_mask,
    decode_image,
    read_colours,
    read_image,
    read_labels,
)
from isbench.errors import IsbenchError

ROWS, COLS = np.mgrid[:240, :320]
NOISE = np.random.default_rng(0).integers(-20, 20, (240, 320, 3))
RAMP = np.stack([COLS * 0.8, ROWS, (ROWS + COLS) * 0.4], axis=2) + NOISE
PHOTO = np.clip(RAMP, 0, 255).astype(np.uint8)
MASK = ((ROWS - 120) ** 2 + (COLS - 160) ** 2 < 90**2).astype(np.uint8) * np.uint8(255)


def encode(pixels: np.ndarray, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


WHOLE = {
    "jpeg": encode(PHOTO, "JPEG", quality=90),
    "progressive": encode(PHOTO, "JPEG", progressive=True),
    "restarts": encode(PHOTO, "JPEG", restart_marker_rows=2),
    "webp": encode(PHOTO, "WEBP", quality=80),
    "png": encode(PHOTO, "PNG"),
    "tiff lzw": encode(PHOTO, "TIFF", compression="tiff_lzw"),
    "tiff deflate": encode(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
    "tiff packbits": encode(MASK, "TIFF", compression="packbits"),
    "tiff jpeg": encode(PHOTO, "TIFF", compression="jpeg"),
    "mask png": encode(MASK, "PNG"),
}


def damage(data: bytes, start: float, share: float, byte: int) -> bytes:
    first, size = int(len(data) * start), max(8, int(len(data) * share))
    return data[:first] + bytes([byte]) * size + data[first + size :]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_file_is_decoded_as_opencv_decodes_it(kind: str) -> None:
    expected = cv2.imdecode(np.frombuffer(WHOLE[kind], np.uint8), cv2.IMREAD_COLOR)
    assert expected is not None
    found = decode_image(WHOLE[kind])
    assert not isinstance(found, str)
    np.testing.assert_array_equal(found, expected[:, :, ::-1])


@pytest.mark.parametrize("byte", [0, 0x55, 0xFF])
@pytest.mark.parametrize("start", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_damaged_middle_is_refused(tmp_path: Path, kind: str, start: float, byte: int) -> None:
    if (kind, start, byte) == ("progressive", 0.5, 0):
        pytest.skip("zeros in the refinement of a progressive JPEG are valid, and change little")
    path = tmp_path / "picture"
    path.write_bytes(damage(WHOLE[kind], start, 0.1, byte))
    for read in (read_image, read_colours, read_labels):
        with pytest.raises(IsbenchError, match=r"picture (is damaged|cannot be read)"):
            read(path)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("form", ["JPEG", "WEBP", "TIFF"])
def test_flat_pictures_are_no_damage(form: str, options: dict[str, bool], level: int) -> None:
    flat = np.full((1000, 1000, 3), level, np.uint8)
    flat[400:500, 400:500] = PHOTO[:100, :100]
    assert not isinstance(decode_image(encode(flat, form, **options)), str)


def test_bytes_that_pad_the_end_of_a_jpeg_are_no_damage() -> None:
    data = WHOLE["jpeg"]
    padded = decode_image(data[:-2] + bytes(12) + data[-2:])
    np.testing.assert_array_equal(padded, decode_image(data))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 2}])
@pytest.mark.parametrize(
    "tail",
    [b"film \xff\xda" * 9, b"\xff\xd8\xff\xda\0", bytes(500), WHOLE["jpeg"], WHOLE["jpeg"][:-99]],
    ids=["scan marker", "start of a scan", "zeros", "another picture", "half a picture"],
)
def test_what_follows_the_end_of_a_jpeg_is_no_part_of_it(
    options: dict[str, Any], tail: bytes
) -> None:
    data = encode(PHOTO, "JPEG", **options)
    np.testing.assert_array_equal(decode_image(data + tail), decode_image(data))
    assert isinstance(decode_image(data[: len(data) // 2] + tail), str)


@pytest.mark.parametrize("lossless", [False, True])
def test_chunks_around_the_picture_of_a_webp_hide_no_damage(lossless: bool) -> None:
    plain = encode(PHOTO, "WEBP", lossless=lossless)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    about: dict[str, Any] = {"exif": exif.tobytes(), "xmp": b"<x/>" * 99, "icc_profile": b"profile"}
    with_chunks = encode(PHOTO, "WEBP", lossless=lossless, **about)
    for data in (plain + b"bytes after the end" * 9, with_chunks):
        np.testing.assert_array_equal(decode_image(data), decode_image(plain))
    middle = with_chunks.index(b"VP8L" if lossless else b"VP8 ", 16) + len(plain) // 2
    for byte in (0, 0x55, 0xFF):
        changed = with_chunks[:middle] + bytes([byte]) * 400 + with_chunks[middle + 400 :]
        assert isinstance(decode_image(changed), str)


def test_nothing_is_printed_about_damaged_and_odd_files(capfd: pytest.CaptureFixture[str]) -> None:
    for data in WHOLE.values():
        decode_image(damage(data, 0.5, 0.1, 0))
    png = WHOLE["png"]
    for kind in (b"tEXt", b"eXIf", b"ABCD"):
        chunk = (3).to_bytes(4, "big") + kind + b"a\0b" + b"none"
        assert isinstance(decode_image(png[:33] + chunk + png[33:]), str) == (kind == b"ABCD")
    assert capfd.readouterr().err == ""


def test_files_of_several_pages_are_refused_and_reduced_copies_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    first, second = Image.fromarray(MASK), Image.fromarray(255 - MASK)
    first.save(path, save_all=True, append_images=[second])
    for read in (read_image, read_colours, read_labels, check_mask):
        with pytest.raises(IsbenchError, match=r"pages\.tif has 2 pages; wanted one"):
            read(path)
    second.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(path, save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_labels(path), MASK)
    first.save(tmp_path / "film.webp", save_all=True, append_images=[second])
    with pytest.raises(IsbenchError, match=r"film\.webp has 2 frames; wanted one"):
        read_image(tmp_path / "film.webp")


@pytest.mark.slow
def test_masks_above_89_megapixels_are_read(tmp_path: Path) -> None:
    mask = np.zeros((10_000, 10_000), np.uint8)
    mask[5000:, 5000:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    check_mask(tmp_path / "mask.png")
    assert read_labels(tmp_path / "mask.png").sum(dtype=np.int64) == 255 * 25_000_000


@pytest.mark.parametrize("side", [12_000, 15_000, 60_000])
def test_larger_files_are_refused_by_their_header(side: int) -> None:
    small = bytearray(encode(MASK, "BMP"))
    small[18:26] = side.to_bytes(4, "little") * 2
    fault = find_fault(bytes(small))
    assert fault is not None
    assert "104 megapixels" in fault
    assert side**2 > MAX_PIXELS


@given(
    kind=st.sampled_from(sorted(WHOLE)),
    edit=st.tuples(st.floats(0, 1), st.integers(0, 255), st.integers(1, 40)),
)
@settings(max_examples=100)
def test_any_damage_is_read_or_refused_in_one_line(kind: str, edit: tuple[float, int, int]) -> None:
    start, byte, size = edit
    found = decode_image(damage(WHOLE[kind], start, size / len(WHOLE[kind]), byte))
    assert "\n" not in found if isinstance(found, str) else found.dtype == np.uint8


def test_files_are_decoded_alike_in_several_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    spoilt = damage(WHOLE["jpeg"], 0.5, 0.1, 0)
    tasks: list[bytes] = [WHOLE["jpeg"] + bytes(k) if k % 2 else spoilt for k in range(40)]
    decode: Callable[[bytes], object] = decode_image
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(decode, tasks))
    assert all(isinstance(one, str) == (k % 2 == 0) for k, one in enumerate(found))
