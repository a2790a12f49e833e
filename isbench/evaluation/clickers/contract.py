"""The contract of clickers: what a clicker is given is read-only, what it returns is checked."""

from __future__ import annotations

from dataclasses import replace
from traceback import format_exc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isbench.errors import ClickerError, IsbenchError
from isbench.types import Click, ClickFunction, ClickInput


def ask_clicker(clicker: str, function: ClickFunction, given: ClickInput) -> Click:
    """Return the function's click on an object; `clicker` names it in errors.

    Raises ClickerError for an exception in the function, or if it returns something else than a
    row and a column of the image and a sign.
    """
    given = replace(
        given,
        image=_make_read_only(given.image),
        mask=_make_read_only(given.mask),
        truth=_make_read_only(given.truth),
        ignore=_make_read_only(given.ignore),
    )
    try:
        click = function(given)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        wrapped = ClickerError(
            f"object {given.key}: the clicker {clicker} raised {type(error).__name__}: {error}"
        )
        wrapped.details = format_exc()
        raise wrapped from error
    return _check_click(clicker, click, given)


def _check_click(clicker: str, click: Any, given: ClickInput) -> Click:
    """Return the click as Python's own numbers, as the record needs them."""
    rows, cols = given.truth.shape
    if isinstance(click, tuple) and len(click) == 3:
        row, col, positive = click
        if _is_index(row, rows) and _is_index(col, cols) and isinstance(positive, (bool, np.bool_)):
            return Click(int(row), int(col), bool(positive))
    raise ClickerError(
        f"object {given.key}: the clicker {clicker} returned {click!r}; wanted an isbench.Click: a "
        f"row from 0 to {rows - 1}, a column from 0 to {cols - 1}, and a bool"
    )


def _is_index(value: Any, size: int) -> bool:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and 0 <= int(value) < size


def _make_read_only(array: NDArray[Any]) -> NDArray[Any]:
    view: NDArray[Any] = array.view()
    view.flags.writeable = False
    return view
