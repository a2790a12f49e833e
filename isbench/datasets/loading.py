"""Loads an object of a data set, checked: `Dataset.load` may be third-party code.

Not here: finding data sets (`isbench.datasets`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from traceback import extract_tb
from typing import Any

import numpy as np

from isbench.errors import DatasetError, IsbenchError, describe_exception
from isbench.types import Dataset, Mask, Sample


def load_sample(dataset: Dataset, key: str) -> Sample:
    """Return an object of a data set, with the mask that it starts from if there is one.

    Raises IsbenchError as the data set does and for arrays that cannot be played, and DatasetError,
    which names the data set and the object, for any other exception of it and for something else
    than the sample of this key.
    """
    what = f"data set {dataset.name}, object {key}"
    sample = _call(dataset.load, key, f"{what}: load")
    if not isinstance(sample, Sample):
        got = type(sample).__name__
        raise DatasetError(f"{what}: load returned a {got}; wanted an isbench.Sample")
    if sample.key != key:
        raise DatasetError(f"{what}: load returned object {sample.key}; wanted the named one")
    if sample.initial is not None:
        raise DatasetError(
            f"{what}: load returned an initial mask; wanted it from the function `initial` of the "
            "data set, so that it is part of a run's identity"
        )
    if dataset.initial is not None:
        sample = replace(sample, initial=load_initial(dataset, key))
    check_sample(sample)
    return sample


def load_initial(dataset: Dataset, key: str) -> Mask:
    """Return the mask that an object starts from, of a data set with the function `initial`.

    Its size is checked by `load_sample`, which knows the image. Raises IsbenchError as the data set
    does, and DatasetError for any other exception of it and for something else than a mask.
    """
    initial: Any = dataset.initial
    what = f"data set {dataset.name}, object {key}: initial"
    mask = _call(initial, key, what)
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.bool_:
        raise DatasetError(f"{what} returned {_describe_array(mask)}; wanted a (H, W) mask of bool")
    return np.asarray(mask)


def _call(load: Callable[[str], Any], key: str, what: str) -> Any:
    """Return what a function of a data set returns; `what` names it in the error."""
    try:
        return load(key)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        raise DatasetError(f"{what} raised {_describe(error)}") from error


def _describe(error: BaseException) -> str:
    """Return an exception in one line, and the line of code that raised it."""
    frame = extract_tb(error.__traceback__)[-1]
    where = f"{PurePath(frame.filename).name}, line {frame.lineno}"
    return f"{describe_exception(error)} ({where})"


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
