"""Errors a user can act on: one line that names the thing, the value, the wanted, the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class IsbenchError(Exception):
    """A user's mistake or a broken surrounding; the command line prints it as one line.

    `exit_code` is 2: the input was bad.
    """

    exit_code = 2


class PredictorError(IsbenchError):
    """A model broke its contract while it played; exit code 1: the input was fine.

    `details` holds the traceback of what the model raised, if it did.
    """

    exit_code = 1
    details = ""


class Unfit(IsbenchError):
    """A backend that cannot answer as a network does."""


def unknown(kind: str, name: str, known: Iterable[str]) -> IsbenchError:
    """Return the error for a name that is not in `known`, with the nearest one that is."""
    names = sorted(known)
    near = get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    if near:
        match = next(n for n in names if n.lower() == near[0])
        hint = f"did you mean {match}?"
    else:
        hint = f"there {'is' if len(names) == 1 else 'are'}: {', '.join(names) or 'none'}"
    return IsbenchError(f"no {kind} named {name!r}; {hint}")
