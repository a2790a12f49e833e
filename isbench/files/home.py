"""The home folder in paths that users write as text."""

from __future__ import annotations

from pathlib import Path

from isbench.errors import IsbenchError


def expand_home(text: str | Path, setting: str = "") -> Path:
    """Return a path in which a leading `~` or `~user` is the home folder.

    Raises IsbenchError if no user has that name; `setting` is the argument that holds the path.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise IsbenchError(
            f"{str(text)!r}: no user has this home folder; a file is ./{text}", setting=setting
        ) from None
