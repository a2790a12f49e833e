"""The contract of clickers: what a clicker is given is read-only, what it returns is checked."""

from __future__ import annotations

import re
from dataclasses import replace
from traceback import format_exc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isbench.errors import ClickerError, IsbenchError, describe_exception
from isbench.types import Click, ClickFunction, ClickInput, Proposal

_MARK = r"[a-z0-9_-]*"
_KEEP = ("lowest", "highest")


def ask_clicker(
    clicker: str, function: ClickFunction, given: ClickInput, *, most: int | None = 1
) -> Proposal:
    """Return what the function proposes for an object; `clicker` names it in errors.

    `most` is the largest number of clicks in a proposal, None for any. Raises ClickerError for an
    exception in the function, or if it returns something else than a row and a column of the image
    and a sign, or a Proposal of these.
    """
    given = replace(
        given,
        image=_make_read_only(given.image),
        mask=_make_read_only(given.mask),
        truth=_make_read_only(given.truth),
        ignore=_make_read_only(given.ignore),
    )
    try:
        found = function(given)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        wrapped = ClickerError(
            f"object {given.key}: the clicker {clicker} raised {describe_exception(error)}"
        )
        wrapped.details = format_exc()
        raise wrapped from error
    if not isinstance(found, Proposal):
        return Proposal((_check_click(clicker, found, given),))
    _check_proposal(clicker, found, given, most)
    return found._replace(clicks=tuple(_check_click(clicker, one, given) for one in found.clicks))


def _check_proposal(clicker: str, found: Proposal, given: ClickInput, most: int | None) -> None:
    count = len(found.clicks) if isinstance(found.clicks, tuple) else 0
    if not count or (most is not None and count > most):
        wanted = "a tuple of one or more" if most is None else "one, as its card says"
        raise ClickerError(
            f"object {given.key}: the clicker {clicker} proposed {found.clicks!r:.100}; wanted "
            f"clicks: {wanted}"
        )
    is_mark = isinstance(found.mark, str) and re.fullmatch(_MARK, found.mark)
    if found.keep not in _KEEP or not is_mark:
        raise ClickerError(
            f"object {given.key}: the clicker {clicker} proposed keep={found.keep!r}, "
            f"mark={found.mark!r}; wanted {' or '.join(_KEEP)}, and a word in lower case"
        )


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
