"""What the verification of a whole data set finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.datasets import load_dataset
from isbench.datasets.verify import verify_dataset
from tests.support.layouts import box, draw_picture, write

Data = Callable[..., Path]
Isbench = Callable[..., tuple[int, str, str]]


def test_verify_lists_every_fault_once_and_raises_none(data: Data) -> None:
    root = data("sbd") / "SBD"
    dataset = load_dataset("sbd", root.parent)
    (root / "img" / "2008_000002.jpg").unlink()
    write(root / "img" / "2008_000007.jpg", draw_picture(1, 5, 5))
    verdict = verify_dataset(dataset)
    assert verdict.fingerprint is None
    assert len(verdict.faults) == 2
    assert (verdict.images, verdict.objects) == (2, 4)


def test_verify_counts_objects_without_a_scored_pixel(own: Path) -> None:
    write(own / "masks" / "cup.png", box(128, 1, 1))
    assert verify_dataset(load_dataset(f"folder:{own}")).empty == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "counts"), [("grabcut", "50/50"), ("berkeley", "96/100"), ("davis", "345/345")]
)
def test_the_real_sets_have_the_published_counts_and_a_known_fingerprint(
    isbench: Isbench, real_data: Path, name: str, counts: str
) -> None:
    code, printed, said = isbench("data", "verify", name, "--data", real_data)
    assert (code, said) == (0, "")
    assert f"{name}: {counts} images/objects" in printed
    assert "known: the files" in printed
    assert "warning" not in printed


def test_the_sample_of_coco_mval_is_read_through_a_link(real_data: Path, tmp_path: Path) -> None:
    part = real_data / "COCO_MVal-sample"
    if not part.is_dir():
        pytest.skip("no COCO_MVal-sample beside the real data")
    (tmp_path / "COCO_MVal").symlink_to(part.resolve(), target_is_directory=True)
    whole = load_dataset("coco-mval", tmp_path)
    assert len(whole.keys) == 20
    verdict = verify_dataset(whole)
    assert (verdict.faults, verdict.empty) == ((), 0)
