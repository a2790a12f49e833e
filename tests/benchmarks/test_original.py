"""The process of the original evaluator, with a small package of the same interface in its place.

The evaluator itself is not part of this project. The package here clicks the object's pixels in
order, so that its games are known without a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks import original, ways
from isbench.datasets import load_dataset
from isbench.models.loading import load_model
from isbench.nn.runtime.compute import load_networks
from tests.support import layouts

ROOT = Path(__file__).parents[2]

UTILS = """
from pathlib import Path
import numpy as np, torch
from PIL import Image

class Sample: pass

class Data:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.dataset_samples = sorted(path.name for path in (self.folder / "img").iterdir())
    def get_sample(self, index):
        name, sample = Path(self.dataset_samples[index]), Sample()
        sample.image = np.asarray(Image.open(self.folder / "img" / name).convert("RGB"))
        mask = np.asarray(Image.open(self.folder / "gt" / f"{name.stem}.png"))
        sample.gt_mask = (mask.max(axis=2) > 0).astype(int)
        return sample

def get_dataset(name, config):
    assert name == "DAVIS"
    return Data(config.DAVIS_PATH)

class Network(torch.nn.Module):
    def forward(self, image, points):
        return image[:, :1]

def load_is_model(checkpoint, device):
    read = torch.load(checkpoint, map_location=device, weights_only=True)
    assert read["config"]["class"].endswith("HRNetModel")
    return Network()
"""
PREDICTORS = """
import torch
class Predictor:
    def __init__(self, network): self.network = network
    def get_prediction(self, clicks):
        return self.network(self.image, None).numpy()[0, 0] + clicks[-1][0] / 1000
def get_predictor(network, mode, device, prob_thresh, predictor_params, zoom_in_params):
    assert (mode, prob_thresh, zoom_in_params) == ("NoBRS", 0.49, {"target_size": 600})
    return Predictor(network)
"""
EVALUATION = """
import numpy as np, torch
class Click:
    def __init__(self, row, col, positive):
        self.coords, self.is_positive = (np.int64(row), np.int64(col)), np.bool_(positive)
def evaluate_sample(image, gt_mask, predictor, max_iou_thr, pred_thr, max_clicks, sample_id):
    predictor.image = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255
    clicks = []
    with torch.no_grad():
        for row, col in np.argwhere(gt_mask == 1)[:max_clicks]:
            clicks.append(Click(row, col, True))
            answer = predictor.get_prediction([click.coords for click in clicks])
    return clicks, np.zeros(len(clicks)), answer
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "checkout" / "isegm" / "inference"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    for name, code in [("utils", UTILS), ("predictors", PREDICTORS), ("evaluation", EVALUATION)]:
        (package / f"{name}.py").write_text(code)
    return tmp_path / "checkout"


def make_task(tmp_path: Path, checkout: Path, clicks: int = 2) -> ways.Task:
    layouts.davis(tmp_path / "data" / "DAVIS")
    weights = tmp_path / "network.pth"
    ways.write_checkpoint("ritm-hrnet18s", str(weights))
    data = str(tmp_path / "data")
    return ways.Task("ritm-hrnet18s", str(weights), "davis", data, 3, clicks, str(checkout))


def test_its_games_have_the_keys_and_the_order_of_isbench(tmp_path: Path, checkout: Path) -> None:
    task = make_task(tmp_path, checkout)
    done = ways.run_way(task, ways.Way("original", 1, 1), tmp_path)
    dataset = load_dataset("davis", tmp_path / "data")
    assert tuple(done.result["games"]) == dataset.keys != tuple(sorted(dataset.keys))
    for key, clicks in done.result["games"].items():
        rows, cols = dataset.load(key).truth.nonzero()
        assert clicks == [[int(rows[k]), int(cols[k]), True] for k in range(2)]
    height, width = dataset.load(dataset.keys[0]).truth.shape
    assert done.result["sizes"] == {f"{height} {width}": 6}
    assert len(done.result["seconds"]) == 6
    assert [clicks for _, clicks in done.result["ends"]] == [2, 2, 2]
    assert done.cpu_seconds > 0
    assert done.seconds > 0


@pytest.mark.parametrize(
    ("name", "folder", "write"),
    [
        ("grabcut", "GrabCut", layouts.grabcut),
        ("berkeley", "Berkeley", layouts.berkeley),
        ("davis", "DAVIS", layouts.davis),
        ("coco-mval", "COCO_MVal", layouts.mval),
    ],
)
def test_an_object_is_found_by_the_stem_of_its_image(
    name: str, folder: str, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = write(tmp_path / folder)
    task = ways.Task("nearest", None, name, str(tmp_path), 9, 1)
    named = ways.name_images(task)
    stems = {path.stem for path in root.rglob("*.*")}
    assert tuple(named) == load_dataset(name, tmp_path).keys
    assert set(named.values()) == stems
    assert len(set(named.values())) == len(named)
    assert name in original.DATASETS


@pytest.mark.parametrize(
    ("ends", "workers", "rate"),
    [
        ([], 1, None),
        ([(7.0, 20)], 1, None),
        ([(7.0, 20), (9.0, 10)], 1, 5.0),  # the first game is not counted: the process began before
        ([(7.0, 20), (8.0, 20), (10.0, 10), (12.0, 10)], 2, 5.0),
        ([(7.0, 20), (9.0, 10)], 4, 5.0),  # more workers than games
    ],
)
def test_clicks_per_second_count_from_when_every_worker_has_ended_a_game(
    ends: list[tuple[float, int]], workers: int, rate: float | None
) -> None:
    assert ways.count_rate(ends, workers) == rate


def test_its_process_imports_nothing_of_isbench(tmp_path: Path, checkout: Path) -> None:
    task = make_task(tmp_path, checkout)
    command = ways.make_command(task, ways.Way("original", 1, 1), tmp_path)
    assert json.loads(command[-1])["images"] == ["0", "2", "10"]
    listed = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in listed.stderr.splitlines()}
    assert "torch" in imported
    assert not {name for name in imported if name.split(".")[0] in ("isbench", "benchmarks")}


def test_a_failure_of_the_evaluator_ends_the_measurement(tmp_path: Path, checkout: Path) -> None:
    (checkout / "isegm" / "inference" / "evaluation.py").write_text("raise ImportError('tqdm')")
    with pytest.raises(SystemExit, match="original, 1 threads failed with exit code 1"):
        ways.run_way(make_task(tmp_path, checkout), ways.Way("original", 1, 1), tmp_path)


@pytest.mark.parametrize("model", ["ritm-hrnet18s", "ritm-hrnet18"])
def test_the_checkpoint_has_the_random_weights_of_isbench(model: str, tmp_path: Path) -> None:
    path = tmp_path / "network.pth"
    ways.write_checkpoint(model, str(path))
    states = []
    for weights in (str(path), "random"):
        loaded = load_model(model, None, weights, backend="eager")
        assert loaded.runtime is not None
        assert loaded.card.networks is not None
        networks = load_networks(partial(loaded.card.networks, **loaded.options), loaded.runtime)
        states.append(networks["network"].state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--original", "."], "has no isegm/inference/evaluation.py"),
        (
            ["--original", "{checkout}", "--dataset", "sample"],
            "the original evaluator plays grabcut",
        ),
        (["--original", "{checkout}", "--model", "csfpn-mini"], "plays ritm-hrnet18s"),
    ],
)
def test_what_the_evaluator_cannot_play_is_said_at_once(
    given: list[str], message: str, checkout: Path
) -> None:
    given = [part.format(checkout=checkout) for part in given]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.evaluate", *given],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
