"""Play games with the original RITM evaluator: its network, predictor, clicker and data sets.

Called by `benchmarks.evaluate --original PATH` as a script in a process of its own, with one
argument, a JSON object: `checkout` is the folder that has the package `isegm`, `checkpoint` a file
of weights in its format, `dataset` and `folder` a data set, `images` the names of the images to
play, without suffix, and `clicks` and `threads`. Prints a JSON object with the clicks of each
object, the seconds of each answer, the time at which each game ended, and the input sizes of the
network.

Imports nothing of isbench, so that the process is the original's alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# isbench's names -> those of the evaluator, and the folder's name in its settings
DATASETS = {
    "grabcut": ("GrabCut", "GRABCUT_PATH"),
    "berkeley": ("Berkeley", "BERKELEY_PATH"),
    "davis": ("DAVIS", "DAVIS_PATH"),
    "coco-mval": ("COCO_MVal", "COCO_MVAL_PATH"),
}


def play(task: dict[str, Any]) -> dict[str, Any]:
    """Play the objects of a task to the last click, as the evaluator's own script does."""
    sys.path[0] = task["checkout"]
    import numpy as np
    import torch

    for old in ("bool", "int", "float"):  # removed from NumPy since the evaluator was written
        if not hasattr(np, old):
            setattr(np, old, {"bool": bool, "int": int, "float": float}[old])
    torch.set_num_threads(task["threads"])
    utils = importlib.import_module("isegm.inference.utils")
    evaluation = importlib.import_module("isegm.inference.evaluation")
    predictors = importlib.import_module("isegm.inference.predictors")

    name, setting = DATASETS[task["dataset"]]
    dataset = utils.get_dataset(name, SimpleNamespace(**{setting: task["folder"]}))
    device = torch.device("cpu")
    network = utils.load_is_model(task["checkpoint"], device)
    zoom = {"target_size": 600 if name == "DAVIS" else 400}
    predictor = predictors.get_predictor(
        network, "NoBRS", device, prob_thresh=0.49, predictor_params={}, zoom_in_params=zoom
    )
    sizes: dict[str, int] = {}
    seconds: list[float] = []
    answer = predictor.get_prediction

    def count_size(_: Any, inputs: tuple[Any, ...]) -> None:
        size = f"{inputs[0].shape[2]} {inputs[0].shape[3]}"
        sizes[size] = sizes.get(size, 0) + 1

    def time_answer(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        answered = answer(*args, **kwargs)
        seconds.append(time.perf_counter() - started)
        return answered

    network.register_forward_pre_hook(count_size)
    predictor.get_prediction = time_answer
    games, ends = {}, []
    indices = {Path(name).stem: index for index, name in enumerate(dataset.dataset_samples)}
    for image in task["images"]:
        index = indices[image]
        sample = dataset.get_sample(index)
        clicks, _, _ = evaluation.evaluate_sample(
            sample.image,
            sample.gt_mask,
            predictor,
            max_iou_thr=1.01,
            pred_thr=0.49,
            max_clicks=task["clicks"],
            sample_id=index,
        )
        ends.append((time.perf_counter(), len(clicks)))
        games[image] = [
            [int(click.coords[0]), int(click.coords[1]), bool(click.is_positive)]
            for click in clicks
        ]
    return {"games": games, "seconds": seconds, "ends": ends, "sizes": sizes}


if __name__ == "__main__":
    print(json.dumps(play(json.loads(sys.argv[1]))))
