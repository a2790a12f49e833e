"""HQSeg-44K, DAVIS-585 and TETRIS: their layouts, and the masks that games start from."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint, fingerprint_initial
from isbench.datasets.loading import load_sample
from isbench.datasets.tetris import LONGEST
from isbench.datasets.verify import verify_dataset, verify_named
from isbench.evaluation.spec import fill_options
from tests.datasets.conftest import refusal
from tests.support.layouts import HEIGHT, WIDTH, box, draw_picture, write

Data = Callable[..., Path]
Isbench = Callable[..., tuple[int, str, str]]
PARTS = ("DIS5K-VD", "ThinObject5K-TE", "COIFT", "HRSOD")


def test_hqseg_is_its_four_parts_in_order_whatever_the_stems(data: Data) -> None:
    dataset = load_dataset("hqseg44k", data("hqseg44k"))
    wanted = [(part, f"chair {n}", "fork") for n, part in enumerate(PARTS)]
    assert dataset.keys == tuple(f"{part}/{stem}#1" for part, *stems in wanted for stem in stems)
    for number, part in enumerate(PARTS):
        sample = dataset.load(f"{part}/fork#1")
        truth = box(255, number, 2 * number, box(1, 8, 1)) > 0  # any level is the object
        np.testing.assert_array_equal(sample.truth, truth)
        assert not sample.ignore.any()
    assert len(dataset.files) == 2 * len(dataset.keys)
    assert not any("train" in name or "/HRSOD/masks/" in name for name in dataset.files)


def test_networks_see_hqseg_smaller(data: Data) -> None:
    dataset = load_dataset("hqseg44k", data("hqseg44k"))
    assert fill_options({"longest_side": -1}, dataset) == {"longest_side": 1024}
    assert fill_options({"longest_side": 0}, dataset) == {"longest_side": 0}


@pytest.mark.parametrize("part", ["DIS5K/DIS-VD", "thin_object_detection/HRSOD"])
def test_a_part_of_hqseg_that_is_missing_is_named(data: Data, part: str) -> None:
    root = data("hqseg44k") / "HQSeg44K"
    (root / part).rename(root / "elsewhere")
    assert f"cannot list {root / part}" in refusal("hqseg44k", root.parent)


def test_the_faults_of_all_parts_of_hqseg_are_listed_at_once(data: Data) -> None:
    root = data("hqseg44k") / "HQSeg44K"
    gone = [
        root / "DIS5K/DIS-VD/gt/fork.png",
        root / "thin_object_detection/COIFT/images/fork.jpg",
    ]
    for path in gone:
        path.unlink()
    verdict = verify_named("hqseg44k", root.parent)
    assert [
        str(path.with_suffix("")) in said for path, said in zip(gone, verdict.faults, strict=True)
    ]
    assert verdict.objects == 6


def test_davis585_is_keyed_by_sequence_and_frame(data: Data) -> None:
    dataset = load_dataset("davis585-init", data("davis585-init"))
    assert dataset.keys == (
        "bear/00009#1",
        "bike-packing/00000#1",
        "bike-packing/00000#2",
        "bike-packing/00034#1",
    )
    sample = dataset.load("bike-packing/00000#2")
    np.testing.assert_array_equal(sample.truth, box(1, 1, 3) == 1)
    assert sample.image is dataset.load("bike-packing/00000#1").image


def test_each_start_of_davis585_is_a_data_set_of_its_own(data: Data) -> None:
    folder = data("davis585-init")
    init, stm, zero = (load_dataset(f"davis585-{one}", folder) for one in ("init", "stm", "zero"))
    assert init.keys == stm.keys == zero.keys
    key = "bike-packing/00000#2"
    starts = [load_sample(one, key).initial for one in (init, stm, zero)]
    np.testing.assert_array_equal(starts[0], (box(1, 1, 3) | box(1, 1, 4)) == 1)
    np.testing.assert_array_equal(starts[1], box(1, 2, 3) == 1)
    assert starts[2] is None
    assert len({fingerprint_initial(one) for one in (init, stm, zero)}) == 3
    assert len({fingerprint(one) for one in (init, stm, zero)}) == 3
    assert fingerprint_initial(pickle.loads(pickle.dumps(init))) == fingerprint_initial(init)


def test_a_changed_initial_mask_changes_both_fingerprints(data: Data) -> None:
    folder = data("davis585-init")
    before = load_dataset("davis585-init", folder)
    prints = fingerprint(before), fingerprint_initial(before)
    write(folder / "DAVIS585/bear/init_sp_object1_00009.png", box(255, 5, 5))
    now = load_dataset("davis585-init", folder)
    assert (fingerprint(now) != prints[0], fingerprint_initial(now) != prints[1]) == (True, True)


def test_a_mask_without_its_frame_or_its_start_is_named_and_the_rest_is_read(data: Data) -> None:
    root = data("davis585-init") / "DAVIS585"
    (root / "bear/00009.jpg").unlink()
    (root / "bike-packing/init_sp_object2_00000.png").unlink()
    write(root / "bike-packing/mask.png", box(255, 1, 1))
    verdict = verify_named("davis585-init", root.parent)
    named = ("00009.jpg", "mask.png is not named", "init_sp_object2_00000.png")
    for said, part in zip(verdict.faults, named, strict=True):
        assert part in said
    assert verdict.objects == 2
    assert "init_sp" not in refusal("davis585-zero", root.parent)


def test_verify_prints_how_good_the_initial_masks_are(isbench: Isbench, data: Data) -> None:
    folder = data("davis585-init")
    code, printed, _ = isbench("data", "verify", "davis585-init", "--data", folder)
    found = fingerprint_initial(load_dataset("davis585-init", folder))
    assert code == 0
    assert f"  initial masks: IoU 0.833 to 0.833, mean 0.833; fingerprint {found}\n" in printed
    code, printed, _ = isbench("data", "verify", "davis585-zero", "--data", folder)
    assert (code, "initial" in printed) == (0, False)


def test_a_set_without_an_archive_says_where_it_is(isbench: Isbench, tmp_path: Path) -> None:
    code, _, said = isbench("data", "get", "davis585-init", "--data", tmp_path)
    assert code == 2
    assert "download it by hand from https://drive.google.com/drive/folders/1Xz" in said
    assert "`isbench data import davis585-init PATH`" in said


def test_tetris_numbers_its_objects_by_colour(data: Data) -> None:
    dataset = load_dataset("tetris", data("tetris"))
    low, high = 3, 1 * 65536 + 2 * 256
    assert set(dataset.keys) == {
        f"{stem}#{number}" for stem in ("a_F_23.9c6cdd5a", "-4-KfFh2eIU") for number in (low, high)
    }
    sample = dataset.load(f"-4-KfFh2eIU#{high}")
    np.testing.assert_array_equal(sample.truth, box(1, 6, 8) == 1)
    other = dataset.load(f"-4-KfFh2eIU#{low}")
    assert other.image is sample.image
    assert dataset.initial is None


@pytest.mark.parametrize(("rows", "cols"), [(3000, 900), (900, 3000), (LONGEST, 20), (20, 30)])
def test_tetris_is_read_at_most_2048_pixels_long(data: Data, rows: int, cols: int) -> None:
    root = data("tetris") / "TETRIS"
    for path in (*(root / "images").iterdir(), *(root / "masks").iterdir()):
        path.unlink()
    colours = np.zeros((rows, cols, 3), np.uint8)
    colours[: rows // 2] = (1, 0, 0)
    colours[rows // 2 :, cols // 2 :] = (2, 0, 0)
    write(root / "images" / "long.jpg", draw_picture(1, rows, cols))
    write(root / "masks" / "long.png", colours)
    dataset = load_dataset("tetris", root.parent)
    samples = [dataset.load(key) for key in dataset.keys]
    height, width = samples[0].truth.shape
    assert max(height, width) == min(LONGEST, max(rows, cols))
    assert abs(height / width - rows / cols) < 0.05 * rows / cols
    assert not (samples[0].truth & samples[1].truth).any()
    assert samples[0].truth.mean() == pytest.approx(0.5, abs=0.06)
    whole = cv2.imread(str(root / "images" / "long.jpg"))[:, :, ::-1]
    wanted = cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(samples[0].image, wanted)


def test_an_unreadable_tetris_mask_is_a_fault_and_the_rest_is_read(data: Data) -> None:
    root = data("tetris") / "TETRIS"
    path = root / "masks" / "-4-KfFh2eIU.png"
    path.write_text("no picture")
    verdict = verify_named("tetris", root.parent)
    assert (verdict.objects, len(verdict.faults)) == (2, 1)
    assert str(path) in verdict.faults[0]


def test_objects_of_in_memory_sets_can_start_from_masks_too(data: Data) -> None:
    dataset = load_dataset("davis", data("davis"))
    full = replace(dataset, initial=lambda key: np.ones((HEIGHT, WIDTH), bool))
    found = verify_dataset(full).initial
    assert found is not None
    assert found.highest == pytest.approx((4 * 5 + 3) / (HEIGHT * WIDTH))
