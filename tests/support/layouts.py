"""Small data sets in the layouts of the official archives, written on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rle
from scipy.io import savemat

HEIGHT, WIDTH = 12, 16

Pixels = NDArray[np.uint8]


def draw_picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """Return a (H, W, 3) picture, another for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def box(value: int, top: int, left: int, background: Pixels | None = None) -> Pixels:
    """Return a (H, W) mask with a 4x5 box of `value`, drawn into a copy of `background`."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8) if background is None else background.copy()
    mask[top : top + 4, left : left + 5] = value
    return mask


def write(path: Path, pixels: Pixels) -> None:
    """Write pixels (RGB when there are three channels) in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1])
    assert cv2.imwrite(str(path), stored)


def write_palette(path: Path, indices: Pixels) -> None:
    """Write a palette PNG in VOC's colours: the bits of an index dealt to the three channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = Image.fromarray(indices)
    stored.putpalette(voc_palette().ravel().tolist())
    stored.save(path)


def voc_palette() -> Pixels:
    """Return VOC's 256 colours, (256, 3) RGB."""
    index = np.arange(256)
    channels = []
    for first in range(3):
        bits = (index >> (first + 3 * k) & 1 for k in range(3))
        channels.append(sum(bit << (7 - k) for k, bit in enumerate(bits)))
    return np.stack(channels, axis=1).astype(np.uint8)


def grabcut(root: Path) -> Path:
    for number, suffix in enumerate((".jpg", ".JPG", ".bmp")):
        write(root / "data_GT" / f"thing{number}{suffix}", draw_picture(number))
        trimap = box(255, 3, 4, box(128, 2, 2))
        write(root / "boundary_GT" / f"thing{number}.bmp", trimap)
    return root


def berkeley(root: Path) -> Path:
    for number, stem in enumerate(("302", "1010a", "1010b", "1010")):
        write(root / "images" / f"{stem}.jpg", draw_picture(0 if stem.startswith("1010") else 1))
        mask = box(255, number, 2 * number)
        write(root / "masks" / f"{stem}.png", np.dstack([mask] * 3))
    return root


def davis(root: Path) -> Path:
    for number in (0, 10, 2):
        write(root / "img" / f"{number}.jpg", draw_picture(number))
        colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        colours[2:6, 3:8] = 128
        colours[8, 1:4, number % 3] = 1  # any channel that is not zero is foreground
        write(root / "gt" / f"{number}.png", colours)
    return root


def mval(root: Path) -> Path:
    objects = ("dining table01_000000000139", "toaster03_000000000139", "airplane10_000000002006")
    for number, stem in enumerate(objects):
        write(root / "img" / f"{stem}.jpg", draw_picture(int(stem[-4:])))
        write(root / "gt" / f"{stem}.png", box(255, number, 3 * number))
    return root


def sbd(root: Path) -> Path:
    (root / "img").mkdir(parents=True)
    (root / "inst").mkdir()
    for number, stem in enumerate(("2008_000002", "2008_000003", "2008_000007")):
        write(root / "img" / f"{stem}.jpg", draw_picture(number))
        write_instances(root / "inst" / f"{stem}.mat", box(2, 6, 8, box(1, 1, 1)))
    (root / "val.txt").write_text("2008_000007\n2008_000002\n")
    (root / "train.txt").write_text("2008_000003\n")
    return root


def write_instances(path: Path, segmentation: object) -> None:
    """Write SBD's instance file: a struct GTinst with the instances and their categories."""
    savemat(path, {"GTinst": {"Segmentation": segmentation, "Categories": [[7], [15]]}})
    # its header holds the time, and equal sets must have equal bytes
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])


def voc(root: Path) -> Path:
    stems = ("2007_000033", "2007_000042")
    for number, stem in enumerate(stems):
        write(root / "JPEGImages" / f"{stem}.jpg", draw_picture(number))
        indices = box(16, 7, 9, box(1, 1, 1))
        indices[0] = 255
        write_palette(root / "SegmentationObject" / f"{stem}.png", indices)
    listed = root / "ImageSets" / "Segmentation" / "val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("".join(f"{stem}\n" for stem in reversed(stems)))
    return root


