"""Errors that a user can fix: one line names the thing, the value, what was wanted, the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from difflib import get_close_matches
from typing import NamedTuple

_MOST_NAMES = 12  # of known names that an error lists


class IsbenchError(Exception):
    """A user error or a broken environment; the command line prints it as one line.

    Parameters
    ----------
    message : str
        What is wrong, in terms of values, without the flags of the command line.
    setting : str
        The Python argument to change, such as "max_clicks"; the command line adds its flag to the
        message. "" if no argument helps.

    Attributes
    ----------
    exit_code : int
        2: the input is invalid.
    """

    exit_code = 2

    def __init__(self, message: str = "", *, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


class ExtensionError(IsbenchError):
    """An installed extension broke its contract during a run; exit code 1: the input is valid.

    `details` holds the traceback of the exception that the extension raised; "" if it raised none.
    """

    exit_code = 1
    details = ""


class PredictorError(ExtensionError):
    """A model broke the `Predictor` contract during a run."""


class ClickerError(ExtensionError):
    """A clicker raised an exception, or returned something else than a click on the image."""


class DatasetError(ExtensionError):
    """A data set raised an exception while it loaded an object, or returned something else."""


class Unfit(IsbenchError):
    """A backend cannot reproduce the network's outputs."""


class Remedy(NamedTuple):
    """What the user can do about an error, and the argument to change for it, "" if none helps."""

    text: str
    setting: str = ""


def check_least(setting: str, value: int, least: int) -> None:
    """Raise IsbenchError if the value of an argument is no integer, or below `least`."""
    if type(value) is not int:  # True, or a number of numpy, which a record cannot hold
        message = f"{setting} is a {type(value).__name__}; wanted int"
        raise IsbenchError(message, setting=setting)
    if value < least:
        raise IsbenchError(f"{setting} is {value}; wanted at least {least}", setting=setting)


def check_some(items: Sized, noun: str) -> None:
    """Raise IsbenchError if there is none of what a function needs at least one of."""
    if not len(items):
        raise IsbenchError(f"no {noun} is given; wanted at least 1")


def check_option(name: str, value: object, valid: bool, wanted: str) -> None:
    """Raise IsbenchError for a model's option whose value is not `valid`.

    `wanted` says in words what is, such as "0 or more".
    """
    if not valid:
        raise IsbenchError(f"option {name} is {value}; wanted {wanted}", setting="options")


def describe_exception(error: BaseException) -> str:
    """Return the type and the text of an exception of third-party code."""
    try:
        text = str(error)
    except Exception:  # its `__str__` may be third-party code too
        text = "(no text: str() fails)"
    return f"{type(error).__name__}: {text}"


def get_first_line(error: Exception) -> str:
    """Return the first line of another library's error, its type if it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def make_unknown_error(
    kind: str, name: str, known: Iterable[str], setting: str = ""
) -> IsbenchError:
    """Return the error for a name that is not in `known`; it suggests the nearest known name.

    `setting` is the argument that holds the name, as in IsbenchError.
    """
    names = sorted(known)
    matches = get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    if matches:
        nearest = next(n for n in names if n.lower() == matches[0])
        hint = f"did you mean {nearest}?"
    else:
        shown = ", ".join(names[:_MOST_NAMES]) or "none"
        rest = len(names) - _MOST_NAMES
        hint = f"available: {shown}" + (f" and {rest} more" if rest > 0 else "")
    return IsbenchError(f"no {kind} named {name!r}; {hint}", setting=setting)
