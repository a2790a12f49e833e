"""Image and mask files with any damage: read, or refused in one line."""

from __future__ import annotations

import io
import random
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from PIL import Image

from tests.fuzz.reading import open_reader
from tests.support.fuzzing import SECONDS
from tests.support.layouts import draw_picture, voc_palette

MASK = np.zeros((48, 64), np.uint8)
MASK[10:30, 20:50] = 255
PHOTO = np.sort(draw_picture(0, 48, 64), axis=1)


def encode(pixels: np.ndarray, form: str, palette: bool = False, **options: object) -> bytes:
    image, file = Image.fromarray(pixels), io.BytesIO()
    if palette:
        image.putpalette(voc_palette().ravel().tolist())
    image.save(file, form, **options)
    return file.getvalue()


SEEDS = {
    "jpeg": encode(PHOTO, "JPEG"),
    "progressive": encode(PHOTO, "JPEG", progressive=True),
    "png": encode(MASK, "PNG"),
    "colour png": encode(PHOTO, "PNG"),
    "palette": encode(MASK // 255, "PNG", palette=True),
    "bmp": encode(MASK, "BMP"),
    "webp": encode(PHOTO, "WEBP"),
    "lossless webp": encode(np.dstack([MASK] * 3), "WEBP", lossless=True),
    "tiff": encode(MASK, "TIFF", compression="tiff_lzw"),
    "jpeg tiff": encode(PHOTO, "TIFF", compression="jpeg"),
    "raw tiff": encode(MASK, "TIFF"),
}


def mutate(data: bytes, rng: random.Random) -> bytes:
    content = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        # headers are where sizes are
        at = rng.randrange(min(len(content), 64) if rng.random() < 0.5 else len(content))
        size = rng.choice([1, 1, 2, 4, 32])
        byte = rng.choice([0, 255, 127, 128, rng.randrange(256)])
        content[at : at + size] = bytes([byte]) * size
    return bytes(content[: rng.randrange(1, len(content))] if rng.random() < 0.1 else content)


@pytest.mark.parametrize("part", ["images", "masks"])
def test_mutated_files_are_read_or_refused(tmp_path: Path, part: str) -> None:
    for name, data in (("images", encode(PHOTO, "PNG")), ("masks", encode(MASK, "PNG"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(data)
    rng = random.Random(0)
    with open_reader("folder") as reader:
        assert reader.check(tmp_path) == ""
        end = monotonic() + SECONDS
        while monotonic() < end:
            data = mutate(SEEDS[rng.choice(sorted(SEEDS))], rng)
            (tmp_path / part / "a.png").write_bytes(data)
            reader.check(tmp_path)
