"""Values of options, parsed from text to the type of the default, and written as text again."""

from __future__ import annotations

import math

from isbench.errors import IsbenchError
from isbench.types import Scalar

# text values of boolean options and recipe settings
SWITCHES = {"on": True, "true": True, "yes": True, "1": True} | {
    "off": False, "false": False, "no": False, "0": False
}  # fmt: skip


def parse_option(what: str, given: Scalar, default: Scalar, setting: str = "") -> Scalar:
    """Return a value of the type of the default, parsed if it is text.

    `what` names the option in errors, such as "option radius of disks", and `setting` the argument
    that holds it. Raises IsbenchError for a value of another type, and for numbers that are not
    finite.
    """
    text = format_option(given)
    if isinstance(default, bool):
        if text.lower() not in SWITCHES:
            raise IsbenchError(f"{what} is {text!r}; wanted on or off", setting=setting)
        return SWITCHES[text.lower()]
    try:
        value = type(default)(text)
    except ValueError:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise IsbenchError(f"{what} is {text!r}; wanted {kind}", setting=setting) from None
    if not is_recordable(value):
        raise IsbenchError(f"{what} is {text!r}; wanted a finite number", setting=setting)
    return value + 0.0 if isinstance(value, float) else value  # -0.0 is recorded as 0.0


def format_option(value: Scalar) -> str:
    """Return a value as a user would type it."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def is_recordable(value: object) -> bool:
    """Whether a value is on or off, a finite number or a string, so that a Spec can hold it."""
    return isinstance(value, (bool, int, str)) or (
        isinstance(value, float) and math.isfinite(value)
    )
