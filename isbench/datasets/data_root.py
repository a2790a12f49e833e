"""The folder of the data sets on this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from platformdirs import user_config_path, user_data_path

from isbench.errors import IsbenchError
from isbench.files.home import expand_home

VARIABLE = "ISBENCH_DATA"


def find_data_folder(given: Path | None = None) -> Path:
    """Return the folder of the data sets: `given`, else ISBENCH_DATA, else the user-data folder."""
    if given is not None:
        return expand_home(given, "data")
    if variable := os.environ.get(VARIABLE):
        try:
            return expand_home(variable)
        except IsbenchError as error:
            raise IsbenchError(f"the environment variable {VARIABLE} is {error}") from None
    return user_data_path("isbench", appauthor=False)


def find_config_folder() -> Path:
    """Return the folder of the user's own settings, which no other user shares."""
    return user_config_path("isbench", appauthor=False)


def is_own(folder: Path) -> bool:
    """Return whether a folder, or the one it would be made in, is writable by this user only."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    facts = there.stat()
    by_others = facts.st_mode & stat.S_IWOTH or (
        facts.st_mode & stat.S_IWGRP and facts.st_gid != os.getgid()
    )
    is_writable = facts.st_mode & stat.S_IWUSR and os.access(there, os.W_OK)
    if there != folder:  # a new folder in a shared one, such as /tmp, belongs to its user
        return os.access(there, os.W_OK)
    return bool(facts.st_uid == os.getuid() and is_writable and not by_others)
