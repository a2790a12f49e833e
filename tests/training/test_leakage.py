"""What is for evaluation is never trained on, whatever it is called by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from isbench.datasets import find_folder
from isbench.datasets.registry import BUILT_IN
from isbench.errors import IsbenchError
from isbench.training import sources
from tests.conftest import write_folder_set
from tests.training.test_pack import write_pack
from tests.training.test_sources import square, write_instances

SIZE = {"height": 24, "width": 32}


def write_coco(root: Path, number: int, **more: str) -> Path:
    """Write an image of COCO and its annotations."""
    (root / "train2017").mkdir(parents=True, exist_ok=True)
    name = f"{number:012}.jpg"
    cv2.imwrite(str(root / "train2017" / name), np.zeros((24, 32, 3), np.uint8))
    images = [{"id": number, "file_name": name, **SIZE, **more}]
    return write_instances(root / "instances.json", images, [(number, square(2, 2, 9))])


@pytest.mark.parametrize("name", sorted(BUILT_IN.keys() - {"sbd", "sbd-train"}))
def test_no_data_set_of_the_benchmark_is_trained_on_by_its_name(name: str) -> None:
    with pytest.raises(IsbenchError, match=f"{name} is a data set .* must not be used"):
        sources.read(name)


def test_the_train_split_of_sbd_has_one_name() -> None:
    with pytest.raises(IsbenchError, match=r"sbd-train is called sbd here; wanted sbd$"):
        sources.read("sbd-train")


@pytest.mark.parametrize("place", ["Berkeley", "berkeley", "Berkeley/mine", "own/../Berkeley"])
@pytest.mark.parametrize("form", ["folder:{}", "pack:{}", "{}", "coco:{},x.json"])
def test_no_folder_of_a_data_set_is_trained_on(form: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    root = tmp_path / "berkeley" if place == "berkeley" else tmp_path / "Berkeley"
    write_folder_set(root)
    with pytest.raises(IsbenchError, match=r"belongs to data set berkeley, .* must not be used"):
        sources.read(form.format(tmp_path / place))


def test_a_link_to_a_data_set_is_not_trained_on(tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(write_folder_set(tmp_path / "Berkeley"))
    with pytest.raises(IsbenchError, match="belongs to data set berkeley"):
        sources.read(f"folder:{tmp_path / 'mine'}")


def test_the_bundled_sample_is_not_trained_on_but_a_folder_of_its_name_is(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="belongs to data set sample"):
        sources.read(f"folder:{find_folder('sample')}")
    assert sources.read(f"folder:{write_folder_set(tmp_path / 'sample')}").entries


@pytest.mark.parametrize("name", ["instances_val2017.json", "instances_val2014.json"])
def test_annotations_of_cocos_validation_are_not_trained_on(name: str, tmp_path: Path) -> None:
    path = write_coco(tmp_path, 9).rename(tmp_path / name)
    with pytest.raises(IsbenchError, match=f"{name} belongs to COCO's validation split"):
        sources.read(f"coco:{tmp_path},{path}")


def test_images_of_cocos_validation_are_not_trained_on(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 9, coco_url=f"http://x.org/val2017/{9:012}.jpg")
    with pytest.raises(IsbenchError, match=r"contains image .*val2017.*; remove it"):
        sources.read(f"coco:{tmp_path},{path}")
    with pytest.raises(IsbenchError, match="val2017 belongs to COCO's validation split"):
        sources.read(f"coco:{tmp_path / 'val2017'},{path}")


def test_images_of_mval_are_known_by_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_coco(tmp_path, 139)
    assert len(sources.read(f"coco:{tmp_path},{path}").entries) == 1
    (tmp_path / "COCO_MVal" / "img").mkdir(parents=True)
    (tmp_path / "COCO_MVal" / "img" / "dining table01_139.jpg").touch()
    monkeypatch.setenv("ISBENCH_DATA", str(tmp_path))
    with pytest.raises(IsbenchError, match=r"contains image 000000000139 of COCO's validation"):
        sources.read(f"coco:{tmp_path},{path}")


def test_a_pack_with_images_of_cocos_validation_is_not_trained_on(tmp_path: Path) -> None:
    root = write_pack(tmp_path / "toy", images=4)
    index = root / "index.csv"
    index.write_text(index.read_text().replace("toy/img/001", "coco/val2017/001"))
    with pytest.raises(IsbenchError, match="contains image coco/val2017/001"):
        sources.read(str(root))


def test_the_command_refuses_it_in_one_line(
    isbench: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, err = isbench("train", "ritm-mini", "--data", f"folder:{find_folder('sample')}")
    assert (code, err.count("\n")) == (2, 1)
    assert "must not be used for training" in err
