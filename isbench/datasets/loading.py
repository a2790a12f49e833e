"""Loads an object of a data set, checked: `Dataset.load` may be a stranger's code.

Not here: finding data sets (`isbench.datasets`).
"""

from __future__ import annotations

from pathlib import PurePath
from traceback import extract_tb

import numpy as np

from isbench.errors import DatasetError, IsbenchError
from isbench.types import Dataset, Sample


def load_sample(dataset: Dataset, key: str) -> Sample:
    """Return an object of a data set.

    Raises IsbenchError as the data set does and for arrays that cannot be played, and DatasetError,
    which names the data set and the object, for any other exception of it and for something else
    than the sample of this key.
    """
    what = f"data set {dataset.name}, object {key}"
    try:
        sample = dataset.load(key)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        raise DatasetError(f"{what}: load raised {_describe(error)}") from error
    if not isinstance(sample, Sample):
        got = type(sample).__name__
        raise DatasetError(f"{what}: load returned a {got}; wanted an isbench.Sample")
    if sample.key != key:
        raise DatasetError(f"{what}: load returned object {sample.key}; wanted the named one")
    check_sample(sample)
    return sample


def _describe(error: BaseException) -> str:
    """Return an exception in one line, and the line of code that raised it."""
    frame = extract_tb(error.__traceback__)[-1]
    where = f"{PurePath(frame.filename).name}, line {frame.lineno}"
    return f"{type(error).__name__}: {error} ({where})"


def check_sample(sample: Sample) -> None:
    """Raise IsbenchError for a sample that would be played or scored incorrectly."""
    if not _is_image(sample.image):
        found = _describe_array(sample.image)
        raise IsbenchError(f"object {sample.key}: image is {found}; wanted (H, W, 3) of uint8")
    shape = sample.image.shape[:2]
    masks = {"truth": sample.truth, "ignore": sample.ignore}
    if sample.initial is not None:
        masks["initial"] = sample.initial
    for name, mask in masks.items():
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != shape:
            raise IsbenchError(
                f"object {sample.key}: {name} is {_describe_array(mask)}; wanted {shape} of bool, "
                "the size of its image"
            )
    if (sample.truth & sample.ignore).any():
        raise IsbenchError(
            f"object {sample.key}: truth and ignore overlap; wanted truth without ignored pixels"
        )


def _is_image(array: object) -> bool:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 3:
        return False
    return array.shape[2] == 3 and array.size > 0


def _describe_array(array: object) -> str:
    """Return the shape and dtype of an array, or the type of anything else."""
    if isinstance(array, np.ndarray):
        return f"{array.shape} of {array.dtype}"
    return f"a {type(array).__name__}"
