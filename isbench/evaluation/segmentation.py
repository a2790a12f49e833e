"""Segments one image with given clicks. Not here: clicks from a record (`replay`)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from isbench.datasets.image_io import read_image
from isbench.datasets.readers import LONGEST_SIDE
from isbench.errors import IsbenchError
from isbench.evaluation import spec
from isbench.evaluation.replay import open_predictor, replay_masks
from isbench.models.loading import load_model
from isbench.types import Click, Dataset, Image, LoadedModel, Mask, ModelCard, Sample


def segment(
    model: LoadedModel | ModelCard | str,
    image: Image | Path | str,
    clicks: Sequence[Click | tuple[int, int, bool]],
    *,
    note: Callable[[str], None] = warnings.warn,
) -> Mask:
    """Return the mask of a model after the clicks, which it gets one by one, as from a person.

    Parameters
    ----------
    model : LoadedModel, ModelCard or str
        A loaded model, or a card or name to load with the defaults of `load_model`. Options that
        are left to the data set have the values for data sets of the user.
    image : array, Path or str
        An (H, W, 3) uint8 RGB array, or an image file.
    clicks : sequence of Click
        At least one, as (row, col, positive), oldest first; (0, 0) is at the upper left.
    note : callable
        Called with a message if the model's backend `auto` has to be another one than usual.

    Returns
    -------
    Mask
        (H, W) bool, true on the object.

    Raises
    ------
    IsbenchError
        For a file that is not an image, no clicks, an invalid click or one outside the image, and a
        model that cannot be loaded.
    PredictorError
        If the model breaks its contract.
    """
    pixels = read_image(Path(image)) if isinstance(image, (Path, str)) else image
    _check_image(pixels)
    given = [_make_click(click) for click in clicks]
    check_clicks(given, pixels)
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    blank = np.zeros(pixels.shape[:2], bool)
    with open_predictor(with_photograph_defaults(loaded), note) as predictor:
        *_, mask = replay_masks(predictor, Sample("image", pixels, blank, blank), given)
    return mask


def check_clicks(clicks: Sequence[Click], image: Image) -> None:
    """Raise IsbenchError for no clicks, and for one outside the image."""
    if not clicks:
        raise IsbenchError("no clicks; wanted at least one", setting="clicks")
    rows, cols = image.shape[:2]
    for row, col, _ in clicks:
        if not (0 <= row < rows and 0 <= col < cols):
            raise IsbenchError(
                f"click ({row}, {col}) is outside the image; wanted a row from 0 to {rows - 1} and "
                f"a column from 0 to {cols - 1}",
                setting="clicks",
            )


def with_photograph_defaults(model: LoadedModel) -> LoadedModel:
    """Return the model with data-dependent options filled in as for a data set of the user."""

    def load(key: str) -> Sample:
        raise KeyError(key)

    photographs = Dataset("photographs", (), load, longest_side=LONGEST_SIDE)
    return spec.with_dataset_defaults(model, photographs)


def _make_click(given: object) -> Click:
    """Return a click; raises IsbenchError unless it is two integers, and True or False."""
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 3:
        row, col, positive = (one.item() if isinstance(one, np.generic) else one for one in given)
        if (type(row), type(col), type(positive)) == (int, int, bool):
            return Click(row, col, positive)
    raise IsbenchError(
        f"{given!r:.100} is not a click; wanted (row, col, positive), such as (120, 80, True)",
        setting="clicks",
    )


def _check_image(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise IsbenchError(
            f"the image has shape {image.shape} of {image.dtype}; wanted (H, W, 3) of uint8, in RGB"
        )
