"""Pickles of the original evaluator (ritm_interactive_segmentation and its forks) as curves.

Its `evaluate_model.py` writes two kinds: with `--iou-analysis` a dict of dataset_name, model_name
and all_ious, and with `--save-ious` the list all_ious alone. all_ious has one array of IoUs an
object, in the order of its data set; there are neither clicks nor names of objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from isbench.datasets.registry import load_dataset_card
from isbench.errors import IsbenchError
from isbench.exchange.plain_pickle import PickledArray, load_plain
from isbench.files.limits import LIST, read_limited
from isbench.metrics import METRICS, Figure, Games, summarise
from isbench.reporting.literature import PublishedFigure
from isbench.storage.imported import ImportedCurves

EVALUATOR = "ritm-pickle"


def read_ritm_pickle(
    path: Path | str,
    dataset: str,
    model: str | None = None,
    max_clicks: int = 20,
    stop_iou: float | None = None,
) -> ImportedCurves:
    """Return the IoU curves of a pickle of the original evaluator; nothing in it is executed.

    Parameters
    ----------
    path : Path or str
        The pickle.
    dataset : str
        The name of its data set in isbench. The number of objects must be that of the data set.
    model : str or None
        The name of the model; None: the one in the pickle.
    max_clicks : int
        The evaluator's `--n-clicks`, which is not in the pickle.
    stop_iou : float or None
        The evaluator's `--target-iou`; None: full games if every curve has `max_clicks` clicks,
        else 0.90, its default.

    Returns
    -------
    ImportedCurves
        One curve per object, in the order of the file.

    Raises
    ------
    IsbenchError
        For another file, curves that do not end as these limits say, and another number of objects.
    """
    path = Path(path)
    try:
        data = read_limited(path)
        named, listed = _find_curves(load_plain(data))
        curves = tuple(_round_curve(one) for one in listed)
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise IsbenchError(
            f"{path} is not a pickle of the RITM evaluator ({error}); wanted one of all_ious "
            f"that its evaluate_model.py wrote, of at most {LIST // 2**20} MiB"
        ) from error
    name = model or named
    if not name:
        raise IsbenchError(f"{path} names no model; name it", setting="model")
    check_count(path, dataset, len(curves))
    if stop_iou is None:
        stop_iou = 1.01 if all(len(curve) == max_clicks for curve in curves) else 0.90
    digest = sha256(data).hexdigest()
    return ImportedCurves(EVALUATOR, name, dataset, max_clicks, stop_iou, path.name, digest, curves)


def summarise_curves(curves: ImportedCurves) -> dict[str, Figure]:
    """Return the figures of imported results by the key of their metric.

    Intervals are those of objects: which of them share an image is not known.
    """
    shape = (len(curves.iou), curves.max_clicks)
    iou = np.stack([_extend(curve, curves.max_clicks) for curve in curves.iou])
    games = Games(
        curves.rules, curves.max_clicks, iou, np.array([len(one) for one in curves.iou]),
        tuple(map(str, range(shape[0]))), np.full(shape, np.nan), np.ones(shape[0], bool), (),
    )  # fmt: skip
    return summarise(METRICS, games)


def list_figures(several: Sequence[ImportedCurves]) -> Iterator[PublishedFigure]:
    """Yield NoC and NoF (as RITM counts) of imported results, to be put beside those of runs."""
    names = {"noc": "noc", "nof_ritm": "nof"}
    formats = {metric.key: metric.format for metric in METRICS}
    for curves in several:
        source = (
            f"imported from {curves.source} ({curves.evaluator}, sha256 {curves.sha256[:12]}): IoU "
            f"of {len(curves.iou)} objects; no clicks and no settings are known"
        )
        clicks = "" if curves.max_clicks == 20 else str(curves.max_clicks)
        for key, figure in summarise_curves(curves).items():
            kind, at, target = key.partition("@")
            if at and kind in names and not isnan(figure.value):
                yield PublishedFigure(
                    curves.model, "", "", curves.dataset, f"{names[kind]}{clicks}@{target}",
                    format(figure.value, formats[key]), source,
                )  # fmt: skip


def _extend(curve: Sequence[float], length: int) -> Any:
    """Return a curve with its last IoU repeated to the end, as those of runs."""
    return np.concatenate([curve, np.full(length - len(curve), curve[-1])])


def _find_curves(value: Any) -> tuple[str, list[Any]]:
    """Return the model's name, "" if there is none, and the list of curves."""
    name, curves = "", value
    if isinstance(value, dict):
        name, curves = value.get("model_name", ""), value.get("all_ious")
    if not isinstance(name, str) or not isinstance(curves, list) or not curves:
        raise ValueError("it has no list all_ious")
    return name, curves


def _round_curve(curve: Any) -> tuple[float, ...]:
    """Return the IoUs of an object, each as the shortest decimal that stands for it.

    So 0.9 as the evaluator stored it reaches a target of 0.9, as it did there.
    """
    if isinstance(curve, PickledArray):
        array = curve.values
    else:
        items = curve if isinstance(curve, (list, tuple)) else [curve]
        # numpy would unfold lists in lists, which a small pickle can have by the billion
        flat = all(isinstance(one, (int, float, np.number)) for one in items)
        array = np.array(items if flat else [])
    if array.ndim != 1 or not array.size or array.dtype.kind not in "fiu":
        raise ValueError("an object of all_ious is not a list of IoUs")
    values = tuple(float(str(one)) for one in array)
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("an IoU is not a number from 0 to 1")
    return values


def check_count(path: Path, dataset: str, count: int, setting: str = "dataset") -> None:
    """Raise IsbenchError unless a data set of the catalogue has the number of objects of a file.

    `setting` is the argument that names the file or the data set.
    """
    wanted = load_dataset_card(dataset).objects
    if wanted is not None and count != wanted:
        raise IsbenchError(
            f"{path} has {count} objects, but {dataset} has {wanted}; some forks keep one object "
            "per image only: such results are of another data set",
            setting=setting,
        )
