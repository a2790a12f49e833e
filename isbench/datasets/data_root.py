"""The folder of the data sets on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

VARIABLE = "ISBENCH_DATA"


def data_folder(given: Path | None = None) -> Path:
    """Return the folder of the data sets: `given`, else ISBENCH_DATA, else the user-data folder."""
    if given is not None:
        return given.expanduser()
    if variable := os.environ.get(VARIABLE):
        return Path(variable).expanduser()
    return user_data_path("isbench", appauthor=False)