def hqseg44k(root: Path) -> Path:
    thin = "thin_object_detection"
    parts = {
        "DIS5K/DIS-VD/im": "DIS5K/DIS-VD/gt",
        f"{thin}/ThinObject5K/images_test": f"{thin}/ThinObject5K/masks_test",
        f"{thin}/COIFT/images": f"{thin}/COIFT/masks",
        f"{thin}/HRSOD/images": f"{thin}/HRSOD/masks_max255",
    }
    for number, (images, masks) in enumerate(parts.items()):
        for stem in ("fork", f"chair {number}"):  # parts may have equal stems
            write(root / images / f"{stem}.jpg", draw_picture(number))
            write(root / masks / f"{stem}.png", box(255, number, 2 * number, box(1, 8, 1)))
    for unused in (f"{thin}/HRSOD/masks", f"{thin}/ThinObject5K/images_train"):
        write(root / unused / "fork.jpg", draw_picture(9))
    return root


def davis585(root: Path) -> Path:
    objects = {
        "bike-packing": ("object1_00000", "object2_00000", "object1_00034"),
        "bear": ("object1_00009",),
    }
    for sequence, names in objects.items():
        for number, name in enumerate(names):
            folder, frame = root / sequence, name.rpartition("_")[2]
            write(folder / f"{frame}.jpg", draw_picture(int(frame)))
            mask = box(255, number, 3)
            write(folder / f"{name}.png", mask)
            perturbed = np.where(mask, 255, box(255, number, 4)).astype(np.uint8)
            write(folder / f"init_sp_{name}.png", np.dstack([perturbed] * 3))
            write(folder / f"init_stm_{name}.png", box(255, number + 1, 3))
    return root


def tetris(root: Path) -> Path:
    for number, stem in enumerate(("a_F_23.9c6cdd5a", "-4-KfFh2eIU")):
        write(root / "images" / f"{stem}.jpg", draw_picture(number))
        colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        colours[1:5, 1:6] = (3, 0, 0)
        colours[6:10, 8:13] = (0, 2, 1)  # red, green, blue
        write(root / "masks" / f"{stem}.png", colours)
    return root


# data set -> (folder in the data folder, writer)
LAYOUTS: Mapping[str, tuple[str, Callable[[Path], Path]]] = {
    "grabcut": ("GrabCut", grabcut),
    "berkeley": ("Berkeley", berkeley),
    "davis": ("DAVIS", davis),
    "coco-mval": ("COCO_MVal", mval),
    "sbd": ("SBD", sbd),
    "voc-val": ("VOC2012", voc),
    "hqseg44k": ("HQSeg44K", hqseg44k),
    "davis585-init": ("DAVIS585", davis585),
    "tetris": ("TETRIS", tetris),
}


def coco_json(root: Path, **changes: Any) -> Path:
    """Write a COCO annotation file of three images, each kind of segmentation once, and a crowd."""
    filled = np.asfortranarray(box(1, 2, 3))
    packed = rle.encode(filled)
    row_runs = [HEIGHT * 3 + 2, 4, HEIGHT * (WIDTH - 3) - 6]  # column by column
    square = [3, 2, 8, 2, 8, 6, 3, 6]
    size = {"height": HEIGHT, "width": WIDTH}
    images = [
        {"id": 7, "file_name": "b 2.jpg", **size},
        {"id": 5, "file_name": "a.jpg", **size},
        {"id": 6, "file_name": "sub/a.jpg", **size},
        {"id": 4, "file_name": "without objects.jpg", **size},
    ]
    one = {"category_id": 1, "iscrowd": 0}
    annotations = [
        {"id": 30, "image_id": 7, "segmentation": [square], **one},
        {"id": 4, "image_id": 7, "segmentation": [square, [10, 8, 14, 8, 14, 11]], **one},
        {
            "id": 9,
            "image_id": 5,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()},
            **one,
        },
        {
            "id": 8,
            "image_id": 6,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": row_runs},
            **one,
        },
        {
            "id": 1,
            "image_id": 5,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]},
            "category_id": 1,
            "iscrowd": 1,
        },
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1}], **changes}
    for image in images:
        write(root / "images" / str(image["file_name"]), draw_picture(int(str(image["id"]))))
    path = root / "instances.json"
    path.write_text(json.dumps(content))
    return path


def coco_name(root: Path) -> str:
    """Return the name of the data set that `coco_json` wrote."""
    return f"coco:{root / 'images'},{root / 'instances.json'}"
