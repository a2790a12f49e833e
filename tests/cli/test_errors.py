"""Whatever is wrong ends in one helpful line and the exit code that says whose fault it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import write_folder_set

Isbench = Callable[..., tuple[int, str, str]]


def picture_set(root: Path, image: bytes | None, mask: bytes | None, objects: int = 1) -> Path:
    write_folder_set(root, objects)
    (root / "masks" / "picture00000__1.png").rename(root / "masks" / "picture00000.png")
    for folder, data in (("images", image), ("masks", mask)):
        path = root / folder / "picture00000.png"
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
    return root


def png(shape: tuple[int, ...] = (24, 32)) -> bytes:
    return bytes(cv2.imencode(".png", np.zeros(shape, np.uint8))[1])


NOT_A_PICTURE = b"GIF89a nothing of the kind"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--model", "nearset", "--dataset", "sample"], "did you mean nearest?"),
        (["run", "--model", "nearest", "--dataset", "sampel"], "did you mean sample?"),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--preset", "stirct"],
            "mean strict?",
        ),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--clicker", "center"],
            "mean centre?",
        ),
        (["run", "--model", "grabcut", "--dataset", "sample", "--set", "sed=1"], "mean seed?"),
        (["run", "--model", "grabcut", "--dataset", "sample", "--set", "seed"], "KEY=VALUE"),
        (
            ["run", "--model", "grabcut", "--dataset", "sample", "--set", "seed=x"],
            "wanted a number",
        ),
        (["run", "--model", "nearest", "--dataset", "sample", "--set", "a=1"], "has no options"),
        (["run", "--model", "nearest", "--dataset", "sample", "--limit", "0"], "limit is 0"),
        (["run", "--model", "nearest", "--dataset", "sample", "--limit", "two"], "'two'"),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--max-clicks", "0"],
            "max_clicks is 0",
        ),
        (["run", "--model", "nearest", "--dataset", "sample", "--workers", "0"], "workers is 0"),
        (["run", "--model", "nearest", "--dataset", "sample", "--seed", "-1"], "seed is -1"),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--stop-iou", "nan"],
            "stop_iou is nan",
        ),
        (
            ["run", "--model", "nearest", "--dataset", "grabcut", "--data", "{}/none"],
            "isbench data get",
        ),
        (["run", "--model", "nearest", "--dataset", "folder:{}/none"], "cannot list"),
        (["run", "--model", "nearest", "--dataset", "folder:{}/empty"], "no images in"),
        (["run", "--model", "nearest", "--dataset", "folder:{}/nomask"], "has no mask"),
        (
            ["run", "--model", "nearest", "--dataset", "folder:{}/size"],
            "5x4 pixels and its image 32x24",
        ),
        (
            ["run", "--model", "nearest", "--dataset", "folder:{}/junk"],
            "cannot be read as an image",
        ),
        (["run", "--model", "nearest", "--dataset", "coco:{}"], "wanted coco:IMAGES_DIR"),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--out", "{}/file/runs"],
            "cannot write",
        ),
        (
            ["run", "--model", "nearest"],
            "run needs --dataset or --protocol; see `isbench run --help`",
        ),
        (["run", "--modle", "nearest"], "--model"),
        (["rnu"], "did you mean run?"),
        (["report", "--runs", "{}/none"], "isbench run"),
        (["report", "{}/file"], "is not a run file"),
        (["report", "{}/old.jsonl"], "has format 99"),
        (["report", "--table", "nocs"], "did you mean noc?"),
        (["report", "--format", "html5"], "available: csv, latex, markdown, rich"),
        (["report", "--max-clicks", "0"], "max_clicks is 0; wanted at least 1 (--max-clicks)"),
        (["compare", "abc", "def", "--runs", "{}/none"], "no run below"),
        (["compare", "abc", "def", "--worst", "-1"], "worst is -1; wanted at least 0 (--worst)"),
        (["export", "{}/file", "--format", "csv"], "is not a run file"),
        (["export-model", "nearest"], "has no network to export"),
        (["import", "ritm-pickle", "{}/file", "--dataset", "davis"], "is not a pickle of the RITM"),
        (["verify", "{}/file"], "wanted a file from `isbench export --format bundle`"),
        (["data", "verify", "grabct"], "did you mean grabcut?"),
        (["data", "path", "grabcut", "--data", "{}/none"], "isbench data get"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_wrong_input_is_one_helpful_line_and_exit_code_2(
    isbench: Isbench, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "file").write_text("not a folder\n")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "old.jsonl").write_text(json.dumps({"isbench": 99, "spec": {}}) + "\n")
    picture_set(tmp_path / "nomask", png((24, 32, 3)), None, objects=2)
    picture_set(tmp_path / "size", png((24, 32, 3)), png((4, 5)))
    picture_set(tmp_path / "junk", NOT_A_PICTURE, png())
    command = [argument.replace("{}", str(tmp_path)) for argument in arguments]
    if command[0] == "run" and "--out" not in command:
        command += ["--out", str(tmp_path / "runs")]
    code, printed, errors = isbench(*command)
    assert code == 2, errors
    assert printed == ""
    assert errors.count("\n") == 1
    assert said in errors
    assert not list((tmp_path / "runs").rglob("*.jsonl*"))


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (
            "shape_card",
            "model wrong-shape: object picture0000",
        ),
        ("dtype_card", "model wrong-dtype: object picture0000"),
        ("few_card", "model too-few: object picture0000"),
    ],
)
def test_a_predictor_that_breaks_its_contract_is_exit_code_1(
    isbench: Isbench, folder_set: Path, out: Path, card: str, said: str
) -> None:
    code, _, errors = isbench(
        "run",
        "--model",
        f"tests.support.toys:{card}",
        "--dataset",
        f"folder:{folder_set}",
        "--out",
        out,
    )
    assert code == 1
    assert errors.count("\n") == 1
    assert said in errors


def test_a_predictor_that_raises_shows_its_traceback(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    code, _, errors = isbench(
        "run", "--model", "tests.support.toys:raising_card", "--dataset", f"folder:{folder_set}",
        "--out", out,
    )  # fmt: skip
    assert code == 1
    assert "Traceback" in errors
    assert "in raise_error" in errors
    assert errors.splitlines()[-1].startswith("isbench: model raising: object picture0000")


@pytest.mark.usefixtures("third_party_clickers")
def test_a_clicker_that_breaks_its_contract_is_exit_1(isbench: Isbench, tmp_path: Path) -> None:
    words = ["run", "--model", "nearest", "--dataset", "sample", "--clicker", "failing"]
    code, _, errors = isbench(*words, "--out", tmp_path)
    assert code == 1
    assert "#1: the clicker failing raised KeyError: 'lost'" in errors.splitlines()[-1]
    assert "Traceback" in errors  # of the clicker
